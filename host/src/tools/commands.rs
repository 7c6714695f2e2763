//! What every command but `pointsman run` does, up to its exit code.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks to its terminal"
)]

mod plugin;
mod surroundings;

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
    time::Duration,
};

use hyper::Method;

use self::surroundings::admin;
pub use self::surroundings::{config_file, environment};
use crate::tools::{
    admin_client,
    cli::{self, Admin, Load, Other, Probe, Probed, routes::Routes, schema::Schema},
    load, routes, schema,
};

/// The exit code for a wrong configuration.
pub const BAD_CONFIGURATION: u8 = 64;
/// How long a probe waits.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// A drain has a deadline of its own. This limit is for a sidecar that does not keep that deadline.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3_600);

/// Runs the command.
pub fn run(command: Other) -> anyhow::Result<ExitCode> {
    match command {
        Other::Probe(options) => probe(&options),
        Other::Drain(options) => drain(&options),
        Other::Load(options) => send(&options),
        Other::Plugin(plugin) => plugin::run(plugin),
        Other::Routes(asked) => routes(asked),
        Other::Schema(asked) => schema(asked),
        Other::Config(asked) => config(&asked),
        Other::Completions(options) => succeeded(cli::reference::completions(&options, &mut io::stdout())),
        Other::Man(options) => succeeded(cli::reference::man(&options, &mut io::stdout())),
    }
}

fn succeeded(done: anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    done.map(|()| ExitCode::SUCCESS)
}

fn probe(options: &Probe) -> anyhow::Result<ExitCode> {
    let path = match options.what {
        Probed::Live => "/live",
        Probed::Ready => "/ready",
    };
    ask(&options.admin, Method::GET, path, PROBE_TIMEOUT)
}

fn send(options: &Load) -> anyhow::Result<ExitCode> {
    let report = load::run(options)?;
    match options.json {
        true => println!("{}", serde_json::to_string(&report)?),
        false => print!("{report}"),
    }
    Ok(match report.records {
        0 => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

fn drain(options: &Admin) -> anyhow::Result<ExitCode> {
    ask(options, Method::POST, "/drain", DRAIN_TIMEOUT)
}

/// Asks the sidecar and prints its answer. Any status but success is a failure.
fn ask(options: &Admin, method: Method, path: &str, timeout: Duration) -> anyhow::Result<ExitCode> {
    let (status, body) = admin_client::ask(&admin(options)?, method, path, timeout)?;
    print!("{body}");
    Ok(if status.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn routes(mut asked: Routes) -> anyhow::Result<ExitCode> {
    if let Some(store) = asked.store_mut() {
        store.config = config_file(store.config.as_ref());
    }
    let around = routes::Surroundings {
        environment: environment(),
        is_terminal: io::stdout().is_terminal(),
        out: &mut io::stdout(),
        partitions: &routes::ask_brokers,
        admin: &admin,
    };
    ended(routes::run(&asked, around))
}

fn schema(mut asked: Schema) -> anyhow::Result<ExitCode> {
    let at = asked.asked_mut();
    at.config = config_file(at.config.as_ref());
    ended(schema::run(&asked, environment(), &mut io::stdout()))
}

/// The exit code of a command that says whether all was well.
fn ended(run: anyhow::Result<bool>) -> anyhow::Result<ExitCode> {
    match run {
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => Ok(ExitCode::FAILURE),
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error),
    }
}

/// A reader that closes the pipe early, as `head` does, is not an error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn config(asked: &cli::config::Config) -> anyhow::Result<ExitCode> {
    let file = config_file(asked.file());
    let fine = cli::config::run(asked, file.as_deref(), environment(), &mut io::stdout())?;
    Ok(match fine {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(BAD_CONFIGURATION),
    })
}
