//! The `pointsman` program: reads the command line, starts what it names, turns the end into an exit code.
//!
//! 0 fine, 1 failed, 2 usage, 64 bad configuration.
#![allow(clippy::print_stderr, reason = "a process that compiles tells its parent there")]

use std::process::ExitCode;

use clap::Parser as _;
use pointsman::{
    config::{ConfigError, Overrides},
    plugin::compile::{self, child},
    reload::ConfigFile,
    run::{self, logging},
    schemas::Incompatible,
    tools::{
        cli::{Cli, Command, Run},
        commands,
    },
};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Run(options) => serve(&options),
        Command::Other(command) => commands::run(command),
        Command::CompileComponent(options) => {
            let limits = child::ChildLimits {
                memory_bytes: options.memory_bytes,
                cpu_seconds: options.cpu_seconds,
                instance_bytes: options.instance_bytes,
            };
            return in_child(child::compile(limits, options.functions.as_deref()));
        }
        Command::LookOverComponent(options) => return in_child(child::look_over(options.load_bytes)),
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            logging::last_words(format!("pointsman: {error:#}"));
            match error.is::<ConfigError>() || error.is::<Incompatible>() {
                true => ExitCode::from(commands::BAD_CONFIGURATION),
                false => ExitCode::FAILURE,
            }
        }
    }
}

/// How a process that compiles ends. Its limits may leave no room for a thread, and its parent reads.
fn in_child(ended: anyhow::Result<()>) -> ExitCode {
    let Err(error) = ended else {
        return ExitCode::SUCCESS;
    };
    eprintln!("pointsman: {}", child::last_words(&error));
    match error.is::<child::NotWritten>() {
        true => ExitCode::from(compile::NO_ROOM),
        false => ExitCode::FAILURE,
    }
}

fn serve(options: &Run) -> anyhow::Result<ExitCode> {
    let overrides = Overrides {
        embedded: options.embedded,
    };
    let file = commands::config_file(options.config.as_ref());
    let config_file = ConfigFile::new(file, commands::environment(), overrides);
    let loaded = config_file.load()?;
    let log = logging::init(&loaded.config.log)?;
    let ended = run::run(loaded, config_file, &log);
    log.flush();
    ended
}
