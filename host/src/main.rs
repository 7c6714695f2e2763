//! The `pointsman` program: reads the command line, starts what it names, turns the end into an exit code.
//!
//! 0 fine, 1 failed, 2 usage, 64 bad configuration.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks to its terminal"
)]

use std::{env, io, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser as _;
use hyper::Method;
use pointsman::{
    config::{Config, ConfigError, Overrides},
    plugin::compile::{self, child},
    reload::ConfigFile,
    run::{self, logging},
    tools::{
        admin_client,
        cli::{self, Admin, Bench, Build, Check, Cli, Command, Dev, Load, New, Plugin, Probe, Probed, Run, Test},
        load, plugin_build, plugin_new, plugin_trial,
    },
};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const BAD_CONFIGURATION: u8 = 64;

fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Run(options) => serve(&options),
        Command::Probe(options) => probe(&options),
        Command::Drain(options) => drain(&options),
        Command::Load(options) => send(&options),
        Command::Plugin(Plugin::New(options)) => begin(&options),
        Command::Plugin(Plugin::Build(options)) => build(&options),
        Command::Plugin(Plugin::Dev(options)) => dev(options),
        Command::Plugin(Plugin::Check(options)) => check(&options),
        Command::Plugin(Plugin::Test(options)) => test(&options),
        Command::Plugin(Plugin::Bench(options)) => bench(&options),
        Command::Config(asked) => config(&asked),
        Command::Completions(options) => {
            cli::reference::completions(&options, &mut io::stdout()).map(|()| ExitCode::SUCCESS)
        }
        Command::Man(options) => cli::reference::man(&options, &mut io::stdout()).map(|()| ExitCode::SUCCESS),
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
            match error.downcast_ref::<ConfigError>() {
                Some(_) => ExitCode::from(BAD_CONFIGURATION),
                None => ExitCode::FAILURE,
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
    let config_file = ConfigFile::new(config_file(options.config.as_ref()), environment(), overrides);
    let loaded = config_file.load()?;
    let log = logging::init(&loaded.config.log)?;
    let ended = run::run(loaded, config_file, &log);
    log.flush();
    ended
}

/// How long a probe waits.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// A drain has a deadline of its own; this is for a sidecar that does not keep it.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3_600);

fn probe(options: &Probe) -> anyhow::Result<ExitCode> {
    let path = match options.what {
        Probed::Live => "/live",
        Probed::Ready => "/ready",
    };
    let (status, body) = admin_client::ask(&admin(&options.admin)?, Method::GET, path, PROBE_TIMEOUT)?;
    print!("{body}");
    Ok(if status.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
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
    let (status, body) = admin_client::ask(&admin(options)?, Method::POST, "/drain", DRAIN_TIMEOUT)?;
    print!("{body}");
    Ok(if status.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Whom the options mean: what they name themselves, else what the configuration says that the sidecar was started with.
fn admin(options: &Admin) -> anyhow::Result<admin_client::Admin> {
    let file = config_file(options.config.as_ref());
    let listen = Config::listen(file.as_deref(), environment())?;
    let token_file = options.token_file.as_ref().or(listen.admin_token_file.as_ref());
    let token = match token_file {
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read the admin listener's token in {}", file.display()))?;
            Some(text.trim_end().to_owned())
        }
        None => None,
    };
    Ok(admin_client::Admin {
        address: options.admin.unwrap_or(listen.admin),
        token,
    })
}

fn config(asked: &cli::config::Config) -> anyhow::Result<ExitCode> {
    let file = config_file(asked.file());
    let fine = cli::config::run(asked, file.as_deref(), environment(), &mut io::stdout())?;
    Ok(match fine {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(BAD_CONFIGURATION),
    })
}

fn config_file(option: Option<&PathBuf>) -> Option<PathBuf> {
    option
        .cloned()
        .or_else(|| env::var_os("POINTSMAN_CONFIG").map(PathBuf::from))
}

/// A variable that is no text cannot be one of ours.
fn environment() -> Vec<(String, String)> {
    env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn begin(options: &New) -> anyhow::Result<ExitCode> {
    let new = plugin_new::new(&options.name, options.lang, options.dir.as_deref())?;
    println!(
        "made {}: a plugin in {}, {} files. Next:",
        new.dir.display(),
        options.lang,
        new.files
    );
    for command in new.next {
        println!("  {command}");
    }
    println!("The rule by itself: {}", new.test);
    Ok(ExitCode::SUCCESS)
}

fn build(options: &Build) -> anyhow::Result<ExitCode> {
    let mut progress = |line: &str| {
        if !options.quiet {
            eprintln!("{line}");
        }
    };
    let (out, sysroot) = (options.out.as_deref(), options.sysroot.as_deref());
    let built = plugin_build::build(&options.dir, out, sysroot, &mut progress)?;
    for plugin in built {
        if options.json {
            println!(
                "{}",
                serde_json::json!({
                    "name": plugin.name,
                    "file": plugin.file,
                    "bytes": plugin.bytes,
                    "sha256": plugin.sha256,
                })
            );
        } else {
            println!(
                "{}  {} bytes  sha256 {}",
                plugin.file.display(),
                plugin.bytes,
                plugin.sha256
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn dev(mut options: Dev) -> anyhow::Result<ExitCode> {
    // Which `plugin new` has written.
    let own = options.dir.join(plugin_trial::dev::CONFIG);
    options.admin.config = config_file(options.admin.config.as_ref()).or_else(|| own.is_file().then_some(own));
    let admin = admin(&options.admin)?;
    let well = plugin_trial::dev::dev(&options, &admin, &mut |line| print!("{line}"))?;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check(options: &Check) -> anyhow::Result<ExitCode> {
    match plugin_trial::check::check(&options.file, options.config.as_deref()) {
        Ok(checked) if options.json => println!("{}", checked.json()),
        Ok(checked) => print!("{}", checked.text(&options.file)),
        Err(error) => return refused(error, options.json),
    }
    Ok(ExitCode::SUCCESS)
}

/// Why a tool came to no result: for scripts on standard output, for people where other errors go.
fn refused(error: anyhow::Error, json: bool) -> anyhow::Result<ExitCode> {
    if !json {
        return Err(error);
    }
    println!("{}", plugin_trial::refusal(&error));
    Ok(ExitCode::FAILURE)
}

fn test(options: &Test) -> anyhow::Result<ExitCode> {
    let outcomes = match plugin_trial::test::test(&options.file, &options.cases) {
        Ok(outcomes) => outcomes,
        Err(error) => return refused(error, options.json),
    };
    if options.json {
        print!("{}", plugin_trial::test::json_lines(&outcomes));
    } else {
        print!("{}", plugin_trial::test::text(&outcomes));
    }
    Ok(match outcomes.iter().all(|outcome| outcome.passed) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn bench(options: &Bench) -> anyhow::Result<ExitCode> {
    let measured = match plugin_trial::bench::bench(
        &options.file,
        &plugin_trial::bench::Options {
            records: options.records.as_deref(),
            partitions: options.partitions,
            config: options.config.as_deref(),
            duration: Duration::from_secs(options.seconds.max(1)),
        },
    ) {
        Ok(measured) => measured,
        Err(error) => return refused(error, options.json),
    };
    if options.json {
        println!("{}", measured.json());
    } else {
        print!("{}", measured.text());
    }
    Ok(ExitCode::SUCCESS)
}
