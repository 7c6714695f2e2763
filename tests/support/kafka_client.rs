//! Real clients as producers, Kafka's own and those of gRPC: the programs in tests/clients, whose READMEs have the arguments, the
//! records and the reports.

use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use super::sidecar::root;

/// A client that was started.
pub(crate) struct Running(Child);

impl Running {
    /// Starts one of Kafka's clients, which sends to this address.
    pub(crate) fn start(client: &str, address: SocketAddr, topic: &str, arguments: &[&str]) -> Self {
        Self::spawn(
            "tests/clients/run",
            client,
            &format!("bootstrap={address}"),
            topic,
            arguments,
        )
    }

    /// Starts a client of gRPC, which sends to this target: `host:port` or `unix:/path`.
    pub(crate) fn grpc(client: &str, target: &str, topic: &str, arguments: &[&str]) -> Self {
        Self::spawn(
            "tests/clients/grpc/run",
            client,
            &format!("target={target}"),
            topic,
            arguments,
        )
    }

    fn spawn(program: &str, client: &str, to: &str, topic: &str, arguments: &[&str]) -> Self {
        let child = Command::new(root().join(program))
            .args([client, to, &format!("topic={topic}")])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a program of tests/clients");
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
