//! Kafka's own Java producer, with its own measuring tool.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use pointsman::tools::load::Usage;

use super::{Bench, VALUE_BYTES, given::Given};
use crate::support::sidecar::root;

/// As many records as it sends in a few seconds.
const RECORDS: usize = 3_000_000;

pub(crate) fn run(bench: &Bench) -> Given {
    let jars = root().join("target/kafka/libs/*");
    let mut java = Command::new("java");
    java.args(["-Xmx512m", "-cp"]).arg(jars).args([
        "org.apache.kafka.tools.ProducerPerformance",
        "--topic",
        "java",
        "--throughput",
        "-1",
    ]);
    java.args(["--num-records", &RECORDS.to_string()])
        .args(["--record-size", &VALUE_BYTES.to_string()])
        .arg("--producer-props")
        .arg(format!("bootstrap.servers={}", bench.bootstrap))
        .args(["acks=all", "enable.idempotence=true", "linger.ms=0"])
        .args(["max.in.flight.requests.per.connection=1", "batch.size=1000000"]);
    let mut child = java.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("java");
    let (mut used, mut last) = (None, String::new());
    // The tool prints a line every 5 seconds and at its end. While it prints, the process can still be measured.
    for line in BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
    {
        used = Usage::of(child.id()).ok().or(used);
        last = line;
    }
    child.wait().expect("its end");
    // "3000000 records sent, 964000.5 records/sec (91.93 MB/sec), 1.0 ms avg latency, … ms 99th, …"
    let mut parts = last.split(", ");
    let rate = parts.nth(1).and_then(|part| part.split(' ').next()?.parse().ok());
    let percentile = |which: &str| {
        let part = last.split(", ").find(|part| part.contains(which))?;
        part.split(' ').next()?.parse().ok()
    };
    let used = used.expect("what it used");
    Given {
        records_per_second: rate.unwrap_or_else(|| panic!("not understood: {last}")),
        cpu_seconds_per_million: used.cpu_seconds * 1e6 / RECORDS as f64,
        p50_ms: percentile("50th"),
        p99_ms: percentile("99th"),
        peak_bytes: Some(used.peak_resident_bytes),
    }
}
