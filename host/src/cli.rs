//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::plugin_build::Language;

/// A sidecar that sets the Kafka partition of every record by your own plugin.
#[derive(Debug, Parser)]
#[command(name = "pointsman", version, about, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve: take records, ask the plugin, produce, answer.
    Run(Run),
    /// Work with plugins.
    #[command(subcommand)]
    Plugin(Plugin),
    /// What the sidecar starts for itself: compile the component on standard input, within limits.
    #[command(name = crate::plugin::compile::SUBCOMMAND, hide = true)]
    CompileComponent(CompileComponent),
}

/// `pointsman compile-component`.
#[derive(Debug, Args)]
pub struct CompileComponent {
    /// Address space.
    #[arg(long)]
    pub memory_bytes: u64,
    /// CPU time.
    #[arg(long)]
    pub cpu_seconds: u64,
}

/// `pointsman run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The configuration file (TOML).
    #[arg(
        long,
        value_name = "FILE",
        help = "The configuration file (TOML); else POINTSMAN_CONFIG names it"
    )]
    pub config: Option<PathBuf>,
    /// Use a broker inside this process, for trying things out. Nothing is kept.
    #[arg(long)]
    pub embedded: bool,
}

/// `pointsman plugin`.
#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// Begin a plugin: a folder with a whole one in it, to change.
    New(New),
    /// Build a plugin in Rust, C, JavaScript or Python into a component.
    Build(Build),
}

/// `pointsman plugin new`.
#[derive(Debug, Args)]
pub struct New {
    /// What it is called: letters, digits, `-` and `_`, a letter first.
    pub name: String,
    /// What it is written in.
    #[arg(long, value_enum)]
    pub lang: Language,
    /// The folder to make; `./<name>` by default.
    #[arg(long)]
    pub dir: Option<PathBuf>,
}

/// `pointsman plugin build`.
#[derive(Debug, Args)]
pub struct Build {
    /// The plugin's folder, or a cargo workspace of plugins.
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// Where `<name>.wasm` goes; `<dir>/dist` by default.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Print one JSON object a plugin.
    #[arg(long)]
    pub json: bool,
}
