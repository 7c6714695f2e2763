//! One Kafka node of the tests: its ports, its settings, its start and its end.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{Installed, PASSWORD, USER};

/// Enough for what tests write, and so small that three nodes fit on a small build machine.
const HEAP: &str = "-Xmx512m";
const POLL: Duration = Duration::from_millis(50);

#[derive(Clone, Copy)]
pub(super) struct Ports {
    pub(super) plain: u16,
    pub(super) sasl_ssl: u16,
    controller: u16,
    /// The port of a listener that advertises another port, that of a proxy.
    pub(super) behind: u16,
}

impl Ports {
    /// The listeners for clients, with this port for the one behind a proxy.
    pub(super) fn for_clients(&self, behind: u16) -> String {
        let Self { plain, sasl_ssl, .. } = self;
        format!("PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{sasl_ssl},BEHIND://127.0.0.1:{behind}")
    }
}

/// Ports that nobody listens on. All stay bound until the last one is found, so that no two are the same.
pub(super) fn free_ports(nodes: usize) -> Result<Vec<Ports>> {
    let mut held = Vec::new();
    let mut free = || -> Result<u16> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        let port = listener.local_addr()?.port();
        held.push(listener);
        Ok(port)
    };
    (0..nodes)
        .map(|_| {
            Ok(Ports {
                plain: free()?,
                sasl_ssl: free()?,
                controller: free()?,
                behind: free()?,
            })
        })
        .collect()
}

/// One broker and controller, and the script that outlives it to clean up.
pub(super) struct Node {
    pub(super) ports: Ports,
    folder: PathBuf,
    script: Child,
    /// The script ends the node when this is closed. Only a drop may do that.
    lifeline: Mutex<Option<ChildStdin>>,
    /// How much of the log was written before the current start, bytes.
    log_before: AtomicUsize,
}

impl Node {
    /// Starts node `index` of as many as there are ports for. `advertised`: see [`Ports::behind`].
    pub(super) fn spawn(installed: &Installed, ports: &[Ports], index: usize, advertised: u16) -> Result<Self> {
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::create_dir_all(parent)?;
        let folder = tempfile::Builder::new().prefix("kafka-").tempdir_in(parent)?;
        let mut script = Command::new("sh")
            .arg(installed.scripts.join("node.sh"))
            .arg(folder.path())
            .args([cluster_id(ports.len()), USER, PASSWORD])
            .args(installed.java_options(HEAP))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C in a terminal goes to the tests alone; the script does the rest.
            .process_group(0)
            .spawn()
            .context("sh node.sh")?;
        // From here on, the script removes the folder.
        let folder = folder.keep();
        let mut lifeline = script.stdin.take().context("the script has no standard input")?;
        fs::write(
            folder.join("server.properties"),
            server_properties(installed, ports, index, &folder, advertised)?,
        )?;
        writeln!(lifeline, "start").context("node.sh has ended")?;
        Ok(Self {
            ports: ports[index],
            folder,
            script,
            lifeline: Mutex::new(Some(lifeline)),
            log_before: AtomicUsize::new(0),
        })
    }

    /// Starts the node again after it has ended, with its ports and its data. `changed` are settings that replace
    /// earlier ones.
    pub(super) fn start_again(&self, changed: &[(&str, String)]) -> Result<()> {
        let path = self.folder.join("server.properties");
        let mut settings = fs::read_to_string(&path)?;
        // Of two lines with the same name, the last one counts.
        settings.extend(changed.iter().map(|(name, value)| format!("{name}={value}\n")));
        fs::write(path, settings)?;
        self.log_before.store(self.log().len(), Ordering::SeqCst);
        let mut lifeline = self.lifeline.lock().unwrap_or_else(PoisonError::into_inner);
        let lifeline = lifeline.as_mut().context("the node is being dropped")?;
        writeln!(lifeline, "start").context("node.sh has ended")
    }

    /// Waits until the node's process is gone.
    pub(super) fn wait_until_ended(&self, deadline: Instant) -> Result<()> {
        while self.folder.join("running").exists() {
            anyhow::ensure!(Instant::now() < deadline, "the Kafka node did not end in time");
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn log(&self) -> Vec<u8> {
        fs::read(self.folder.join("log")).unwrap_or_default()
    }

    /// Sends a signal to the node's process, such as `-STOP` or `-CONT`.
    pub(super) fn signal(&self, signal: &str) -> Result<()> {
        let process = fs::read_to_string(self.folder.join("running")).context("the node does not run")?;
        let status = Command::new("kill").args([signal, process.trim()]).status()?;
        anyhow::ensure!(status.success(), "kill {signal} {}", process.trim());
        Ok(())
    }

    pub(super) fn wait_until_started(&self, deadline: Instant) -> Result<()> {
        loop {
            let log = self.log();
            let log = String::from_utf8_lossy(&log[self.log_before.load(Ordering::SeqCst).min(log.len())..]);
            if log.contains("Kafka Server started") {
                return Ok(());
            }
            if log.contains("node.sh: ended") {
                bail!(
                    "the Kafka node stopped while starting; from its log:\n{}",
                    telling_lines(&log)
                );
            }
            if Instant::now() > deadline {
                bail!(
                    "the Kafka node was not up in time; from its log:\n{}",
                    telling_lines(&log)
                );
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.lifeline.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        // With this wait, a dropped node is gone. If it fails, there is nobody to tell.
        let _ = self.script.wait();
    }
}

/// The errors in a log, and its end: the lines after the first error would bury it.
fn telling_lines(log: &str) -> String {
    const ERRORS: usize = 5;
    const LAST: usize = 25;
    let lines: Vec<&str> = log.lines().collect();
    let (before, end) = lines.split_at(lines.len().saturating_sub(LAST));
    let errors = before
        .iter()
        .filter(|line| line.contains("ERROR") || line.contains("Address already in use"));
    errors.take(ERRORS).chain(end).copied().collect::<Vec<_>>().join("\n")
}

/// The cluster's id. It differs by size, so that no node can join the other cluster if a port changes hands.
fn cluster_id(nodes: usize) -> &'static str {
    // "pointsman-test-1" and "pointsman-test-3" in base64.
    if nodes == 1 {
        "cG9pbnRzbWFuLXRlc3QtMQ"
    } else {
        "cG9pbnRzbWFuLXRlc3QtMw"
    }
}

/// The node's settings: those that all nodes share, and its own.
fn server_properties(
    installed: &Installed,
    ports: &[Ports],
    index: usize,
    folder: &Path,
    advertised: u16,
) -> Result<String> {
    const PLAIN_LOGIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required";
    let nodes = ports.len();
    let in_sync = nodes.div_ceil(2);
    let Ports { controller, behind, .. } = ports[index];
    let voters: Vec<String> = ports
        .iter()
        .zip(1..)
        .map(|(ports, id)| format!("{id}@127.0.0.1:{}", ports.controller))
        .collect();
    let own = [
        ("node.id", (index + 1).to_string()),
        ("controller.quorum.voters", voters.join(",")),
        (
            "listeners",
            format!(
                "{},CONTROLLER://127.0.0.1:{controller}",
                ports[index].for_clients(behind)
            ),
        ),
        ("advertised.listeners", ports[index].for_clients(advertised)),
        ("log.dirs", folder.join("data").display().to_string()),
        (
            "ssl.keystore.location",
            installed.tls.join("broker.p12").display().to_string(),
        ),
        ("ssl.keystore.password", PASSWORD.to_owned()),
        (
            "listener.name.sasl_ssl.plain.sasl.jaas.config",
            format!("{PLAIN_LOGIN} user_{USER}=\"{PASSWORD}\";"),
        ),
        ("auto.create.topics.enable", (nodes > 1).to_string()),
        ("default.replication.factor", nodes.to_string()),
        ("min.insync.replicas", in_sync.to_string()),
        ("offsets.topic.replication.factor", nodes.to_string()),
        ("transaction.state.log.replication.factor", nodes.to_string()),
        ("transaction.state.log.min.isr", in_sync.to_string()),
        ("share.coordinator.state.topic.replication.factor", nodes.to_string()),
        ("share.coordinator.state.topic.min.isr", in_sync.to_string()),
    ];
    let mut text = fs::read_to_string(installed.scripts.join("server.properties"))?;
    text.extend(own.map(|(name, value)| format!("{name}={value}\n")));
    Ok(text)
}
