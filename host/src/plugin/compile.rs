//! Compiles components to machine code, in a child process with limits. Whatever a component makes the compiler do, it cannot
//! exhaust the memory or the processors of the serving process, and cannot crash it.
//!
//! The child is this same program, started as `pointsman compile-component`. It reads the component from standard input,
//! writes the code to standard output and its report to standard error. All three are files, so neither process waits for
//! the other to read. The child runs at the lowest priority, is the first process that the kernel kills when memory runs
//! out, and is killed when its parent dies.
//!
//! The child works in three steps. It counts what an instance would take ([`super::survey`]). It compiles. Then it starts
//! itself again, as `pointsman look-over-component`, and loads and links the code as its parent will, within the memory that
//! the parent allows for that. So the serving process reads no part of a component before a child has shown what reading it
//! takes.

pub mod child;

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _, Seek as _, Write as _},
    os::fd::AsRawFd,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::{fs::MemfdFlags, process::Signal};
use wasmtime::component::Component;

use super::{
    Engine, artifact,
    cache::Cache,
    core_module,
    survey::{Survey, survey},
};
use crate::{base::text::said_on_one_line, config};

/// The hidden subcommand that the child starts with: it compiles.
pub const SUBCOMMAND: &str = "compile-component";
/// The hidden subcommand that the child goes on with: it loads and links the code.
pub const LOOK_OVER: &str = "look-over-component";
/// How much wall time the child may take for each second of its CPU time: at its low priority it may have to wait.
const WALL_PER_CPU: u32 = 10;
/// How often the parent checks whether the child has ended, at first.
const LOOK: Duration = Duration::from_millis(1);
/// The parent keeps at most this much of the child's report, bytes.
const SAID_BYTES: u64 = 4_096;
/// The running program itself. Its path would not do: an upgrade may have put another program there.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// The child may need the libraries that this variable points the dynamic linker to.
const LIBRARIES: &str = "LD_LIBRARY_PATH";
/// The child's exit code when it could not write the code: `EX_IOERR` of `sysexits.h`.
pub const NO_ROOM: u8 = 74;
/// What a program prints when it runs out of memory: the words of the standard library, and those of the compiler.
const OUT_OF_MEMORY: [&str; 2] = ["memory allocation", "out of memory"];
/// The share of a container's free memory that the child may take.
const SHARE_OF_FREE: (u64, u64) = (3, 4);

/// The prefix of the line of the child's report that holds the survey. After this line the child loads and links the code.
const SURVEY: &str = "survey ";
/// What the operating system's error says when there is no memory.
const NO_MEMORY: &str = "os error 12";

/// What one compilation may use.
#[derive(Debug, Clone, Copy)]
pub struct CompileLimits {
    /// Address space beyond what the program itself takes, bytes.
    pub memory_bytes: u64,
    /// CPU time, in whole seconds.
    pub cpu: Duration,
    /// What an instance may take, bytes. Loading the code in the serving process may take as much.
    pub instance_bytes: u64,
}

impl From<&config::Plugins> for CompileLimits {
    fn from(config: &config::Plugins) -> Self {
        Self {
            memory_bytes: config.compile_memory_bytes,
            cpu: Duration::from_secs(config.compile_cpu_ms.div_ceil(1_000)),
            instance_bytes: config.memory_bytes as u64,
        }
    }
}

/// Why a component could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The component is at fault: the same bytes will fail again.
    #[error("{0}")]
    Component(String),
    /// The environment is at fault: the next try may succeed.
    #[error("{0}")]
    Environment(String),
}

/// Why the child left no code in its file.
enum NoCode {
    /// The child did not compile the component.
    None(CompileError),
    /// The child compiled it, but could not write the code to the file.
    NotTaken(String),
}

impl From<CompileError> for NoCode {
    fn from(error: CompileError) -> Self {
        Self::None(error)
    }
}

/// A compiled component, loaded into this process and ready to be linked.
pub(super) struct Compiled {
    pub(super) component: Component,
    /// What the engine allocates for an instance, besides its memories and tables, bytes.
    pub(super) engine_bytes: usize,
}

impl Compiled {
    fn new(component: Component, engine_bytes: u64) -> Self {
        Self {
            component,
            engine_bytes: usize::try_from(engine_bytes).unwrap_or(usize::MAX),
        }
    }
}

/// Compiles components and keeps the code in a cache.
pub struct Compiler {
    /// The engine that loads the code.
    engine: Engine,
    /// The limits of each child.
    limits: CompileLimits,
    /// `None` if no cache folder can be used: then the code is kept in memory only.
    cache: Option<Cache>,
    /// Whether the log already says that the cache takes no code. It says so again only after the cache took code once more.
    is_cache_full: AtomicBool,
    /// The program that the child runs; `None` to compile in this process.
    program: Option<PathBuf>,
}

impl Compiler {
    /// Compiles in a child that runs the current program, which must know [`SUBCOMMAND`].
    pub fn new(engine: Engine, limits: CompileLimits, cache: Option<Cache>) -> Self {
        Self {
            engine,
            limits,
            cache,
            is_cache_full: false.into(),
            program: Some(PathBuf::from(OWN_PROGRAM)),
        }
    }

    /// Compiles in this process, without limits: for trusted components, in tests and benchmarks.
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

    /// Finds a component's code in the cache, or compiles it. Takes from milliseconds to minutes.
    pub(super) fn compile(&self, digest: &str, bytes: &[u8]) -> Result<Compiled, CompileError> {
        let Some(program) = &self.program else {
            return self.in_this_process(bytes);
        };
        if let Some(compiled) = self.look_up(digest)? {
            return Ok(compiled);
        }
        if let Some(cache) = &self.cache {
            match self.compile_and_keep(program, cache, digest, bytes) {
                Ok(compiled) => {
                    self.is_cache_full.store(false, Ordering::Relaxed);
                    return Ok(compiled);
                }
                Err(NoCode::None(error)) => return Err(error),
                Err(NoCode::NotTaken(problem)) => self.cache_is_full(&problem),
            }
        }
        self.compile_and_forget(program, bytes)
    }

    fn in_this_process(&self, bytes: &[u8]) -> Result<Compiled, CompileError> {
        let survey = surveyed(bytes, self.limits.instance_bytes)?;
        let component = Component::new(self.engine.wasm(), bytes).map_err(|error| malformed(&format!("{error:#}")))?;
        Ok(Compiled::new(component, survey.engine_bytes))
    }

    fn look_up(&self, digest: &str) -> Result<Option<Compiled>, CompileError> {
        let found = self
            .cache
            .as_ref()
            .and_then(|cache| cache.find(digest, &self.engine.compatibility()));
        let Some((file, engine_bytes)) = found else {
            return Ok(None);
        };
        // The limit may have been higher when the code was put into the cache.
        let survey = Survey {
            engine_bytes,
            ..Survey::default()
        };
        within(survey, self.limits.instance_bytes)?;
        match artifact::load(self.engine.wasm(), &file) {
            Ok(component) => Ok(Some(Compiled::new(component, engine_bytes))),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "compiled code cannot be used; compiling again");
                Ok(None)
            }
        }
    }

    /// Compiles into a file of the cache. A full, broken or read-only disk is not the component's fault.
    fn compile_and_keep(&self, program: &Path, cache: &Cache, digest: &str, bytes: &[u8]) -> Result<Compiled, NoCode> {
        let not_taken = |error: io::Error| NoCode::NotTaken(error.to_string());
        let (code, draft) = cache.draft().map_err(not_taken)?;
        let kept = self.in_child(program, bytes, &code).and_then(|survey| {
            let kept = cache.keep(&draft, digest, &self.engine.compatibility(), survey.engine_bytes);
            Ok((kept.map_err(not_taken)?, survey.engine_bytes))
        });
        if kept.is_err() {
            let _ = fs::remove_file(&draft);
        }
        let (file, engine_bytes) = kept?;
        let component =
            artifact::load(self.engine.wasm(), &file).map_err(|error| NoCode::NotTaken(format!("{error:#}")))?;
        Ok(Compiled::new(component, engine_bytes))
    }

    /// Compiles into memory.
    fn compile_and_forget(&self, program: &Path, bytes: &[u8]) -> Result<Compiled, CompileError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| CompileError::Environment(format!("{what}: {error}"));
        let code = memory_file("pointsman-code").map_err(|error| failed("no memory file for compiled code", &error))?;
        let survey = match self.in_child(program, bytes, &code) {
            Ok(survey) => survey,
            Err(NoCode::None(error)) => return Err(error),
            Err(NoCode::NotTaken(problem)) => return Err(failed("no memory for compiled code", &problem)),
        };
        let component = artifact::load(self.engine.wasm(), &own_file(&code))
            .map_err(|error| failed("the compiled code cannot be used", &format!("{error:#}")))?;
        Ok(Compiled::new(component, survey.engine_bytes))
    }

    fn cache_is_full(&self, problem: &str) {
        if !self.is_cache_full.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                problem,
                "plugins.cache_dir takes no compiled code: plugins are compiled into memory, and again at the next start; \
                 make room there, or name another folder"
            );
        }
    }

    /// Has a child compile `bytes` into `code`.
    fn in_child(&self, program: &Path, bytes: &[u8], code: &File) -> Result<Survey, NoCode> {
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
        let mut says = memory_file("pointsman-compiler-says").map_err(environment)?;
        let memory_bytes = self.limits.memory_bytes.min(left_in_container().unwrap_or(u64::MAX));
        let mut child = Command::new(program)
            .arg(SUBCOMMAND)
            .args(["--memory-bytes", &memory_bytes.to_string()])
            .args(["--cpu-seconds", &self.limits.cpu.as_secs().to_string()])
            .args(["--instance-bytes", &self.limits.instance_bytes.to_string()])
            .args(
                self.functions()
                    .iter()
                    .flat_map(|file| [OsStr::new("--functions"), file.as_os_str()]),
            )
            // The compiler needs no other environment variable, and there may be secrets in them.
            .env_clear()
            .envs(env::var_os(LIBRARIES).map(|path| (LIBRARIES, path)))
            .stdin(component)
            .stdout(code.try_clone().map_err(environment)?)
            .stderr(says.try_clone().map_err(environment)?)
            .spawn()
            .map_err(environment)?;
        let ended = wait(&mut child, self.limits.cpu * WALL_PER_CPU).map_err(environment)?;
        let mut words = Vec::new();
        says.rewind()
            .and_then(|()| says.take(SAID_BYTES).read_to_end(&mut words))
            .map_err(environment)?;
        self.judge(ended, &String::from_utf8_lossy(&words), memory_bytes)
    }

    /// The file with the functions of earlier compilations.
    fn functions(&self) -> Option<PathBuf> {
        let cache = self.cache.as_ref()?;
        Some(cache.functions(&self.engine.compatibility()))
    }

    /// Tells from the child's exit status and its report whether there is code, and why not.
    fn judge(&self, ended: Option<ExitStatus>, says: &str, memory_bytes: u64) -> Result<Survey, NoCode> {
        let (survey, says) = match says.strip_prefix(SURVEY).and_then(|says| says.split_once('\n')) {
            Some((survey, rest)) => (serde_json::from_str(survey).ok(), rest),
            None => (None, says),
        };
        // Every error that the program prints begins with its name.
        let says = said_on_one_line(says.trim().trim_start_matches("pointsman: "));
        let Some(status) = ended else {
            return Err(NoCode::None(CompileError::Environment(format!(
                "compiling it was stopped after {} s: the machine is too busy, or the component takes too long",
                (self.limits.cpu * WALL_PER_CPU).as_secs()
            ))));
        };
        if status.code() == Some(NO_ROOM.into()) {
            return Err(NoCode::NotTaken(says));
        }
        let signal = status.signal();
        let is = |candidate: Signal| signal == Some(candidate.as_raw());
        let is_out_of_memory = || is(Signal::ABORT) || OUT_OF_MEMORY.iter().any(|words| says.contains(words));
        let error = match survey {
            Some(survey) if status.success() => return Ok(survey),
            None if status.success() => {
                CompileError::Environment("its compiler ended without a report about it".to_owned())
            }
            Some(_) if is_out_of_memory() || says.contains(NO_MEMORY) => CompileError::Component(format!(
                "loading its code takes over {} bytes of memory; make it smaller (types, functions, components within), or \
                 raise plugins.memory_bytes",
                self.limits.instance_bytes
            )),
            _ if status.code() == Some(1) && !is_out_of_memory() => CompileError::Component(says),
            _ if is(Signal::XCPU) => CompileError::Component(format!(
                "compiling it took over {} s of CPU time; make it smaller, or raise plugins.compile_cpu_ms",
                self.limits.cpu.as_secs()
            )),
            _ if is(Signal::KILL) => CompileError::Environment(
                "its compiler was killed, which is what happens first when the machine runs out of memory".to_owned(),
            ),
            _ if is_out_of_memory() => CompileError::Component(format!(
                "compiling it took over {memory_bytes} bytes of memory; make it smaller, or raise \
                 plugins.compile_memory_bytes (and the container's limit, which bounds it as well)"
            )),
            _ => CompileError::Component(format!("the compiler crashed on it ({status}): {says}")),
        };
        Err(error.into())
    }
}

/// Waits until the child has ended. Kills it when it takes too long, and returns `None` then.
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

fn own_file(file: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// How much memory the child may take so that the container stays below its limit (cgroup v2). A container that runs out of
/// memory may lose all its processes. `None` if there is no limit.
fn left_in_container() -> Option<u64> {
    let read = |file: &str| fs::read_to_string(Path::new("/sys/fs/cgroup").join(file)).ok();
    left(&read("memory.max")?, &read("memory.current")?, &read("memory.stat")?)
}

fn left(max: &str, current: &str, stat: &str) -> Option<u64> {
    let max: u64 = max.trim().parse().ok()?;
    let current: u64 = current.trim().parse().ok()?;
    // Pages of files that the kernel gives up under pressure.
    let reclaimable = stat
        .lines()
        .find_map(|line| line.strip_prefix("inactive_file ")?.parse::<u64>().ok())
        .unwrap_or_default();
    let free = max.saturating_sub(current.saturating_sub(reclaimable));
    Some(free / SHARE_OF_FREE.1 * SHARE_OF_FREE.0)
}

fn malformed(error: &dyn std::fmt::Display) -> CompileError {
    let error = said_on_one_line(&error.to_string());
    CompileError::Component(format!("it is not a valid wasm component: {error}"))
}

/// Counts what an instance would take. The bytes are untrusted: nothing else has read them yet.
fn surveyed(bytes: &[u8], instance_bytes: u64) -> Result<Survey, CompileError> {
    if bytes.starts_with(core_module::BEGINNING) {
        return Err(CompileError::Component(core_module::advice(bytes)));
    }
    within(survey(bytes).map_err(|error| malformed(&error))?, instance_bytes)
}

/// Checks that an instance fits into its memory limit before it has any memory of its own.
fn within(survey: Survey, instance_bytes: u64) -> Result<Survey, CompileError> {
    if survey.engine_bytes <= instance_bytes {
        return Ok(survey);
    }
    let Survey {
        engine_bytes,
        core_instances,
        entries,
    } = survey;
    let of = match entries {
        0 => String::new(),
        _ => format!(" ({core_instances} core instances with {entries} globals, functions and the like)"),
    };
    Err(CompileError::Component(format!(
        "an instance of it takes {engine_bytes} bytes in the engine{of} before it has any memory, over plugins.memory_bytes \
         ({instance_bytes}); make it smaller, or raise that"
    )))
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
                .map(|survey| survey.engine_bytes)
                .map_err(|no_code| match no_code {
                    NoCode::None(error) => error.to_string(),
                    NoCode::NotTaken(problem) => format!("not taken: {problem}"),
                })
        };
        let looking = |says: &str| {
            let survey = Survey {
                engine_bytes: 7,
                ..Survey::default()
            };
            format!("{SURVEY}{}\n{says}", serde_json::to_string(&survey).expect("JSON"))
        };
        assert_eq!(says(0, &looking("")), Ok(7));
        assert!(says(0, "").is_err(), "there was no report");
        assert_eq!(says(1 << 8, "it is odd\n"), Err("it is odd".to_owned()));
        assert_eq!(
            says(1 << 8, &looking("pointsman: it is odd\n")),
            Err("it is odd".to_owned())
        );
        assert_eq!(says(i32::from(NO_ROOM) << 8, "full"), Err("not taken: full".to_owned()));
        for (signal, said, expected) in [
            (Signal::XCPU, "", "plugins.compile_cpu_ms"),
            (Signal::ABORT, "", "plugins.compile_memory_bytes"),
            (Signal::ABORT, &*looking(""), "plugins.memory_bytes"),
            (Signal::SEGV, "", "crashed"),
        ] {
            let said = says(signal.as_raw(), said).expect_err("it died");
            assert!(said.contains(expected), "{said}");
        }
        let late = compiler.judge(None, "", 1);
        assert!(matches!(late, Err(NoCode::None(CompileError::Environment(_)))));
    }
}
