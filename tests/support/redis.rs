//! A real Redis for a test, with the settings that a routing table needs.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::server::{Server, need};
use super::sidecar::root;

/// The user of a server with TLS.
pub(crate) const USER: &str = "pointsman";
/// The user's password, which must be encoded in a URL.
pub(crate) const PASSWORD: &str = "zQ7xV/@?%";

/// A running Redis; see [`Server`] for what can be done to it.
pub(crate) struct Redis {
    pub(crate) server: Server,
}

impl Redis {
    /// One that keeps what it acknowledges.
    pub(crate) fn start() -> Self {
        Self::with("appendonly yes\nappendfsync always\n")
    }

    /// One that forgets all when it ends.
    pub(crate) fn forgetful() -> Self {
        Self::with("appendonly no\n")
    }

    fn with(settings: &str) -> Self {
        Self::start_with(|port| format!("port {port}\n{settings}"))
    }

    /// One with TLS, a certificate authority of its own, and [`USER`].
    ///
    /// The default user has a password and keeps its rights: Redis 7.0 reads its own append-only file as that user, and would
    /// leave out all transactions.
    pub(crate) fn with_tls() -> Self {
        Self::start_with(|port| {
            format!(
                "port 0\ntls-port {port}\ntls-cert-file server.pem\ntls-key-file server.key\ntls-ca-cert-file ca.pem\n\
                 tls-auth-clients no\nappendonly yes\nappendfsync always\nrequirepass {PASSWORD}\n\
                 user {USER} on >{PASSWORD} ~pointsman:* +@all -@dangerous\n"
            )
        })
    }

    fn start_with(settings: impl Fn(u16) -> String) -> Self {
        need(&["redis"]);
        let server = Server::start(
            "redis-",
            &["redis-server", "redis.conf"],
            |folder, port| {
                let mut text = settings(port);
                if text.contains("tls-port") {
                    let made = Command::new("sh")
                        .arg(root().join("tests/servers/tls.sh"))
                        .arg(folder)
                        .output()
                        .expect("sh tls.sh");
                    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
                }
                let _ = write!(text, "bind 127.0.0.1\nsave \"\"\ndaemonize no\n");
                fs::write(folder.join("redis.conf"), text).expect("its settings");
            },
            // It takes connections before it has read what it keeps.
            |_, log| log.contains("Ready to accept connections"),
        );
        Self { server }
    }

    /// The URL of a table.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("redis://127.0.0.1:{}/0?name={name}", self.server.port)
    }

    /// The certificate authority of a server with TLS.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.server.folder.join("ca.pem")
    }

    /// Runs a command with Redis's own client, and returns its answer.
    pub(crate) fn order(&self, words: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.server.port.to_string()])
            .args(words)
            .stdin(Stdio::null())
            .output()
            .expect("redis-cli");
        let answer = String::from_utf8(output.stdout).expect("text");
        assert!(
            output.status.success() && !answer.starts_with("ERR"),
            "{words:?}: {answer}"
        );
        answer
    }

    /// Puts what is on its disk aside.
    pub(crate) fn back_up(&self) {
        copy(&self.data(), &self.aside());
    }

    /// Kills it, and starts it with what was put aside: all later changes are lost.
    pub(crate) fn kill_and_start_with_backup(&mut self) {
        self.server.kill();
        self.put_backup_in_place();
        self.server.start_again();
    }

    /// While it does not run.
    pub(crate) fn put_backup_in_place(&self) {
        fs::remove_dir_all(self.data()).expect("removed");
        copy(&self.aside(), &self.data());
    }

    fn data(&self) -> PathBuf {
        self.server.folder.join("appendonlydir")
    }

    fn aside(&self) -> PathBuf {
        self.server.folder.join("aside")
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).expect("a folder");
    for file in fs::read_dir(from).expect("a folder") {
        let file = file.expect("a file");
        fs::copy(file.path(), to.join(file.file_name())).expect("copied");
    }
}
