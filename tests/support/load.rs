//! Runs `pointsman load` against a sidecar, for the benchmarks.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::sidecar::{BINARY, Sidecar};

/// How the sidecar is reached.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Unix,
    Tcp,
}

/// The report of a run. Panics when nothing was acknowledged.
pub(crate) fn load(sidecar: &Sidecar, over: Over, topic: &str, arguments: &[&str]) -> Value {
    let mut command = Command::new(BINARY);
    command.args(["load", "--json", "--topic", topic, "--pid", &sidecar.id().to_string()]);
    match over {
        Over::Unix => command.arg("--unix").arg(&sidecar.unix),
        Over::Tcp => command.args(["--http", &sidecar.http.to_string()]),
    };
    let output = command
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .expect("pointsman load");
    assert!(output.status.success(), "{topic}: {arguments:?}");
    serde_json::from_slice(&output.stdout).expect("its report")
}

/// A figure of the report.
pub(crate) fn figure(report: &Value, place: &str) -> f64 {
    let figure = report.pointer(place).and_then(Value::as_f64);
    figure.unwrap_or_else(|| panic!("no {place}: {report}"))
}
