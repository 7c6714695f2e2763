//! The child's side: a process of this same program that limits itself, compiles, and looks over what it has made.

use std::{
    fs, io,
    io::{Read as _, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::Command,
    sync::Arc,
};

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, Signal};

use super::{LOOK_OVER, OWN_PROGRAM, SAID_BYTES, SURVEY, malformed, own_file, surveyed};
use crate::{
    base::text::shorten,
    plugin::{artifact, code::link, engine, functions::Functions},
};

/// Files that the child may have open: its three, and what it reads about itself.
const OPEN_FILES: u64 = 16;
/// What an allocator takes at once, at most, beyond what is asked of it.
const ALLOCATOR_BYTES: u64 = 8 << 20;

/// What the child may use.
#[derive(Debug, Clone, Copy)]
pub struct ChildLimits {
    /// Address space beyond what the program itself takes.
    pub memory_bytes: u64,
    /// CPU time.
    pub cpu_seconds: u64,
    /// Of an instance, and of loading the code.
    pub instance_bytes: u64,
}

/// The child: limits itself, then compiles standard input to standard output, and goes on as [`look_over`]. An error is the component's.
/// Functions that it finds in the file of that name are not compiled again.
pub fn compile(limits: ChildLimits, functions: Option<&Path>) -> anyhow::Result<()> {
    limit(limits).context("the compiler cannot limit itself")?;
    let mut component = Vec::new();
    io::stdin().read_to_end(&mut component)?;
    let survey = surveyed(&component, limits.instance_bytes)?;
    let functions = functions
        .filter(|_| Functions::fit(component.len()))
        .map(|file| Arc::new(Functions::read(file)));
    let engine = match &functions {
        Some(functions) => engine::compile_only_new(Arc::clone(functions))?,
        None => engine::compile_only()?,
    };
    let code = engine
        .precompile_component(&component)
        .map_err(|error| malformed(&format!("{error:#}")))?;
    drop(component);
    // Not left to the end of the process, where nobody hears of an error.
    let mut out = io::stdout().lock();
    out.write_all(&code).and_then(|()| out.flush()).map_err(NotWritten)?;
    // A disk that is full is told of when the code is written there.
    let _ = functions.map(|functions| functions.keep());
    let survey = serde_json::to_string(&survey)?;
    writeln!(io::stderr(), "{SURVEY}{survey}").map_err(NotWritten)?;
    // In a process without what compiling has left, so that it is known what loading takes.
    let failed = Command::new(OWN_PROGRAM)
        .arg(LOOK_OVER)
        .args(["--load-bytes", &limits.instance_bytes.to_string()])
        .exec();
    Err(NotWritten(failed).into())
}

/// The child goes on: loads what it has written to standard output, and links it. An error is the component's.
pub fn look_over(load_bytes: u64) -> anyhow::Result<()> {
    let code = own_file(&io::stdout());
    let code_bytes = fs::metadata(&code)?.len();
    let taken = proc_status("VmData:").context("the memory of the compiler cannot be told")?;
    set(Resource::Data, taken + load_bytes + code_bytes + ALLOCATOR_BYTES)?;
    let engine = engine::compile_only()?;
    let component = artifact::load(&engine, &code).map_err(|error| anyhow::anyhow!("{error:#}"))?;
    link(&engine, &component)?;
    Ok(())
}

/// A line of what the kernel tells of this process, bytes.
fn proc_status(line: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let found = status.lines().find_map(|found| found.strip_prefix(line))?;
    Some(found.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// What a child says when it ends by an error: bounded, since its parent reads a little only.
pub fn last_words(error: &anyhow::Error) -> String {
    shorten(&format!("{error:#}"), SAID_BYTES as usize / 2).into_owned()
}

/// There is code, and no room for it.
#[derive(Debug, thiserror::Error)]
#[error("the compiled code cannot be written: {0}")]
pub struct NotWritten(io::Error);

/// For good: it cannot be raised again.
fn set(resource: Resource, value: u64) -> rustix::io::Result<()> {
    let (current, maximum) = (Some(value), Some(value));
    rustix::process::setrlimit(resource, Rlimit { current, maximum })
}

fn limit(limits: ChildLimits) -> anyhow::Result<()> {
    let ChildLimits {
        memory_bytes,
        cpu_seconds,
        ..
    } = limits;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::process::setpriority_process(None, 19)?;
    // Best effort: a sandbox may not have the file, and raising one's own score is always allowed where it is.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    let pages = fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = pages.split(' ').next().unwrap_or_default().parse()?;
    let taken = pages * rustix::param::page_size() as u64;
    set(Resource::Core, 0)?;
    // At the lower bound comes a signal that tells what it was.
    let (current, maximum) = (Some(cpu_seconds), Some(cpu_seconds + 1));
    rustix::process::setrlimit(Resource::Cpu, Rlimit { current, maximum })?;
    set(Resource::Nofile, OPEN_FILES)?;
    // The code was in memory before it is written.
    set(Resource::Fsize, memory_bytes)?;
    set(Resource::As, taken.saturating_add(memory_bytes))?;
    Ok(())
}
