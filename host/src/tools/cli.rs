//! The command line.

mod admin;
pub mod config;
pub mod reference;
pub mod routes;
pub mod schema;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub use self::admin::Admin;
use crate::tools::{plugin_build::Language, plugin_trial::bench};

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
    /// All subcommands but `run`.
    #[command(flatten)]
    Other(Other),
    /// Compile the component on standard input, within limits. Only the sidecar starts this.
    #[command(name = crate::plugin::compile::SUBCOMMAND, hide = true)]
    CompileComponent(CompileComponent),
    /// Load compiled code, within limits. Only the sidecar starts this.
    #[command(name = crate::plugin::compile::LOOK_OVER, hide = true)]
    LookOverComponent(LookOverComponent),
}

/// All subcommands but `run`.
#[derive(Debug, Subcommand)]
pub enum Other {
    /// Ask a running sidecar whether it lives, or is ready.
    Probe(Probe),
    /// Ask a running sidecar to drain, and wait until it has; it ends with the next signal, or by itself a little
    /// later.
    Drain(Admin),
    /// Send records to a running sidecar and measure rate, latency and what it costs.
    Load(Load),
    /// Work with plugins.
    #[command(subcommand)]
    Plugin(Plugin),
    /// Look at the routing table of tenants, and change it.
    #[command(subcommand)]
    Routes(routes::Routes),
    /// Check, encode or decode a value by a schema of a registry.
    #[command(subcommand)]
    Schema(schema::Schema),
    /// Check a configuration file or print its schema, without starting anything.
    #[command(subcommand)]
    Config(config::Config),
    /// Print the script that makes a shell complete this command.
    Completions(Completions),
    /// Print the manual page, or write all of them.
    Man(Man),
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
    /// What an instance may take.
    #[arg(long)]
    pub instance_bytes: u64,
    /// Functions that were compiled before.
    #[arg(long)]
    pub functions: Option<PathBuf>,
}

/// `pointsman look-over-component`.
#[derive(Debug, Args)]
pub struct LookOverComponent {
    /// What loading may take.
    #[arg(long)]
    pub load_bytes: u64,
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

/// `pointsman probe`.
#[derive(Debug, Args)]
pub struct Probe {
    /// What to ask.
    #[arg(value_enum)]
    pub what: Probed,
    /// The sidecar to ask.
    #[command(flatten)]
    pub admin: Admin,
}

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Probed {
    /// Whether it lives: a restart is the cure if not.
    Live,
    /// Whether it can take records.
    Ready,
}

/// `pointsman plugin`.
#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// Begin a plugin: a folder with a complete plugin in it, to change.
    New(New),
    /// Build a plugin in Rust, C, JavaScript, Python or Go into a component.
    Build(Build),
    /// Build, test and bring a plugin into a running sidecar, again whenever its source changes; says which records
    /// move.
    Dev(Dev),
    /// Look a component over as the sidecar does before it takes one.
    Check(Check),
    /// Compare a plugin's decisions with a table of cases.
    Test(Test),
    /// Measure what a plugin costs, and how it spreads records.
    Bench(Bench),
}

/// `pointsman plugin dev`.
#[derive(Debug, Args)]
pub struct Dev {
    /// The plugin's folder.
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// The sidecar.
    #[command(flatten)]
    pub admin: Admin,
    /// Where the component goes.
    #[arg(
        long,
        value_name = "DIR",
        help = "Where the component goes; else where the running sidecar has it"
    )]
    pub plugins: Option<PathBuf>,
    /// Records as the ingest API takes them, one a line, to show how many of them move.
    #[arg(long, value_name = "FILE")]
    pub records: Option<PathBuf>,
    /// Partitions of the topic of those records.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub partitions: u32,
    /// Start a sidecar to try the plugin in, by the plugin's pointsman.toml or --config; it ends with this command.
    #[arg(long, conflicts_with = "once")]
    pub run: bool,
    /// One round; the exit code says whether all went well.
    #[arg(long)]
    pub once: bool,
    /// Also bring in a plugin that fails its cases.
    #[arg(long)]
    pub force: bool,
    /// Print one JSON object for each event.
    #[arg(long)]
    pub json: bool,
}

/// `pointsman plugin check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The component.
    pub file: PathBuf,
    /// The route's config, as JSON.
    #[arg(long, value_name = "JSON")]
    pub config: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `pointsman plugin test`.
#[derive(Debug, Args)]
#[command(after_help = crate::tools::plugin_trial::cases::HELP)]
pub struct Test {
    /// The component.
    pub file: PathBuf,
    /// The cases: TOML, or one JSON object a line (.ndjson, .jsonl).
    pub cases: PathBuf,
    /// The routing table of tenants, as the store `file:FILE` has it; else tenants go by the key hash of their names.
    #[arg(long, value_name = "FILE")]
    pub routes: Option<PathBuf>,
    /// Print one JSON object for each case.
    #[arg(long)]
    pub json: bool,
}

/// `pointsman plugin bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// The component.
    pub file: PathBuf,
    /// Records as the ingest API takes them, one a line; else 10,000 are made up.
    #[arg(long, value_name = "FILE")]
    pub records: Option<PathBuf>,
    /// Partitions of the topic.
    #[arg(long, default_value_t = 12)]
    pub partitions: u32,
    /// The topic of records that name none.
    #[arg(long, value_name = "NAME", default_value = bench::TOPIC)]
    pub topic: String,
    /// The routing table of tenants, as the store `file:FILE` has it; else tenants go by the key hash of their names.
    #[arg(long, value_name = "FILE")]
    pub routes: Option<PathBuf>,
    /// The route's config, as JSON.
    #[arg(long, value_name = "JSON")]
    pub config: Option<String>,
    /// How long to measure.
    #[arg(long, default_value_t = 2)]
    pub seconds: u64,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
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
    /// The C library for WebAssembly.
    #[arg(
        long,
        value_name = "DIR",
        help = "The C library for WebAssembly; else WASI_SYSROOT or WASI_SDK_PATH name it, or it is found"
    )]
    pub sysroot: Option<PathBuf>,
    /// Do not print the steps.
    #[arg(long)]
    pub quiet: bool,
    /// Print one JSON object for each plugin.
    #[arg(long)]
    pub json: bool,
}

/// `pointsman load`.
#[derive(Debug, Clone, Args)]
pub struct Load {
    /// The sidecar's Unix socket.
    #[arg(long, value_name = "PATH", conflicts_with = "http", required_unless_present = "http")]
    pub unix: Option<PathBuf>,
    /// The sidecar's TCP address.
    #[arg(long, value_name = "HOST:PORT")]
    pub http: Option<String>,
    /// The bearer token, over TCP off loopback.
    #[arg(long)]
    pub token: Option<String>,
    /// The topic. Records are really sent there.
    #[arg(long)]
    pub topic: String,
    /// Send to this many topics instead: TOPIC-0, TOPIC-1, … in turn.
    #[arg(long, default_value_t = 1, value_parser = count)]
    pub topics: usize,
    /// How records are sent.
    #[arg(long, value_enum, default_value_t = LoadFormat::Json)]
    pub format: LoadFormat,
    /// Connections at once.
    #[arg(long, default_value_t = 8, value_parser = count)]
    pub connections: usize,
    /// Records in a request, or in a piece of a stream; octet has 1.
    #[arg(long, default_value_t = 500, value_parser = count)]
    pub batch: usize,
    /// Requests under way on each connection (HTTP/1.1 pipelining) [default: 1]; pieces of a stream [default: as many as
    /// the sidecar takes].
    #[arg(long, value_parser = count)]
    pub in_flight: Option<usize>,
    /// What the records' values are [default: objects; text with --value-bytes].
    #[arg(long, value_enum)]
    pub values: Option<LoadValues>,
    /// Bytes of a value that is text [default: 100].
    #[arg(long)]
    pub value_bytes: Option<usize>,
    /// Give each record a header tenant-id: one of so many tenants, of which the n-th sends 1/n of what the first does.
    #[arg(long, value_parser = tenants)]
    pub tenants: Option<usize>,
    /// Records a second, in all. Latency then counts from when a request was due. Without it, as fast as answers come.
    #[arg(long)]
    pub rate: Option<f64>,
    /// How long to measure.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// How long to send before measuring.
    #[arg(long, default_value_t = 1.0)]
    pub warm_up: f64,
    /// The sidecar's process, for its CPU time and memory.
    #[arg(long)]
    pub pid: Option<u32>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// How `pointsman load` sends records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadFormat {
    /// A JSON document a request.
    Json,
    /// A record a line.
    Ndjson,
    /// One record a request, its value being the body.
    Octet,
    /// The packed format, answers too.
    Packed,
    /// A stream.
    Stream,
    /// Calls of gRPC's Produce.
    Grpc,
    /// A stream of gRPC.
    GrpcStream,
    /// A CloudEvent a request, its attributes as headers.
    CloudEvent,
}

/// What the values are that `pointsman load` sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LoadValues {
    /// The same letter again and again, and the same request too: what a sidecar has to do at least.
    Text,
    /// JSON objects of six fields, 130 to 210 bytes, each another one.
    Objects,
}

/// Parses a count from 1 to a limit that nobody should need to exceed.
fn tenants(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=1_000_000).contains(number));
    number.ok_or_else(|| "expected a number from 1 to 1000000".to_owned())
}

fn count(given: &str) -> Result<usize, String> {
    match given.parse() {
        Ok(count @ 1..=10_000) => Ok(count),
        _ => Err("expected a number from 1 to 10000".to_owned()),
    }
}

/// `pointsman completions`.
#[derive(Debug, Args)]
#[command(
    after_help = "bash: pointsman completions bash > /etc/bash_completion.d/pointsman; or, for this shell alone, \
                        source <(pointsman completions bash)"
)]
pub struct Completions {
    /// For which shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `pointsman man`.
#[derive(Debug, Args)]
#[command(after_help = "To read it: pointsman man | man -l -")]
pub struct Man {
    /// Write a page for each subcommand into this folder; else the first page is printed.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
