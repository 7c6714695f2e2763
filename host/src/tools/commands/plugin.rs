//! `pointsman plugin …`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks to its terminal"
)]

use std::{process::ExitCode, time::Duration};

use super::surroundings::{admin, config_file};
use crate::tools::{
    cli::{Bench, Build, Check, Dev, New, Plugin, Test},
    plugin_build, plugin_new, plugin_trial,
};

pub(super) fn run(command: Plugin) -> anyhow::Result<ExitCode> {
    match command {
        Plugin::New(options) => begin(&options),
        Plugin::Build(options) => build(&options),
        Plugin::Dev(options) => dev(options),
        Plugin::Check(options) => check(&options),
        Plugin::Test(options) => test(&options),
        Plugin::Bench(options) => bench(&options),
    }
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
    // `plugin new` has written this file.
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

/// Reports why a tool has no result: as JSON on standard output for scripts, else as an ordinary error for people.
fn refused(error: anyhow::Error, json: bool) -> anyhow::Result<ExitCode> {
    if !json {
        return Err(error);
    }
    println!("{}", plugin_trial::refusal(&error));
    Ok(ExitCode::FAILURE)
}

fn test(options: &Test) -> anyhow::Result<ExitCode> {
    let outcomes = match plugin_trial::test::test(&options.file, &options.cases, options.routes.as_deref()) {
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
            topic: &options.topic,
            routes: options.routes.as_deref(),
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
