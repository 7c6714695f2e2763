//! Components become machine code, in a child process with limits: whatever a component makes the compiler do, it cannot
//! take the memory, the processors or the life of the process that serves.
//!
//! The child is this same program, started as `pointsman compile-component`. Its standard input is the component and its
//! standard output the code, both files; what it has to say is on standard error. It is the first to go when memory runs
//! out, runs at the lowest priority, and is killed when its parent dies.

use std::{
    env,
    fs::{self, File},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::{
    fs::MemfdFlags,
    process::{Resource, Rlimit, Signal},
};
use wasmtime::component::Component;

use super::{Engine, artifact, cache::Cache, engine};
use crate::config;

/// The hidden subcommand that the child runs.
pub const SUBCOMMAND: &str = "compile-component";
/// Wall time that the child may take for each second of CPU time that it is allowed: it gives way to everybody else.
const WALL_PER_CPU: u32 = 10;
/// How often the child is looked at.
const LOOK: Duration = Duration::from_millis(1);
/// Most of what the child says that is kept, bytes.
const SAID_BYTES: u64 = 4_096;
/// Where the dynamic linker looks for what this program needs.
const LIBRARIES: &str = "LD_LIBRARY_PATH";
/// The child's exit code where there was code, and no room for it: `EX_IOERR` of `sysexits.h`.
pub const NO_ROOM: u8 = 74;
/// Files that the child may have open: its three, and what it reads about itself.
const OPEN_FILES: u64 = 16;
/// What a program says that finds no memory: the standard library's words, and the compiler's.
const OUT_OF_MEMORY: [&str; 2] = ["memory allocation", "out of memory"];
/// Of the memory that a container has left, the child may take this share.
const SHARE_OF_FREE: (u64, u64) = (3, 4);

/// What one compilation may use.
#[derive(Debug, Clone, Copy)]
pub struct CompileLimits {
    /// Address space beyond what the program itself takes.
    pub memory_bytes: u64,
    /// CPU time, in whole seconds.
    pub cpu: Duration,
}

impl From<&config::Plugins> for CompileLimits {
    fn from(config: &config::Plugins) -> Self {
        Self {
            memory_bytes: config.compile_memory_bytes,
            cpu: Duration::from_secs(config.compile_cpu_ms.div_ceil(1_000)),
        }
    }
}

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The component's own fault: the same bytes will fail again.
    #[error("{0}")]
    Component(String),
    /// Something around it, which may be otherwise next time.
    #[error("{0}")]
    Environment(String),
}

/// Why a child did not write code to a file.
enum NoCode {
    /// There is none.
    None(CompileError),
    /// There is, but the file did not take it.
    NotTaken(String),
}

impl From<CompileError> for NoCode {
    fn from(error: CompileError) -> Self {
        Self::None(error)
    }
}

/// Compiles components and remembers the code.
pub struct Compiler {
    engine: Engine,
    limits: CompileLimits,
    cache: Option<Cache>,
    /// Whether it was said that the cache takes no code; once is enough until it does again.
    is_cache_full: AtomicBool,
    /// The program that the child runs; none: compile in this process.
    program: Option<PathBuf>,
}

impl Compiler {
    /// Compiles in a child of the program that runs now, which must know [`SUBCOMMAND`].
    pub fn new(engine: Engine, limits: CompileLimits, cache: Option<Cache>) -> Self {
        Self {
            engine,
            limits,
            cache,
            is_cache_full: false.into(),
            // Not its path: an upgrade may have put another program there.
            program: Some(PathBuf::from("/proc/self/exe")),
        }
    }

    /// Compiles in this process, without limits: for components that are one's own, in tests and benchmarks.
    pub fn in_process(engine: Engine) -> Self {
        Self {
            engine,
            limits: CompileLimits::from(&config::Plugins::default()),
            cache: None,
            is_cache_full: false.into(),
            program: None,
        }
    }

    /// The engine that the code is for.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The code of a component, from the cache or compiled now. Takes from milliseconds to minutes.
    pub(super) fn compile(&self, digest: &str, bytes: &[u8]) -> Result<Component, CompileError> {
        let Some(program) = &self.program else {
            return Component::new(self.engine.wasm(), bytes).map_err(|error| invalid(&error));
        };
        let compatibility = self.engine.compatibility();
        if let Some(cache) = &self.cache
            && let Some(file) = cache.find(digest, &compatibility)
        {
            match artifact::load(&self.engine, &file) {
                Ok(component) => return Ok(component),
                Err(error) => {
                    tracing::warn!(file = %file.display(), %error, "compiled code cannot be used; compiling anew")
                }
            }
        }
        if let Some(cache) = &self.cache {
            match self.compile_and_keep(program, cache, digest, bytes) {
                Ok(component) => {
                    self.is_cache_full.store(false, Ordering::Relaxed);
                    return Ok(component);
                }
                Err(NoCode::None(error)) => return Err(error),
                Err(NoCode::NotTaken(problem)) => self.cache_is_full(&problem),
            }
        }
        self.compile_and_forget(program, bytes)
    }

    /// Into a file of the cache. A disk that is full, broken or read-only is not the component's fault.
    fn compile_and_keep(&self, program: &Path, cache: &Cache, digest: &str, bytes: &[u8]) -> Result<Component, NoCode> {
        let not_taken = |error: io::Error| NoCode::NotTaken(error.to_string());
        let (code, draft) = cache.draft().map_err(not_taken)?;
        let kept = self.in_child(program, bytes, &code).and_then(|()| {
            let kept = cache.keep(&draft, digest, &self.engine.compatibility());
            kept.map_err(not_taken)
        });
        if kept.is_err() {
            let _ = fs::remove_file(&draft);
        }
        artifact::load(&self.engine, &kept?).map_err(|error| NoCode::NotTaken(format!("{error:#}")))
    }

    /// Into memory.
    fn compile_and_forget(&self, program: &Path, bytes: &[u8]) -> Result<Component, CompileError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| CompileError::Environment(format!("{what}: {error}"));
        let code = memory_file("pointsman-code").map_err(|error| failed("no memory file for compiled code", &error))?;
        match self.in_child(program, bytes, &code) {
            Ok(()) => {}
            Err(NoCode::None(error)) => return Err(error),
            Err(NoCode::NotTaken(problem)) => return Err(failed("no memory for compiled code", &problem)),
        }
        artifact::load(&self.engine, &own_file(&code))
            .map_err(|error| failed("the compiled code cannot be used", &format!("{error:#}")))
    }

    fn cache_is_full(&self, problem: &str) {
        if !self.is_cache_full.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                problem,
                "plugins.cache_dir takes no compiled code: plugins are compiled into memory, and anew at the next start; make \
                 room there, or name another folder"
            );
        }
    }

    fn in_child(&self, program: &Path, bytes: &[u8], code: &File) -> Result<(), NoCode> {
        let environment = |error: io::Error| {
            NoCode::None(CompileError::Environment(format!(
                "the compiler cannot be started: {error}"
            )))
        };
        let mut component = memory_file("pointsman-component").map_err(environment)?;
        component
            .write_all(bytes)
            .and_then(|()| component.rewind())
            .map_err(environment)?;
        let memory_bytes = self.limits.memory_bytes.min(left_in_container().unwrap_or(u64::MAX));
        let mut child = Command::new(program)
            .arg(SUBCOMMAND)
            .args(["--memory-bytes", &memory_bytes.to_string()])
            .args(["--cpu-seconds", &self.limits.cpu.as_secs().to_string()])
            // The rest of the environment is not the compiler's business, and secrets may be in it.
            .env_clear()
            .envs(env::var_os(LIBRARIES).map(|path| (LIBRARIES, path)))
            .stdin(component)
            .stdout(code.try_clone().map_err(environment)?)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(environment)?;
        let ended = wait(&mut child, self.limits.cpu * WALL_PER_CPU).map_err(environment)?;
        let mut said = Vec::new();
        if let Some(stderr) = child.stderr.take() {
            let _ = stderr.take(SAID_BYTES).read_to_end(&mut said);
        }
        self.judge(ended, &String::from_utf8_lossy(&said), memory_bytes)
    }

    /// What a child's end means.
    fn judge(&self, ended: Option<ExitStatus>, said: &str, memory_bytes: u64) -> Result<(), NoCode> {
        // As every error of the program, its own begins with the program's name.
        let said = said.trim().trim_start_matches("pointsman: ").replace('\n', " ");
        let Some(status) = ended else {
            return Err(NoCode::None(CompileError::Environment(format!(
                "compiling it was given up after {} s: the machine is too busy, or it takes too much",
                (self.limits.cpu * WALL_PER_CPU).as_secs()
            ))));
        };
        if status.code() == Some(NO_ROOM.into()) {
            return Err(NoCode::NotTaken(said));
        }
        let signal = status.signal();
        let is = |candidate: Signal| signal == Some(candidate.as_raw());
        let error = if status.success() {
            return Ok(());
        } else if status.code() == Some(1) {
            CompileError::Component(said)
        } else if is(Signal::XCPU) {
            CompileError::Component(format!(
                "compiling it took over {} s of CPU time; make it smaller, or raise plugins.compile_cpu_ms",
                self.limits.cpu.as_secs()
            ))
        } else if is(Signal::KILL) {
            CompileError::Environment(
                "its compiler was killed, which is what happens first when the machine runs out of memory".to_owned(),
            )
        } else if is(Signal::ABORT) || OUT_OF_MEMORY.iter().any(|words| said.contains(words)) {
            CompileError::Component(format!(
                "compiling it took over {memory_bytes} bytes of memory; make it smaller, or raise \
                 plugins.compile_memory_bytes (and the container's limit, which bounds it as well)"
            ))
        } else {
            CompileError::Component(format!("the compiler crashed on it ({status}): {said}"))
        };
        Err(error.into())
    }
}

/// Waits for the child's end, and ends it when it takes too long.
fn wait(child: &mut Child, wall: Duration) -> io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() >= wall {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(LOOK.max(begun.elapsed() / 64));
    }
}

fn memory_file(name: &str) -> io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?))
}

fn own_file(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd as _;
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// What the child may take so that the container stays below its limit (cgroup v2): there, running out of memory ends every
/// process of the container. None where there is no limit.
fn left_in_container() -> Option<u64> {
    let read = |file: &str| fs::read_to_string(Path::new("/sys/fs/cgroup").join(file)).ok();
    left(&read("memory.max")?, &read("memory.current")?, &read("memory.stat")?)
}

fn left(max: &str, current: &str, stat: &str) -> Option<u64> {
    let max: u64 = max.trim().parse().ok()?;
    let current: u64 = current.trim().parse().ok()?;
    // File pages that the kernel gives up when asked.
    let reclaimable = stat
        .lines()
        .find_map(|line| line.strip_prefix("inactive_file ")?.parse::<u64>().ok())
        .unwrap_or_default();
    let free = max.saturating_sub(current.saturating_sub(reclaimable));
    Some(free / SHARE_OF_FREE.1 * SHARE_OF_FREE.0)
}

fn invalid(error: &wasmtime::Error) -> CompileError {
    CompileError::Component(format!(
        "it is no valid wasm component: {}",
        format!("{error:#}").replace('\n', " ")
    ))
}

/// The child: limits itself, then compiles standard input to standard output. An error is the component's.
pub fn child(memory_bytes: u64, cpu_seconds: u64) -> anyhow::Result<()> {
    limit(memory_bytes, cpu_seconds).context("the compiler cannot limit itself")?;
    let mut component = Vec::new();
    io::stdin().read_to_end(&mut component)?;
    let engine = engine::compile_only()?;
    let code = engine
        .precompile_component(&component)
        .map_err(|error| invalid(&error))?;
    drop(component);
    // Not left to the end of the process, where nobody hears of an error.
    let mut out = io::stdout().lock();
    out.write_all(&code).and_then(|()| out.flush()).map_err(NotWritten)?;
    Ok(())
}

/// There is code, and no room for it.
#[derive(Debug, thiserror::Error)]
#[error("the compiled code cannot be written: {0}")]
pub struct NotWritten(io::Error);

fn limit(memory_bytes: u64, cpu_seconds: u64) -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::process::setpriority_process(None, 19)?;
    // Best effort: a sandbox may not have the file, and raising one's own score is always allowed where it is.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    let pages = fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = pages.split(' ').next().unwrap_or_default().parse()?;
    let taken = pages * rustix::param::page_size() as u64;
    let set = |resource, value: u64| {
        let (current, maximum) = (Some(value), Some(value));
        rustix::process::setrlimit(resource, Rlimit { current, maximum })
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_keeps_a_quarter_of_what_it_has_left() {
        let stat = "anon 1\ninactive_file 200\nactive_file 7\n";
        assert_eq!(left("1000\n", "600\n", stat), Some(450));
        assert_eq!(left("max\n", "600\n", stat), None);
        assert_eq!(left("1000\n", "1400\n", stat), Some(0));
    }

    #[test]
    fn a_child_that_died_is_explained_by_what_killed_it() {
        let engine = Engine::new().expect("an engine");
        let compiler = Compiler::in_process(engine);
        let says = |raw: i32, said: &str| {
            let status = ExitStatus::from_raw(raw);
            compiler
                .judge(Some(status), said, 1_000)
                .map_err(|no_code| match no_code {
                    NoCode::None(error) => error.to_string(),
                    NoCode::NotTaken(problem) => format!("not taken: {problem}"),
                })
        };
        assert_eq!(says(0, ""), Ok(()));
        assert_eq!(says(1 << 8, "it is odd\n"), Err("it is odd".to_owned()));
        assert_eq!(says(i32::from(NO_ROOM) << 8, "full"), Err("not taken: full".to_owned()));
        for (signal, expected) in [
            (Signal::XCPU, "plugins.compile_cpu_ms"),
            (Signal::ABORT, "plugins.compile_memory_bytes"),
            (Signal::SEGV, "crashed"),
        ] {
            let said = says(signal.as_raw(), "").expect_err("it died");
            assert!(said.contains(expected), "{said}");
        }
        let late = compiler.judge(None, "", 1);
        assert!(matches!(late, Err(NoCode::None(CompileError::Environment(_)))));
    }
}
