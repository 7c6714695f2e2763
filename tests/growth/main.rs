//! What growth costs: more topics, plugins, connections, bytes. `cargo bench -p pointsman --bench growth`, part of
//! `make bench`.
//!
//! It uses a real Kafka of one node, and JSON over the Unix socket through a plugin. The CPU time of a record shows a
//! cliff; the rate does not, since it depends on the machine and what else runs there. Prints a table, and writes JSON
//! lines to `target/bench/growth.jsonl`.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it shares the tests' support and needs part of it; its result goes to the terminal"
)]

use std::{
    env, fs,
    io::Write as _,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use pointsman::tools::load::Usage;
use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};
use serde_json::{Value, json};

use crate::support::{
    kafka::{Kafka, LONG_LIVED},
    load::{self, Over, figure},
    plugin_folder::{PluginFolder, built},
    sidecar::{BINARY, Builder, Sidecar, root},
};

#[path = "../support"]
mod support {
    pub(crate) mod http;
    pub(crate) mod kafka;
    pub(crate) mod kafka_proxy;
    pub(crate) mod load;
    pub(crate) mod plugin_folder;
    pub(crate) mod sidecar;
    pub(crate) mod way;
}

const SECONDS: f64 = 3.0;
/// The CPU time of a record may grow by this factor, from a row's first figure to its last.
const GOAL: f64 = 1.5;
const TOPICS: [usize; 4] = [1, 10, 100, 1_000];
const PLUGINS: [usize; 3] = [1, 10, 50];
const CONNECTIONS: [usize; 3] = [1, 64, 1_000];
const VALUE_BYTES: [usize; 4] = [100, 1_000, 10_000, 100_000];

fn main() {
    let folder = root().join("target/bench");
    fs::create_dir_all(&folder).unwrap();
    let mut lines = fs::File::create(folder.join("growth.jsonl")).unwrap();
    start(&mut lines);
    idle_connections(&mut lines);
    in_flight(&mut lines);
    LONG_LIVED.store(true, Ordering::Relaxed);
    let kafka = Kafka::start(1).expect("Kafka");
    let small = [("retention.bytes", "16777216"), ("segment.bytes", "16777216")];
    let partitions = |topics: usize| if topics > 1 { 1 } else { 12 };
    for topics in TOPICS {
        for number in 0..topics {
            let name = if topics == 1 {
                "topics-1".to_owned()
            } else {
                format!("topics-{topics}-{number}")
            };
            kafka.create_topic(&name, partitions(topics), &small).unwrap();
        }
    }
    let mut row = Row::new("topics", &mut lines);
    for topics in TOPICS {
        let sidecar = sidecar(Builder::kafka(&kafka.bootstrap()), "topics-*");
        let name = format!("topics-{topics}");
        row.add(
            topics,
            &sidecar,
            &name,
            &[
                "--topics",
                &topics.to_string(),
                // Each topic is looked up once, some at a time.
                "--warm-up",
                &(1 + topics / 25).to_string(),
            ],
        );
    }
    row.end();
    let mut row = Row::new("plugins", &mut lines);
    for plugins in PLUGINS {
        let (folder, plugin) = (PluginFolder::new(), built("key-hash"));
        let mut builder = Builder::kafka(&kafka.bootstrap()).config(&format!("[plugins]\ndir = {:?}", folder.path()));
        for number in 0..plugins {
            folder.put(&format!("plugin-{number}"), &plugin);
            // All plugins but the last one wait for topics that nobody sends to.
            let topics = if number + 1 == plugins {
                "topics-1".to_owned()
            } else {
                format!("other-{number}")
            };
            builder = builder.route(&topics, &format!("plugin-{number}"), "");
        }
        row.add(plugins, &builder.start(), "topics-1", &[]);
    }
    row.end();
    let sidecar = sidecar(Builder::kafka(&kafka.bootstrap()), "*");
    let mut row = Row::new("connections", &mut lines);
    for connections in CONNECTIONS {
        row.add(
            connections,
            &sidecar,
            "topics-1",
            &["--connections", &connections.to_string(), "--batch", "10"],
        );
    }
    row.end();
    let mut row = Row::new("value bytes, CPU of a MiB from 1,000 on", &mut lines);
    for bytes in VALUE_BYTES {
        let batch = (200_000 / bytes).clamp(1, 100).to_string();
        row.add(
            bytes,
            &sidecar,
            "topics-1",
            &["--value-bytes", &bytes.to_string(), "--batch", &batch],
        );
    }
    row.end();
}

fn sidecar(builder: Builder, topics: &str) -> Sidecar {
    builder.route(topics, "key-hash", "").start()
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Measures the time from exec to ready, with the plugin's code cached, and to the first acknowledgement.
fn start(lines: &mut fs::File) {
    let started = || {
        let begun = Instant::now();
        let sidecar = sidecar(Builder::embedded(), "*");
        let ready = begun.elapsed().as_secs_f64() * 1e3;
        assert_eq!(
            sidecar.unix().json("/v1/topics/t/records", r#"{"value":1}"#).status,
            200
        );
        (ready, begun.elapsed().as_secs_f64() * 1e3)
    };
    started();
    let mut all: Vec<(f64, f64)> = (0..9).map(|_| started()).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (ready, acked) = all[all.len() / 2];
    let size = fs::metadata(BINARY).unwrap().len();
    println!("from exec to ready {ready:.0} ms (goal 150), to the first acknowledgement {acked:.0} ms; medians of 9");
    let line = json!({"figure": "start", "ready_ms": ready, "first_ack_ms": acked, "binary_bytes": size});
    writeln!(lines, "{line}").unwrap();
}

fn idle_connections(lines: &mut fs::File) {
    let sidecar = sidecar(Builder::embedded(), "*");
    let mut open = Vec::new();
    let before = Usage::of(sidecar.id()).unwrap().resident_bytes;
    for _ in 0..1_000 {
        let mut connection = sidecar.unix();
        assert_eq!(connection.json("/v1/topics/t/records", r#"{"value":1}"#).status, 200);
        open.push(connection);
    }
    let added = || Usage::of(sidecar.id()).unwrap().resident_bytes.saturating_sub(before);
    let at_once = added();
    // Buffers are dropped after a second, and their memory is given back within a few.
    thread::sleep(Duration::from_secs(5));
    let idle = added();
    println!(
        "1,000 connections that have sent a record each: {:.1} MiB, idle for 5 s {:.1} MiB (goal 16)",
        mib(at_once),
        mib(idle)
    );
    let line = json!({"figure": "idle_connections", "at_once_bytes": at_once, "bytes": idle});
    writeln!(lines, "{line}").unwrap();
}

/// Compares one produce request under way for each broker with five: what the safe default costs with near and far
/// brokers. The brokers are librdkafka's mock cluster in this process, whose round-trip time can be set.
fn in_flight(lines: &mut fs::File) {
    println!(
        "\n{:<42} {:>10} {:>8} {:>8} {:>9}",
        "produce requests in flight", "records/s", "p50 ms", "p99 ms", "CPU s/M"
    );
    for round_trip_ms in [0, 2] {
        let brokers: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).unwrap();
        brokers.create_topic("t", 12, 1).unwrap();
        for (connections, batch) in [(1, 1), (64, 1), (8, 500)] {
            for in_flight in [1, 5] {
                let properties = format!("[kafka.properties]\nmax.in.flight.requests.per.connection = {in_flight}");
                let builder = Builder::kafka(&brokers.bootstrap_servers()).kafka_lines(&properties);
                let sidecar = sidecar(builder, "*");
                brokers
                    .broker_round_trip_time(1, Duration::from_millis(round_trip_ms))
                    .unwrap();
                let (connections, batch) = (connections.to_string(), batch.to_string());
                let report = load(&sidecar, "t", &["--connections", &connections, "--batch", &batch]);
                brokers.broker_round_trip_time(1, Duration::ZERO).unwrap();
                let figure = |place: &str| figure(&report, place);
                println!(
                    "{:<42} {:>10.0} {:>8.2} {:>8.2} {:>9.2}",
                    format!("{in_flight}, {connections} x {batch}, round trip {round_trip_ms} ms more"),
                    figure("/records_per_second"),
                    figure("/latency_ms/p50"),
                    figure("/latency_ms/p99"),
                    figure("/cpu_seconds_per_million"),
                );
                let line = json!({"in_flight": in_flight, "round_trip_ms": round_trip_ms, "load": report});
                writeln!(lines, "{line}").unwrap();
            }
        }
    }
}

/// Runs `pointsman load` for `POINTSMAN_BENCH_SECONDS`, with 100 records a request unless the arguments say otherwise.
fn load(sidecar: &Sidecar, topic: &str, arguments: &[&str]) -> Value {
    let seconds = seconds().to_string();
    let mut all = vec!["--seconds", &seconds, "--values", "text"];
    if !arguments.contains(&"--batch") {
        all.extend(["--batch", "100"]);
    }
    all.extend(arguments);
    load::load(sidecar, Over::Unix, topic, &all)
}

/// The figures of one thing that grows.
struct Row<'a> {
    what: &'static str,
    lines: &'a mut fs::File,
    /// CPU seconds for a million records.
    cpu: Vec<f64>,
}

impl<'a> Row<'a> {
    fn new(what: &'static str, lines: &'a mut fs::File) -> Self {
        println!("\n{what:<42} {:>10} {:>8} {:>9}", "records/s", "CPU s/M", "MiB");
        Self {
            what,
            lines,
            cpu: Vec::new(),
        }
    }

    fn add(&mut self, size: usize, sidecar: &Sidecar, topic: &str, arguments: &[&str]) {
        let report = load(sidecar, topic, arguments);
        let rate = figure(&report, "/records_per_second");
        let cpu = figure(&report, "/cpu_seconds_per_million");
        let resident = Usage::of(sidecar.id()).unwrap().resident_bytes;
        println!("{size:<42} {rate:>10.0} {cpu:>8.2} {:>9.1}", mib(resident));
        let line = json!({"row": self.what, "size": size, "resident_bytes": resident, "load": report});
        writeln!(self.lines, "{line}").unwrap();
        let per_mib = size as f64 / 1_000.0;
        self.cpu.push(if self.what.starts_with("value") && size >= 1_000 {
            cpu / per_mib
        } else {
            cpu
        });
        // Lets the brokers catch up, so that the next measurement does not pay for this one.
        thread::sleep(Duration::from_millis(500));
    }

    fn end(self) {
        let ratio = self.cpu[self.cpu.len() - 1] / self.cpu[0];
        println!("{:<42} {ratio:.2} (goal {GOAL})", "last to first, CPU of a record");
        writeln!(
            self.lines,
            "{}",
            json!({"row": self.what, "last_to_first": ratio, "goal": GOAL})
        )
        .unwrap();
    }
}

fn seconds() -> f64 {
    env::var("POINTSMAN_BENCH_SECONDS")
        .ok()
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(SECONDS)
}
