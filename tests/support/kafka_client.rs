//! Kafka's own clients as producers: the programs in tests/clients, whose README has the arguments, the records and the report.

use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use super::sidecar::root;

/// A client that was started.
pub(crate) struct Running(Child);

impl Running {
    /// Starts a client that sends to this address.
    pub(crate) fn start(client: &str, address: SocketAddr, topic: &str, arguments: &[&str]) -> Self {
        let child = Command::new(root().join("tests/clients/run"))
            .arg(client)
            .arg(format!("bootstrap={address}"))
            .arg(format!("topic={topic}"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tests/clients/run");
        Self(child)
    }

    /// Ends the client's standard input: with `until=stdin` it hands over no more records.
    pub(crate) fn stop(&mut self) {
        drop(self.0.stdin.take());
    }

    /// What the client reports at its end.
    pub(crate) fn report(self) -> Value {
        let output = self.0.wait_with_output().expect("its end");
        report(&output)
    }
}

fn report(output: &Output) -> Value {
    let (told, said) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{told}\n{said}");
    let line = told.lines().last().unwrap_or_else(|| panic!("no report: {said}"));
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Makes sure that what these clients need is installed.
pub(crate) fn need(what: &[&str]) {
    installed(what).unwrap_or_else(|said| panic!("{said}"));
}

/// Installs what these clients need. The error is what the installer says.
pub(crate) fn installed(what: &[&str]) -> Result<(), String> {
    let output = Command::new(root().join(".ci/need"))
        .args(what)
        .output()
        .expect(".ci/need");
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// The key of record `n`.
pub(crate) fn key(n: usize) -> Option<String> {
    match n {
        _ if n % 50 == 49 => None,
        _ if n % 51 == 50 => Some(String::new()),
        _ => Some(format!("k{}", n % 97)),
    }
}
