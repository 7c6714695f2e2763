//! Sends half of the peak rate for half an hour, to a real Kafka: `make soak`. Neither memory nor latency may grow.
//!
//! Prints a line each minute, and writes JSON lines to `target/bench/soak.jsonl`. `POINTSMAN_SOAK_MINUTES` makes it
//! shorter or longer.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it shares the tests' support and needs part of it; its result goes to the terminal"
)]

use std::{env, fs, io::Write as _, sync::atomic::Ordering};

use pointsman::tools::load::Usage;
use serde_json::{Value, json};

use crate::support::{
    kafka::{Kafka, LONG_LIVED},
    load::{self, Over, figure},
    sidecar::{Builder, Sidecar, root},
};

#[path = "../support"]
mod support {
    pub(crate) mod http;
    pub(crate) mod kafka;
    pub(crate) mod kafka_proxy;
    pub(crate) mod load;
    pub(crate) mod sidecar;
    pub(crate) mod way;
}

const MINUTES: usize = 30;
/// How many minutes caches need to fill, and the allocator to find its size.
const SETTLED: usize = 5;
const GOAL: f64 = 1.05;

fn main() {
    let given = env::var("POINTSMAN_SOAK_MINUTES").ok();
    let minutes = given.and_then(|minutes| minutes.parse().ok()).unwrap_or(MINUTES);
    let folder = root().join("target/bench");
    fs::create_dir_all(&folder).unwrap();
    let mut lines = fs::File::create(folder.join("soak.jsonl")).unwrap();
    LONG_LIVED.store(true, Ordering::Relaxed);
    let kafka = Kafka::start(1).expect("Kafka");
    // So small that what one minute brings is forgotten a minute later.
    let small = [
        ("retention.bytes", "67108864"),
        ("segment.bytes", "67108864"),
        ("file.delete.delay.ms", "1000"),
    ];
    kafka.create_topic("soak", 12, &small).unwrap();
    let sidecar = Builder::kafka(&kafka.bootstrap()).route("*", "key-hash", "").start();
    let peak = figure(&load(&sidecar, &["--seconds", "10"]), "/records_per_second");
    let rate = (peak / 2.0).round();
    println!("peak {peak:.0} records/s; {minutes} minutes at {rate:.0}");
    println!(
        "{:>6} {:>10} {:>8} {:>8} {:>9} {:>8}",
        "minute", "records/s", "p50 ms", "p99 ms", "CPU s/M", "MiB"
    );
    let mut all = Vec::new();
    for minute in 1..=minutes {
        let report = load(
            &sidecar,
            &["--rate", &rate.to_string(), "--warm-up", "0", "--seconds", "60"],
        );
        let resident = Usage::of(sidecar.id()).unwrap().resident_bytes;
        let of = |name: &str| figure(&report, name);
        println!(
            "{minute:>6} {:>10.0} {:>8.2} {:>8.2} {:>9.2} {:>8.1}",
            of("/records_per_second"),
            of("/latency_ms/p50"),
            of("/latency_ms/p99"),
            of("/cpu_seconds_per_million"),
            resident as f64 / f64::from(1 << 20)
        );
        writeln!(
            lines,
            "{}",
            json!({"minute": minute, "resident_bytes": resident, "load": report})
        )
        .unwrap();
        all.push((resident as f64, of("/latency_ms/p99")));
    }
    let settled = SETTLED.min(minutes) - 1;
    let memory = all[all.len() - 1].0 / all[settled].0;
    let (first, last) = (median(&all[..=settled]), median(&all[all.len() - 1 - settled..]));
    println!(
        "memory, last to minute {}: {memory:.3} (goal {GOAL}); p99, last minutes to first: {:.2}",
        settled + 1,
        last / first
    );
    writeln!(
        lines,
        "{}",
        json!({"memory": memory, "goal": GOAL, "p99_last_to_first": last / first})
    )
    .unwrap();
}

fn median(minutes: &[(f64, f64)]) -> f64 {
    let mut p99: Vec<f64> = minutes.iter().map(|minute| minute.1).collect();
    p99.sort_by(f64::total_cmp);
    p99[p99.len() / 2]
}

fn load(sidecar: &Sidecar, arguments: &[&str]) -> Value {
    let report = load::load(
        sidecar,
        Over::Unix,
        "soak",
        &[&["--batch", "100", "--values", "text"], arguments].concat(),
    );
    assert_eq!(report["others"], json!({}), "{report}");
    report
}
