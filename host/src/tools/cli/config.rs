//! `pointsman config`: what tools and people want to know about a configuration without starting anything.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::config::{self, Overrides};

/// `pointsman config`.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Print the JSON Schema of the configuration file, for editors.
    Schema,
    /// Say everything that is wrong with a configuration file, a line each; exit code 64 if anything is.
    Check(Check),
}

/// `pointsman config check`.
#[derive(Debug, Args)]
#[command(
    after_help = "It reads what `pointsman run` would read at its start, and starts nothing: the file, the environment over it \
                  (POINTSMAN_LISTEN__HTTP and the like), and the files that they name. Plugins are looked over by `pointsman plugin check`."
)]
pub struct Check {
    /// The configuration file (TOML).
    #[arg(
        value_name = "FILE",
        help = "The configuration file (TOML); else POINTSMAN_CONFIG names it"
    )]
    pub file: Option<PathBuf>,
    /// Check it for `pointsman run --embedded`.
    #[arg(long)]
    pub embedded: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Config {
    /// The file that the command names.
    pub fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::Schema => None,
            Self::Check(check) => check.file.as_ref(),
        }
    }
}

/// Runs the command and writes the result to `out`. True if the configuration has no mistakes.
pub fn run(
    asked: &Config,
    file: Option<&Path>,
    environment: Vec<(String, String)>,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let (text, fine) = match asked {
        Config::Schema => (format!("{:#}\n", config::schema()), true),
        Config::Check(options) => check(options, file, environment),
    };
    said(out, text.as_bytes())?;
    Ok(fine)
}

fn check(options: &Check, file: Option<&Path>, environment: Vec<(String, String)>) -> (String, bool) {
    let overrides = Overrides {
        embedded: options.embedded,
    };
    let mistakes = config::Config::mistakes(file, environment, &overrides);
    let fine = mistakes.is_empty();
    if options.json {
        return (
            format!("{}\n", json!({"file": file, "fine": fine, "mistakes": mistakes})),
            fine,
        );
    }
    if fine {
        let what = file.map_or_else(|| "the environment".to_owned(), |file| file.display().to_string());
        return (format!("{what}: fine\n"), fine);
    }
    (mistakes.iter().map(|mistake| format!("{mistake}\n")).collect(), fine)
}

/// Writes the text. A reader that closes the pipe early, as `head` does, is not an error.
pub(super) fn said(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}
