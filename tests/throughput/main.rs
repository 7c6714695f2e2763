//! Compares the throughput to a real Kafka with that of producers without a sidecar: `cargo bench -p pointsman --bench
//! throughput`, part of `make bench`.
//!
//! One node, 12 partitions, acks=all, idempotent; values of 100 bytes that are easy to read, and JSON objects. Another sidecar is measured, too, if it is
//! installed; see `peer`. All contenders take turns in one run, so that changes in the machine's speed affect all of
//! them; the ratios compare turns that follow each other. Prints a table for people, and writes JSON lines to
//! `target/bench/throughput.jsonl`. `POINTSMAN_BENCH_TURNS` and `POINTSMAN_BENCH_SECONDS` make it shorter or longer.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it shares the tests' support and needs part of it; its result goes to the terminal"
)]

use std::{cell::RefCell, env, fs, io::Write as _, path::Path, sync::atomic::Ordering};

use pointsman::tools::load::Usage;
use serde_json::{Value, json};

use crate::{
    apart::{Apart, Settings},
    contenders::{COMPARED, Contender, contenders},
    given::{Given, spread},
    peer::Peer,
    support::{
        kafka::{Kafka, LONG_LIVED},
        sidecar::{Builder, Sidecar, root},
    },
};

mod apart;
mod contenders;
mod given;
mod java;
mod peer;
mod raw;

#[path = "../support"]
mod support {
    pub(crate) mod http;
    pub(crate) mod kafka;
    pub(crate) mod kafka_proxy;
    pub(crate) mod load;
    pub(crate) mod sidecar;
    pub(crate) mod way;
}

const TURNS: usize = 5;
const SECONDS: f64 = 3.0;
const PARTITIONS: u32 = 12;
/// How many partitions the embedded broker's topics have.
const EMBEDDED_PARTITIONS: u32 = pointsman::produce::embedded::PARTITIONS;
pub(crate) const VALUE_BYTES: usize = 100;

/// What is sent, as `pointsman load` knows it.
#[derive(Clone, Copy)]
pub(crate) enum Values {
    Text,
    Objects,
}

/// How many requests with objects are made for each of so many connections, before they are sent again: together about
/// as many records as others have.
pub(crate) fn rounds(connections: usize, batch: usize) -> usize {
    (apart::RECORDS / connections / batch).clamp(1, 256)
}

/// What all contenders use.
pub(crate) struct Bench {
    pub(crate) bootstrap: String,
    pub(crate) partitions: u32,
    pub(crate) sidecar: Sidecar,
    pub(crate) java: Option<RefCell<Apart>>,
    pub(crate) peer: Option<Peer>,
    pub(crate) seconds: f64,
}

fn main() {
    let folder = root().join("target/bench");
    fs::create_dir_all(&folder).unwrap();
    let mut lines = fs::File::create(folder.join("throughput.jsonl")).unwrap();
    let seconds = number("POINTSMAN_BENCH_SECONDS").unwrap_or(SECONDS);
    LONG_LIVED.store(true, Ordering::Relaxed);
    let kafka = Kafka::start(1).expect("Kafka");
    for topic in ["raw", "java", "plugin", "host", peer::TOPIC] {
        let small = [("retention.bytes", "67108864"), ("segment.bytes", "33554432")];
        kafka.create_topic(topic, PARTITIONS, &small).unwrap();
    }
    let bench = Bench {
        java: Some(java(&kafka, &apart::write_records(&folder))),
        bootstrap: kafka.bootstrap(),
        partitions: PARTITIONS,
        sidecar: sidecar(Builder::kafka(&kafka.bootstrap())),
        peer: Peer::start(&kafka),
        seconds,
    };
    measure("Kafka", &mut lines, &bench);
    drop(bench);
    drop(kafka);
    let sidecar = sidecar(Builder::embedded());
    let bench = Bench {
        bootstrap: sidecar.embedded.clone().unwrap(),
        partitions: EMBEDDED_PARTITIONS,
        sidecar,
        java: None,
        peer: None,
        seconds,
    };
    measure("embedded broker", &mut lines, &bench);
}

/// The Java producer with as few requests in flight as the others.
fn java(kafka: &Kafka, records: &Path) -> RefCell<Apart> {
    RefCell::new(Apart::java(&Settings {
        bootstrap: &kafka.bootstrap(),
        topic: "java",
        partitions: PARTITIONS,
        in_flight: 1,
        records,
    }))
}

fn number(name: &str) -> Option<f64> {
    env::var(name).ok().and_then(|given| given.parse().ok())
}

fn sidecar(builder: Builder) -> Sidecar {
    builder
        .route("plugin", "key-hash", "")
        .config("[[route]]\ntopics = [\"*\"]")
        .start()
}

/// Runs all contenders, in turns.
fn measure(broker: &str, lines: &mut fs::File, bench: &Bench) {
    let idle = Usage::of(bench.sidecar.id()).unwrap().resident_bytes;
    let turns = number("POINTSMAN_BENCH_TURNS").map_or(TURNS, |turns| turns as usize);
    let contenders = contenders(broker == "Kafka", bench.peer.is_some());
    let mut given: Vec<Vec<Given>> = vec![Vec::new(); contenders.len()];
    for turn in 1..=turns {
        for (contender, given) in contenders.iter().zip(&mut given) {
            eprint!("\r{broker}, turn {turn} of {turns}: {:<60}", contender.name);
            given.push((contender.run)(bench));
        }
    }
    eprintln!();
    println!("\n{broker}");
    report(broker, &contenders, &given, lines);
    compare(broker, &contenders, &given, lines);
    println!("resident when idle: {:.1} MiB, with one plugin", mib(idle));
}

/// Compares other protocols with those that are nearest to them.
fn compare(broker: &str, contenders: &[Contender], given: &[Vec<Given>], lines: &mut fs::File) {
    println!("\n{:<52} {:>10} {:>9}", "compared", "records/s", "CPU s/M");
    let of = |name: &str| {
        let place = contenders.iter().position(|contender| contender.name == name);
        &given[place.expect("a contender")]
    };
    for (name, with) in COMPARED {
        let ratio = |figure: fn(&Given) -> f64| {
            let turns = of(name).iter().zip(of(with));
            spread(turns.map(|(turn, with)| figure(turn) / figure(with)))[1]
        };
        let (records, cpu) = (
            ratio(|given| given.records_per_second),
            ratio(|given| given.cpu_seconds_per_million),
        );
        println!("{name:<52} {records:>10.2} {cpu:>9.2}  of {with}");
        let line = json!({"broker": broker, "name": name, "of": with, "records_per_second": records, "cpu": cpu});
        writeln!(lines, "{line}").unwrap();
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn report(broker: &str, contenders: &[Contender], given: &[Vec<Given>], lines: &mut fs::File) {
    println!(
        "{:<52} {:>10} {:>21} {:>6} {:>9} {:>6} {:>8} {:>8} {:>9}",
        "", "records/s", "from to", "of raw", "CPU s/M", "of raw", "p50 ms", "p99 ms", "peak MiB"
    );
    let raw = &given[0];
    for (contender, turns) in contenders.iter().zip(given) {
        let ratio = |of: fn(&Given) -> f64| spread(turns.iter().zip(raw).map(|(turn, raw)| of(turn) / of(raw)))[1];
        let [least, median, most] = spread(turns.iter().map(|turn| turn.records_per_second));
        let cpu = spread(turns.iter().map(|turn| turn.cpu_seconds_per_million))[1];
        let of_raw = ratio(|given| given.records_per_second);
        let cpu_of_raw = ratio(|given| given.cpu_seconds_per_million);
        let latency = |of: fn(&Given) -> Option<f64>| {
            let figures: Option<Vec<f64>> = turns.iter().map(of).collect();
            figures.map(|figures| spread(figures)[1])
        };
        let (p50, p99) = (latency(|given| given.p50_ms), latency(|given| given.p99_ms));
        let peak = turns.iter().filter_map(|given| given.peak_bytes).max();
        let shown = |figure: Option<f64>| figure.map_or(String::new(), |figure| format!("{figure:.2}"));
        println!(
            "{:<52} {median:>10.0} {:>21} {of_raw:>6.2} {cpu:>9.2} {cpu_of_raw:>6.2} {:>8} {:>8} {:>9}",
            contender.name,
            format!("{least:.0} {most:.0}"),
            shown(p50),
            shown(p99),
            shown(peak.map(mib)),
        );
        let line: Value = json!({
            "broker": broker,
            "name": contender.name,
            "turns": turns.len(),
            "records_per_second": {"least": least, "median": median, "most": most, "of_raw": of_raw},
            "cpu_seconds_per_million_records": {"median": cpu, "of_raw": cpu_of_raw},
            "p50_ms": p50,
            "p99_ms": p99,
            "peak_resident_bytes": peak,
        });
        writeln!(lines, "{line}").unwrap();
    }
}
