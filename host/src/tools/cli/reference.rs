//! `pointsman completions` and `pointsman man`: the command line for shells and for `man`. Both are made from [`Cli`].

use std::{fs, io::Write};

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};

use super::{Cli, Completions, Man, config::said};

/// Writes the script that makes a shell complete `pointsman`.
pub fn completions(options: &Completions, out: &mut impl Write) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut command(), "pointsman", &mut script);
    Ok(said(out, &script)?)
}

/// Writes one page for `man`, or all pages into a folder.
pub fn man(options: &Man, out: &mut impl Write) -> anyhow::Result<()> {
    let Some(folder) = &options.out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command()).render(&mut page)?;
        return Ok(said(out, &page)?);
    };
    let written = fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command(), folder));
    written.with_context(|| format!("cannot write the pages into {}", folder.display()))
}

/// The command line without the hidden commands, which only the sidecar starts.
fn command() -> Command {
    let whole = Cli::command();
    let shown: Vec<Command> = whole
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set())
        .cloned()
        .collect();
    let about = whole.get_about().cloned().unwrap_or_default();
    Command::new("pointsman")
        .version(env!("CARGO_PKG_VERSION"))
        .about(about)
        .subcommand_required(true)
        .subcommands(shown)
}
