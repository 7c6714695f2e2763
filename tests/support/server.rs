//! A server of the tests in a process and a folder of its own: its start, its end, and the harm that tests do to it.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::sidecar::{eventually, root};

/// A server. Dropping it ends its process and removes its folder; so does the end of the test process, however it comes.
pub(crate) struct Server {
    /// What it is called in messages.
    name: &'static str,
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
    script: Child,
    /// The script ends the server when this is closed.
    lifeline: Option<ChildStdin>,
    /// Whether it answers, by its port and by what it has logged since it was started.
    is_up: fn(u16, &str) -> bool,
}

impl Server {
    /// Starts a server, and waits until it is up. `fill` puts what it needs into its folder, for this port.
    pub(crate) fn start(
        name: &'static str,
        command: &[&str],
        fill: impl FnOnce(&Path, u16),
        is_up: fn(u16, &str) -> bool,
    ) -> Self {
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::create_dir_all(parent).expect("a folder");
        let folder = tempfile::Builder::new()
            .prefix(name)
            .tempdir_in(parent)
            .expect("a folder");
        let port = free_port();
        fill(folder.path(), port);
        let mut script = Command::new("sh")
            .arg(root().join("tests/servers/server.sh"))
            .arg(folder.path())
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C in a terminal goes to the tests alone; the script does the rest.
            .process_group(0)
            .spawn()
            .expect("sh server.sh");
        let mut server = Self {
            name,
            // From here on, the script removes it.
            folder: folder.keep(),
            port,
            lifeline: script.stdin.take(),
            script,
            is_up,
        };
        server.start_again();
        server
    }

    /// Starts it on its port and its data, after it has ended, and waits until it is up.
    pub(crate) fn start_again(&mut self) {
        let before = self.log().len();
        let lifeline = self.lifeline.as_mut().expect("it is not being dropped");
        writeln!(lifeline, "start").expect("server.sh has ended");
        eventually(&format!("{} runs", self.name), || self.running().is_some());
        eventually(&format!("{} is up", self.name), || {
            assert!(self.running().is_some(), "{} has ended:\n{}", self.name, self.log());
            (self.is_up)(self.port, self.log().get(before..).unwrap_or_default())
        });
    }

    /// Ends its process at once.
    pub(crate) fn kill(&self) {
        self.signal("-KILL");
        eventually(&format!("{} has ended", self.name), || self.running().is_none());
    }

    /// Its process does nothing any more, and the kernel still takes connections for it.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// It goes on.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn signal(&self, signal: &str) {
        let process = self.running().expect("a server that runs");
        let sent = Command::new("kill").args([signal, &process]).status().expect("kill");
        assert!(sent.success(), "kill {signal} {process}");
    }

    /// Its process id.
    fn running(&self) -> Option<String> {
        let process = fs::read_to_string(self.folder.join("running")).ok()?;
        Some(process.trim().to_owned()).filter(|process| !process.is_empty())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // With this wait, a dropped server is gone. If it fails, there is nobody to tell.
        let _ = self.script.wait();
    }
}

/// Installs what a server needs.
pub(crate) fn need(tools: &[&str]) {
    let output = Command::new(root().join(".ci/need"))
        .args(tools)
        .output()
        .expect(".ci/need");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}
