//! The system under test: the built binary with a configuration, its addresses, its log.

mod log;

use std::fmt::Write as _;
use std::io::BufReader;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use self::log::Log;
use super::http::Http;

/// How long to wait for anything on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// The binary that this test run has built.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_pointsman");

/// A sidecar to be started.
pub(crate) struct Builder {
    listen: String,
    kafka: String,
    rest: String,
    process: Process,
}

/// How the process is started.
struct Process {
    binary: PathBuf,
    environment: Vec<(String, String)>,
    /// The soft limit on open files.
    open_files: Option<u32>,
}

/// A running sidecar. Dropping it kills the process.
pub(crate) struct Sidecar {
    child: Child,
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// The listener for Kafka clients, if it has one.
    pub(crate) kafka: Option<SocketAddr>,
    pub(crate) unix: PathBuf,
    /// `host:port` of the embedded broker, if it has one.
    pub(crate) embedded: Option<String>,
    /// Its configuration file.
    pub(crate) config: PathBuf,
    log: Arc<Log>,
    process: Process,
    _folder: TempDir,
}

impl Builder {
    /// With the embedded broker.
    pub(crate) fn embedded() -> Self {
        Self::kafka("embedded")
    }

    /// With these brokers.
    pub(crate) fn kafka(bootstrap_servers: &str) -> Self {
        Self {
            listen: String::new(),
            kafka: format!("bootstrap_servers = \"{bootstrap_servers}\"\n"),
            rest: String::new(),
            process: Process {
                binary: BINARY.into(),
                environment: Vec::new(),
                open_files: None,
            },
        }
    }

    /// Adds lines to `[listen]`.
    pub(crate) fn listen(mut self, lines: &str) -> Self {
        let _ = writeln!(self.listen, "{lines}");
        self
    }

    /// Adds lines to `[kafka]`, and tables below it.
    pub(crate) fn kafka_lines(mut self, lines: &str) -> Self {
        let _ = writeln!(self.kafka, "{lines}");
        self
    }

    /// Adds tables to the configuration.
    pub(crate) fn config(mut self, tables: &str) -> Self {
        let _ = writeln!(self.rest, "{tables}");
        self
    }

    /// Adds a route for these topics to this plugin.
    pub(crate) fn route(self, topics: &str, plugin: &str, more: &str) -> Self {
        self.config(&format!(
            "[[route]]\ntopics = [\"{topics}\"]\nplugin = \"{plugin}\"\n{more}"
        ))
    }

    /// Sets a variable of its environment.
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.process.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the soft limit on open files that it starts with.
    pub(crate) fn open_files(mut self, soft: u32) -> Self {
        self.process.open_files = Some(soft);
        self
    }

    /// Starts another binary than the one that was built.
    #[allow(dead_code, reason = "for benchmarks")]
    pub(crate) fn binary(mut self, binary: &Path) -> Self {
        self.process.binary = binary.to_owned();
        self
    }

    /// Starts the sidecar and waits until it is ready.
    pub(crate) fn start(self) -> Sidecar {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let unix = folder.path().join("run/ingest.sock");
        let config = folder.path().join("pointsman.toml");
        let mut text = format!(
            "[listen]\nunix = {unix:?}\nhttp = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n{}\n[kafka]\n{}\n[log]\nformat = \"json\"\n{}\n",
            self.listen, self.kafka, self.rest
        );
        if !text.contains("\ndir = ") {
            let _ = writeln!(text, "[plugins]\ndir = {:?}", plugin_dir());
        }
        std::fs::write(&config, &text).expect("write the configuration");
        let (child, log) = self.process.spawn(&config);
        let mut sidecar = Sidecar {
            child,
            http: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            kafka: None,
            unix,
            embedded: None,
            config,
            log,
            process: self.process,
            _folder: folder,
        };
        sidecar.wait_until_started();
        sidecar
    }
}

impl Process {
    /// Also returns the log that the process fills.
    fn spawn(&self, config: &Path) -> (Child, Arc<Log>) {
        let mut command = match self.open_files {
            None => Command::new(&self.binary),
            Some(soft) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -Sn {soft} && exec \"$0\" \"$@\"")]);
                shell.arg(&self.binary);
                shell
            }
        };
        command.arg("run").arg("--config").arg(config);
        // The tests share compiled plugins with one another, but not with the user who runs them.
        command.env("XDG_CACHE_HOME", root().join("target/test-cache"));
        command.envs(self.environment.iter().cloned());
        let mut child = command
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .expect("start");
        let log = Arc::new(Log::default());
        let stderr = BufReader::new(child.stderr.take().expect("its log"));
        std::thread::spawn({
            let log = Arc::clone(&log);
            move || log.fill(stderr)
        });
        (child, log)
    }
}

impl Sidecar {
    /// Kills the process and starts it again with its configuration: with the same Unix socket, whose file was left
    /// behind, and with other ports. `between` runs while there is no process.
    pub(crate) fn kill_and_start_again(&mut self, between: impl FnOnce()) {
        self.child.kill().expect("a process that runs");
        self.child.wait().expect("its end");
        between();
        self.start_again();
    }

    /// Starts the process again, which has ended, with its configuration.
    pub(crate) fn start_again(&mut self) {
        (self.child, self.log) = self.process.spawn(&self.config);
        self.wait_until_started();
    }

    /// Waits until it is ready, and learns its addresses.
    fn wait_until_started(&mut self) {
        let started = self.log.wait_for(DEADLINE, |line| {
            let message = line["message"].as_str().unwrap_or_default();
            message == "ready" || message.starts_with("serving, but not ready")
        });
        assert!(started.is_ok(), "it did not start: {started:#?}");
        for line in self.log() {
            let address = || line["address"].as_str().and_then(|address| address.parse().ok());
            match line["message"].as_str().unwrap_or_default() {
                "ingest listens" => self.http = address().unwrap_or(self.http),
                "ingest listens for Kafka clients" => self.kafka = address(),
                "admin listens" => self.admin = address().expect("an address"),
                message if message.starts_with("EMBEDDED") => {
                    self.embedded = line["bootstrap_servers"].as_str().map(str::to_owned);
                }
                _ => {}
            }
        }
    }

    /// A connection over TCP.
    pub(crate) fn tcp(&self) -> Http {
        Http::tcp(self.http)
    }

    /// A connection over the Unix socket.
    pub(crate) fn unix(&self) -> Http {
        Http::unix(&self.unix)
    }

    /// An answer of the admin listener.
    pub(crate) fn admin(&self, path: &str) -> super::http::Reply {
        Http::tcp(self.admin).get(path)
    }

    /// An order to the admin listener.
    pub(crate) fn order(&self, path: &str) -> super::http::Reply {
        Http::tcp(self.admin).post(path, &[], b"")
    }

    /// The process id.
    #[allow(dead_code, reason = "for benchmarks")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory, bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most memory that was ever resident, bytes.
    #[allow(dead_code, reason = "not for benchmarks")]
    pub(crate) fn most_resident_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its status");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(what))
            .expect("its memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    /// The value of a metric's line, such as `pointsman_records_total{…}`; 0 when it is not there.
    pub(crate) fn metric(&self, line: &str) -> f64 {
        let text = self.admin("/metrics").text();
        text.lines()
            .find_map(|candidate| candidate.strip_prefix(line)?.strip_prefix(' ')?.parse().ok())
            .unwrap_or(0.0)
    }

    /// The log so far.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.log.lines()
    }

    /// The whole log as text.
    pub(crate) fn log_text(&self) -> String {
        self.log().iter().map(|line| format!("{line}\n")).collect()
    }

    /// Waits for a line whose message contains this.
    pub(crate) fn wait_for_log(&self, message: &str) -> Value {
        self.log
            .wait_for(DEADLINE, |line| log::holds(line, message))
            .unwrap_or_else(|log| panic!("never logged \"{message}\": {log:#?}"))
    }

    /// Whether the process still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_none()
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().expect("kill");
        assert!(sent.success());
    }

    /// Waits until the process ends.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("its state") {
                assert!(
                    status.signal().is_none(),
                    "killed by a signal: {status}\n{}",
                    self.log_text()
                );
                return status;
            }
            assert!(Instant::now() < deadline, "did not end:\n{}", self.log_text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the sidecar:\n{}", self.log_text());
        }
    }
}

/// Runs a command to its end. Panics if it takes too long.
pub(crate) fn to_its_end(command: &mut Command) -> Output {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start");
    let deadline = Instant::now() + DEADLINE;
    // Whoever has more to say than a pipe holds ends only once somebody reads it.
    let id = child.id();
    let (told, output) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || told.send(child.wait_with_output()));
    match output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(output) => output.expect("its output"),
        Err(_) => {
            let _ = Command::new("kill").args(["-KILL", &id.to_string()]).status();
            let said = output.recv().expect("its end").expect("its output");
            panic!("{command:?} did not end: {}", String::from_utf8_lossy(&said.stderr));
        }
    }
}

/// Polls until the condition is true. Panics after the deadline.
pub(crate) fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The project's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the host has a parent folder")
}

/// The project's own plugins and the fixtures, built once for each test run.
pub(crate) fn plugin_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let out = root().join("target/test-plugins");
        for source in ["plugins", "tests/fixtures/hostile"] {
            let mut build = Command::new(BINARY);
            build
                .args(["plugin", "build"])
                .arg(root().join(source))
                .arg("--out")
                .arg(&out);
            // The plugins' dependencies are already built there, and the fixtures need the same.
            build.env("CARGO_TARGET_DIR", root().join("plugins/target"));
            let built = build.output().expect("run pointsman plugin build");
            assert!(
                built.status.success(),
                "{source}: {}",
                String::from_utf8_lossy(&built.stderr)
            );
        }
        out
    })
}
