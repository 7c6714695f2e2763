//! Runs the compiling child: starts it with its limits, waits for its end, and tells what that means.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{fs::MemfdFlags, process::Signal};

use super::{
    error::{CompileError, NoCode},
    protocol::{NO_ROOM, SAID_BYTES, SUBCOMMAND, SURVEY},
};
use crate::{base::text::said_on_one_line, config, plugin::survey::Survey};

/// How much wall time the child may take for each second of its CPU time: at its low priority it may have to wait.
const WALL_PER_CPU: u32 = 10;
/// How often the parent checks whether the child has ended, at first.
const LOOK: Duration = Duration::from_millis(1);
/// The child may need the libraries that this variable points the dynamic linker to.
const LIBRARIES: &str = "LD_LIBRARY_PATH";
/// What a program prints when it runs out of memory: the words of the standard library, and those of the compiler.
const OUT_OF_MEMORY: [&str; 2] = ["memory allocation", "out of memory"];
/// What the operating system's error says when there is no memory.
const NO_MEMORY: &str = "os error 12";
/// The share of a container's free memory that the child may take.
const SHARE_OF_FREE: (u64, u64) = (3, 4);

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

/// A child that is going to compile one component.
pub(super) struct CompileRun<'r> {
    /// The program that the child runs.
    pub(super) program: &'r Path,
    pub(super) limits: CompileLimits,
    /// The file with the functions of earlier compilations, if there is a cache.
    pub(super) functions: Option<PathBuf>,
}

impl CompileRun<'_> {
    /// Has a child compile `bytes`, and write the code to `output`.
    pub(super) fn run(&self, bytes: &[u8], output: Stdio) -> Result<Survey, NoCode> {
        let mut component = memory_file("pointsman-component").map_err(not_started)?;
        component
            .write_all(bytes)
            .and_then(|()| component.rewind())
            .map_err(not_started)?;
        let mut says = memory_file("pointsman-compiler-says").map_err(not_started)?;
        let memory_bytes = self.limits.memory_bytes.min(left_in_container().unwrap_or(u64::MAX));
        let mut child = Command::new(self.program)
            .arg(SUBCOMMAND)
            .args(["--memory-bytes", &memory_bytes.to_string()])
            .args(["--cpu-seconds", &self.limits.cpu.as_secs().to_string()])
            .args(["--instance-bytes", &self.limits.instance_bytes.to_string()])
            .args(
                self.functions
                    .iter()
                    .flat_map(|file| [OsStr::new("--functions"), file.as_os_str()]),
            )
            // The compiler needs no other environment variable, and there may be secrets in them.
            .env_clear()
            .envs(env::var_os(LIBRARIES).map(|path| (LIBRARIES, path)))
            .stdin(component)
            .stdout(output)
            .stderr(says.try_clone().map_err(not_started)?)
            .spawn()
            .map_err(not_started)?;
        let ended = wait(&mut child, self.limits.cpu * WALL_PER_CPU).map_err(not_started)?;
        let mut words = Vec::new();
        says.rewind()
            .and_then(|()| says.take(SAID_BYTES).read_to_end(&mut words))
            .map_err(not_started)?;
        judge(&self.limits, ended, &String::from_utf8_lossy(&words), memory_bytes)
    }
}

/// The error where the child could not be started, or not be waited for.
pub(super) fn not_started(error: io::Error) -> NoCode {
    NoCode::None(CompileError::Environment(format!(
        "the compiler cannot be started: {error}"
    )))
}

/// Tells from the child's exit status and its report whether there is code, and why not.
fn judge(limits: &CompileLimits, ended: Option<ExitStatus>, says: &str, memory_bytes: u64) -> Result<Survey, NoCode> {
    let (survey, says) = match says.strip_prefix(SURVEY).and_then(|says| says.split_once('\n')) {
        Some((survey, rest)) => (serde_json::from_str(survey).ok(), rest),
        None => (None, says),
    };
    // Every error that the program prints begins with its name.
    let says = said_on_one_line(says.trim().trim_start_matches("pointsman: "));
    let Some(status) = ended else {
        return Err(NoCode::None(CompileError::Environment(format!(
            "compiling it was stopped after {} s: the machine is too busy, or the component takes too long",
            (limits.cpu * WALL_PER_CPU).as_secs()
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
            limits.instance_bytes
        )),
        _ if status.code() == Some(1) && !is_out_of_memory() => CompileError::Component(says),
        _ if is(Signal::XCPU) => CompileError::Component(format!(
            "compiling it took over {} s of CPU time; make it smaller, or raise plugins.compile_cpu_ms",
            limits.cpu.as_secs()
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

/// A file that exists only in memory.
fn memory_file(name: &str) -> io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?))
}

/// How much memory the child may take so that the container stays below its limit (cgroup v2). A container that runs out of
/// memory may lose all its processes. `None` if there is no limit.
fn left_in_container() -> Option<u64> {
    let read = |file: &str| fs::read_to_string(Path::new("/sys/fs/cgroup").join(file)).ok();
    left(&read("memory.max")?, &read("memory.current")?, &read("memory.stat")?)
}

/// See [`left_in_container`], which reads the files.
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
        let limits = CompileLimits::from(&config::Plugins::default());
        let says = |raw: i32, said: &str| {
            let status = ExitStatus::from_raw(raw);
            judge(&limits, Some(status), said, 1_000)
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
        let late = judge(&limits, None, "", 1);
        assert!(matches!(late, Err(NoCode::None(CompileError::Environment(_)))));
    }
}
