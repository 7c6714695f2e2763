//! What shells and `man` are told of the command line.

use std::process::Command;

use clap::CommandFactory as _;

use crate::support::sidecar::{BINARY, to_its_end};

fn said(arguments: &[&str]) -> String {
    let output = to_its_end(Command::new(BINARY).args(arguments));
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The names of what people may ask for.
fn subcommands() -> Vec<String> {
    let command = pointsman::tools::cli::Cli::command();
    let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    shown.map(|sub| sub.get_name().to_owned()).collect()
}

/// What bash offers for these words, of which the last is being typed.
fn completed(words: &[&str]) -> Vec<String> {
    let script = r#"
        set -eu
        source <("$0" completions bash)
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _pointsman pointsman "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output = to_its_end(Command::new("bash").args(["--norc", "-c", script, BINARY]).args(words));
    assert!(output.status.success(), "{words:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_a_subcommand_that_is_half_typed() {
    assert_eq!(completed(&["pointsman", "plu"]), ["plugin"]);
    assert_eq!(completed(&["pointsman", "plugin", "che"]), ["check"]);
    assert_eq!(completed(&["pointsman", "config", "check", "--js"]), ["--json"]);
    assert_eq!(
        completed(&["pointsman", "compl"]),
        ["completions"],
        "and nothing that is hidden"
    );
}

#[test]
fn every_shell_gets_a_script_that_knows_every_subcommand() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = said(&["completions", shell]);
        for name in subcommands() {
            assert!(script.contains(&name), "{shell}: {name}");
        }
        assert!(!script.contains("compile-component"), "{shell}");
    }
}

#[test]
fn the_manual_leaves_no_subcommand_out() {
    let page = said(&["man"]);
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    said(&["man", "--out", pages.to_str().unwrap()]);
    assert!(pages.join("pointsman.1").is_file());
    for name in subcommands() {
        assert!(
            page.contains(&format!("pointsman\\-{}(1)", name.replace('-', "\\-"))),
            "{name}:\n{page}"
        );
        assert!(pages.join(format!("pointsman-{name}.1")).is_file(), "{name}");
    }
    let of_a_plugin = std::fs::read_to_string(pages.join("pointsman-plugin-build.1")).unwrap();
    assert!(of_a_plugin.contains("\\-\\-sysroot"), "{of_a_plugin}");
    assert!(!page.contains("compile"), "{page}");
}
