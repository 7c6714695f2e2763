//! The child's side of compiling: a process of this same program that limits itself, compiles, and loads the code for a try.

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

use super::{
    error::malformed,
    instance_size::surveyed,
    protocol::{LOOK_OVER, OWN_PROGRAM, SAID_BYTES, SURVEY},
};
use crate::{
    base::text::shorten,
    plugin::{artifact::OwnCode, code::link, engine, functions::Functions},
};

/// Files that the child may have open: its three standard ones, and those of `/proc` that it reads about itself.
const OPEN_FILES: u64 = 16;
/// The allocator may take this much more from the system than it was asked for.
const ALLOCATOR_BYTES: u64 = 8 << 20;

/// What the child may use.
#[derive(Debug, Clone, Copy)]
pub struct ChildLimits {
    /// Address space beyond what the program itself takes, bytes.
    pub memory_bytes: u64,
    /// CPU time, seconds.
    pub cpu_seconds: u64,
    /// What an instance may take, and what loading the code may take, bytes.
    pub instance_bytes: u64,
}

/// The first half of the child: limits itself, compiles standard input to standard output, and goes on as [`look_over`]. An
/// error is the component's fault. Functions that the file `functions` holds are not compiled again.
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
    // Flushed here: an error of a flush at the end of the process would go unnoticed.
    let mut out = io::stdout().lock();
    out.write_all(&code).and_then(|()| out.flush()).map_err(NotWritten)?;
    // An error does not matter: the next compilation takes longer, no more. A full disk already failed the write above.
    let _ = functions.map(|functions| functions.keep());
    let survey = serde_json::to_string(&survey)?;
    writeln!(io::stderr(), "{SURVEY}{survey}").map_err(NotWritten)?;
    // A new process image, without the memory that compiling has left behind: so the limit is only about loading.
    let failed = Command::new(OWN_PROGRAM)
        .arg(LOOK_OVER)
        .args(["--load-bytes", &limits.instance_bytes.to_string()])
        .exec();
    Err(NotWritten(failed).into())
}

/// The second half of the child: loads the code that it wrote to standard output, and links it. An error is the component's
/// fault.
pub fn look_over(load_bytes: u64) -> anyhow::Result<()> {
    let code = OwnCode::OwnOutput;
    let code_bytes = fs::metadata(code.path())?.len();
    let taken = proc_status("VmData:").context("the compiler cannot read how much memory it takes")?;
    set(Resource::Data, taken + load_bytes + code_bytes + ALLOCATOR_BYTES)?;
    let engine = engine::compile_only()?;
    let component = code.load(&engine).map_err(|error| anyhow::anyhow!("{error:#}"))?;
    link(&engine, &component)?;
    Ok(())
}

/// A size from `/proc/self/status`, bytes.
fn proc_status(line: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let found = status.lines().find_map(|found| found.strip_prefix(line))?;
    Some(found.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// The text of the error that the child ends with, cut to what its parent reads.
pub fn last_words(error: &anyhow::Error) -> String {
    shorten(&format!("{error:#}"), SAID_BYTES as usize / 2).into_owned()
}

/// The compiled code could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the compiled code cannot be written: {0}")]
pub struct NotWritten(io::Error);

/// Sets a limit that this process cannot raise again.
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
    // Best effort: some container sandboxes do not have this file. Where it exists, a process may always raise its own score.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    let pages = fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = pages.split(' ').next().unwrap_or_default().parse()?;
    let taken = pages * rustix::param::page_size() as u64;
    set(Resource::Core, 0)?;
    // At the lower limit the process gets SIGXCPU, by which the parent knows the reason; at the upper one it is killed.
    let (current, maximum) = (Some(cpu_seconds), Some(cpu_seconds + 1));
    rustix::process::setrlimit(Resource::Cpu, Rlimit { current, maximum })?;
    set(Resource::Nofile, OPEN_FILES)?;
    // The file cannot be larger than the memory: the code is in memory before it is written.
    set(Resource::Fsize, memory_bytes)?;
    set(Resource::As, taken.saturating_add(memory_bytes))?;
    Ok(())
}
