//! Measures Kafka's own clients through the sidecar's Kafka listener, beside the same client connected to the broker directly:
//! `cargo bench -p pointsman --bench clients`, part of `make bench`.
//!
//! Java's measuring tool with values of 100 bytes and with JSON objects of six fields; then Java and librdkafka with one record at a
//! time. The listener's route has a plugin, `key-hash`. Direct and through take turns. Prints a table for people, and writes JSON
//! lines to `target/bench/clients.jsonl`. `POINTSMAN_BENCH_TURNS` says how many turns, `POINTSMAN_BENCH_RECORDS` how many records a turn.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it shares the tests' support and needs part of it; its result goes to the terminal"
)]

use std::{env, fs, io::Write as _, path::Path, process::Command, sync::atomic::Ordering};

use pointsman::tools::load::{Usage, object};
use serde_json::{Value, json};

use crate::support::{
    kafka::{Kafka, LONG_LIVED},
    sidecar::{Builder, Sidecar, root},
};

#[path = "../support"]
mod support {
    pub(crate) mod http;
    pub(crate) mod kafka;
    pub(crate) mod kafka_proxy;
    pub(crate) mod sidecar;
    pub(crate) mod way;
}

const TOPIC: &str = "clients";
const PARTITIONS: u32 = 12;

/// What one client does in one turn.
#[derive(Clone, Copy)]
enum Row {
    /// Java's `ProducerPerformance` with these settings, and with values of 100 bytes or objects.
    Java(&'static [&'static str], bool),
    /// One record at a time, by a program of tests/clients.
    One(&'static str),
}

const ROWS: [(&str, Row); 6] = [
    ("Java, its defaults, 100 bytes", Row::Java(&[], false)),
    (
        "Java, batch.size 64 KiB, 100 bytes",
        Row::Java(&["batch.size=65536"], false),
    ),
    ("Java, its defaults, objects", Row::Java(&[], true)),
    (
        "Java, batch.size 64 KiB, objects",
        Row::Java(&["batch.size=65536"], true),
    ),
    ("Java, one record at a time", Row::One("java")),
    ("librdkafka, one record at a time", Row::One("librdkafka")),
];

/// The result of one client in one turn.
#[derive(Clone, Copy, Default)]
struct Given {
    /// Records a second, or with one at a time the median, µs.
    figure: f64,
    /// CPU seconds of the sidecar for a million records.
    cpu: f64,
}

fn number(name: &str, default: usize) -> usize {
    env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn main() {
    let (turns, records) = (
        number("POINTSMAN_BENCH_TURNS", 5),
        number("POINTSMAN_BENCH_RECORDS", 1_500_000),
    );
    let folder = root().join("target/bench");
    fs::create_dir_all(&folder).unwrap();
    let objects = folder.join("objects.txt");
    let lines: Vec<String> = (0..10_000).map(|n| object(n % 8, n / 8)).collect();
    fs::write(&objects, lines.join("\n")).unwrap();
    let mut lines = fs::File::create(folder.join("clients.jsonl")).unwrap();
    LONG_LIVED.store(true, Ordering::Relaxed);
    let kafka = Kafka::single();
    kafka
        .create_topic(
            TOPIC,
            PARTITIONS,
            &[("retention.bytes", "67108864"), ("segment.bytes", "33554432")],
        )
        .unwrap();
    let sidecar = Builder::kafka(&kafka.bootstrap())
        .listen("kafka = \"127.0.0.1:0\"")
        .route("*", "key-hash", "")
        .start();
    println!(
        "{:<40} {:>12} {:>12} {:>7} {:>16}",
        "", "direct", "through", "ratio", "CPU s/M, sidecar"
    );
    for (name, row) in ROWS {
        // The broker's virtual machine has compiled little yet.
        run(row, &kafka.bootstrap(), None, records / 5, &objects);
        let mut turns: Vec<(Given, Given)> = (0..turns)
            .map(|_| {
                let direct = run(row, &kafka.bootstrap(), None, records, &objects);
                let address = sidecar.kafka.expect("a listener").to_string();
                (direct, run(row, &address, Some(&sidecar), records, &objects))
            })
            .collect();
        report(name, row, &mut turns, &mut lines);
    }
    println!(
        "memory of the sidecar: {:.1} MiB",
        sidecar.resident_bytes() as f64 / f64::from(1 << 20)
    );
}

fn report(name: &str, row: Row, turns: &mut [(Given, Given)], lines: &mut fs::File) {
    let direct = median(turns.iter().map(|(direct, _)| direct.figure));
    let through = median(turns.iter().map(|(_, through)| through.figure));
    let cpu = median(turns.iter().map(|(_, through)| through.cpu));
    let (compared, shown) = match row {
        Row::Java(..) => {
            let ratio = median(turns.iter().map(|(direct, through)| through.figure / direct.figure));
            (json!({ "ratio": ratio }), format!("{ratio:.2}"))
        }
        Row::One(_) => {
            let added = median(turns.iter().map(|(direct, through)| through.figure - direct.figure));
            (json!({ "added_us": added }), format!("+{added:.0} µs"))
        }
    };
    println!("{name:<40} {direct:>12.0} {through:>12.0} {shown:>7} {cpu:>16.2}");
    let mut line = json!({ "row": name, "direct": direct, "through": through, "cpu_s_per_million": cpu });
    line.as_object_mut()
        .unwrap()
        .extend(compared.as_object().unwrap().clone());
    writeln!(lines, "{line}").unwrap();
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// One turn of one client. `sidecar`: whose CPU time is measured.
fn run(row: Row, bootstrap: &str, sidecar: Option<&Sidecar>, records: usize, objects: &Path) -> Given {
    let used = || sidecar.map_or(0.0, |sidecar| Usage::of(sidecar.id()).expect("its usage").cpu_seconds);
    let before = used();
    let (figure, records) = match row {
        Row::Java(settings, with_objects) => (
            java(bootstrap, settings, records, with_objects.then_some(objects)),
            records,
        ),
        Row::One(client) => {
            let records = (records / 300).max(200);
            (one(client, bootstrap, records), records)
        }
    };
    Given {
        figure,
        cpu: (used() - before) * 1e6 / records as f64,
    }
}

/// Records a second.
fn java(bootstrap: &str, settings: &[&str], records: usize, objects: Option<&Path>) -> f64 {
    let mut java = Command::new("java");
    java.args(["-Xmx512m", "-cp"])
        .arg(root().join("target/kafka/libs/*"))
        .args([
            "org.apache.kafka.tools.ProducerPerformance",
            "--topic",
            TOPIC,
            "--throughput",
            "-1",
        ])
        .args(["--num-records", &records.to_string()]);
    match objects {
        None => java.args(["--record-size", "100"]),
        Some(file) => java.arg("--payload-file").arg(file),
    };
    java.arg("--producer-props")
        .arg(format!("bootstrap.servers={bootstrap}"))
        .args(settings);
    let output = java.output().expect("java");
    let told = String::from_utf8_lossy(&output.stdout);
    // "1500000 records sent, 964000.5 records/sec (91.93 MB/sec), 1.0 ms avg latency, …"
    let last = told.lines().last().unwrap_or_default();
    let rate = last
        .split(", ")
        .nth(1)
        .and_then(|part| part.split(' ').next()?.parse().ok());
    rate.unwrap_or_else(|| panic!("not understood: {told}\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// The median, µs.
fn one(client: &str, bootstrap: &str, records: usize) -> f64 {
    let output = Command::new(root().join("tests/clients/run"))
        .args([
            client,
            "mode=one",
            "linger_ms=0",
            &format!("records={records}"),
            &format!("topic={TOPIC}"),
        ])
        .arg(format!("bootstrap={bootstrap}"))
        .output()
        .expect("tests/clients/run");
    let told = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(told.lines().last().unwrap_or_default())
        .unwrap_or_else(|error| panic!("{error}: {told}\n{}", String::from_utf8_lossy(&output.stderr)));
    report["p50_us"]
        .as_f64()
        .unwrap_or_else(|| panic!("no median: {report:#}"))
}
