//! The documentation: what `README.md` and the pages of `docs/` show is what a reader gets, and no link is dead.
//!
//! A page's blocks say by their info string what they are:
//!
//! | Info string | What is done with the block |
//! |---|---|
//! | `sh` | pasted into a shell, one for each page, beside a sidecar that was just started; it must not fail |
//! | `text`, `json` right after a `sh` block | what that block prints. `…` stands for anything, and so does a line that is only `…` for any lines; timestamps may differ |
//! | `sh,no_run` | not run; it stands in [`NOT_RUN`] with the reason |
//! | `json`, `toml` | parsed; `toml` also has to be a configuration or a table of cases |
//! | `rust` | built: `<!-- file: PATH -->` above a block writes it into that file, for the `sh` blocks after it |
//!
//! The shell stands in a folder laid out like a checkout in which `make run` runs. Only the addresses, the socket and
//! the configuration file differ, so that pages disturb neither each other nor a person who works in the checkout.

mod expected;
mod links;
mod pages;
mod shell;

use std::collections::BTreeSet;

use pointsman::config::{Config, Overrides};

use self::expected::json_values;
use self::pages::{Block, Page, markdown_files};
use crate::support::sidecar::{Builder, root};

/// The shell blocks that are not run: page, how they begin, and why.
const NOT_RUN: &[(&str, &str, &str)] = &[
    ("README.md", "make run", "the test has started a sidecar itself"),
    ("docs/try-it.md", "make run", "the test has started a sidecar itself"),
    (
        "docs/write-a-plugin.md",
        "pointsman plugin dev",
        "it serves until Ctrl-C, at fixed ports; plugin_dev tests it",
    ),
    (
        "docs/schemas.md",
        "pointsman schema check",
        "it asks a registry; schemas::tools tests these commands with one",
    ),
    (
        "docs/grpc.md",
        "grpcurl",
        "it needs a program that few have; grpc::clients tests calls and reflection",
    ),
    (
        "docs/dapr.md",
        "curl",
        "it needs apis = [\"dapr\"], which is off by default; dapr tests it",
    ),
    ("docs/write-a-plugin.md", "curl", "it asks the sidecar of `plugin dev`"),
    (
        "docs/write-a-plugin.md",
        "cargo test",
        "examples/write-a-plugin/build runs these tests of the template",
    ),
];

/// The most lines of the README: a newcomer reads no more.
const README_LINES: usize = 200;

#[test]
fn what_the_readme_shows_is_what_a_reader_gets() {
    shell::run(&Page::read("README.md"));
}

#[test]
fn what_the_manual_shows_is_what_a_reader_gets() {
    for page in manual() {
        shell::run(&page);
    }
}

#[test]
fn the_readme_is_short_enough_to_be_read_to_its_end() {
    let lines = Page::read("README.md").text.lines().count();
    assert!(lines <= README_LINES, "README.md has {lines} lines; docs/ has room");
}

#[test]
fn no_example_is_left_out_unless_it_says_why() {
    let mut left_out = Vec::new();
    for page in readme_and_manual() {
        for block in &page.blocks {
            let at = format!("{}:{}", page.name, block.line);
            match block.info.as_str() {
                "sh" | "text" | "json" | "toml" => {}
                "rust" => assert!(block.file.is_some(), "{at}: nothing builds this block"),
                "sh,no_run" => {
                    let reason = NOT_RUN
                        .iter()
                        .position(|(name, begins, _)| *name == page.name && block.text.starts_with(begins));
                    left_out.push(reason.unwrap_or_else(|| panic!("{at}: not run, and NOT_RUN does not say why")));
                }
                other => panic!("{at}: no test knows what to do with a block of \"{other}\""),
            }
        }
    }
    left_out.sort_unstable();
    assert_eq!(
        left_out,
        (0..NOT_RUN.len()).collect::<Vec<_>>(),
        "NOT_RUN names blocks that are not there, or one reason for two"
    );
}

#[test]
fn every_json_and_toml_example_can_be_read() {
    for page in markdown_files() {
        for block in &page.blocks {
            let at = format!("{}:{}", page.name, block.line);
            match block.info.as_str() {
                "json" => drop(json_values(&block.text).unwrap_or_else(|error| panic!("{at}: {error}"))),
                "toml" => {
                    drop(toml::from_str::<toml::Table>(&block.text).unwrap_or_else(|error| panic!("{at}: {error}")))
                }
                _ => {}
            }
        }
    }
}

#[test]
fn every_configuration_that_is_shown_is_one_that_the_sidecar_takes() {
    let mut taken = 0;
    for page in readme_and_manual() {
        for block in page.blocks.iter().filter(|block| block.info == "toml") {
            if block.text.contains("[[case]]") {
                continue;
            }
            if let Err(error) = load(&block.text) {
                panic!("{}:{}: {error}", page.name, block.line);
            }
            taken += 1;
        }
    }
    assert!(taken > 3, "only {taken} configurations are shown");
}

#[test]
fn the_configuration_page_lists_every_key_with_its_true_default() {
    let listing = listing();
    let shown = load(&listing.text).unwrap();
    let defaults = load("[kafka]\nbootstrap_servers = \"embedded\"\n[kafka.properties]\n").unwrap();
    assert_eq!(
        shown, defaults,
        "the listing in docs/configuration.md is not what holds without a file"
    );

    // All keys, those without a default included.
    let mut listed = BTreeSet::new();
    let mut table = String::new();
    for line in listing.text.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_start_matches('[').split(']').next().unwrap().to_owned();
        } else if let Some((key, _)) = line.split_once(" = ") {
            listed.insert(format!("{table}.{key}"));
        }
    }
    for (table, content) in defaults.as_object().unwrap() {
        let content = content.as_array().map_or(content, |all| &all[0]);
        for key in content.as_object().unwrap().keys() {
            let key = format!("{table}.{key}");
            let is_table = listing.text.contains(&format!("[{key}]\n")) || listing.text.contains(&format!("[{key}] "));
            assert!(
                is_table || listed.contains(&key) || key == "kafka.properties",
                "docs/configuration.md does not list {key}"
            );
        }
    }
}

#[test]
fn the_manual_lists_every_metric() {
    let sidecar = Builder::embedded().route("*", "key-hash", "").start();
    let reply = sidecar.tcp().json("/v1/topics/t/records", "{\"key\":\"a\"}");
    assert_eq!(reply.status, 200, "{}", reply.text());
    let page = Page::read("docs/metrics.md");
    let metrics = sidecar.admin("/metrics").text();
    let names = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names: Vec<&str> = names.filter_map(|line| line.split(' ').next()).collect();
    assert!(names.len() > 10, "{metrics}");
    for name in names {
        assert!(page.text.contains(&format!("`{name}`")), "docs/metrics.md lacks {name}");
    }
}

#[test]
fn no_link_in_the_documentation_is_dead() {
    let dead = links::dead();
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

#[test]
fn every_page_of_the_manual_is_in_its_summary_and_nothing_else_is() {
    let summary = Page::read("docs/SUMMARY.md");
    let mut listed = links::targets(&summary);
    let mut there: Vec<String> = manual().into_iter().map(|page| page.name).collect();
    listed.iter_mut().for_each(|page| page.insert_str(0, "docs/"));
    listed.sort();
    there.sort();
    assert_eq!(listed, there);
}

/// The pages of the manual, its summary aside.
fn manual() -> Vec<Page> {
    let all = markdown_files().into_iter();
    all.filter(|page| page.name.starts_with("docs/") && page.name != "docs/SUMMARY.md")
        .collect()
}

fn readme_and_manual() -> Vec<Page> {
    let mut pages = manual();
    pages.push(Page::read("README.md"));
    pages
}

/// The block of docs/configuration.md that lists all keys.
pub(crate) fn listing() -> Block {
    let page = Page::read("docs/configuration.md");
    let listing = page.blocks.into_iter().find(|block| block.info == "toml");
    listing.expect("a listing of all keys")
}

/// The configuration that the sidecar reads from this text.
fn load(text: &str) -> Result<serde_json::Value, String> {
    let folder = tempfile::tempdir_in(root().join("target")).unwrap();
    let file = folder.path().join("pointsman.toml");
    std::fs::write(&file, text).unwrap();
    let embedded = !text.contains("bootstrap_servers");
    let overrides = Overrides { embedded };
    let loaded = Config::load(Some(&file), [], &overrides).map_err(|error| error.to_string())?;
    Ok(loaded.redacted())
}
