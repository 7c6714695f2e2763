//! Measures what the routing table of tenants costs: `cargo bench -p pointsman --bench placing`, part of `make bench`.
//!
//! First the table by itself: look-ups, changes, memory. Then a plugin's decision with its placing. Then sidecars with a real
//! Kafka, in turns: without a table, with one of 100 rows, with one of 100,000. Then each store: how long from a change to the
//! first record that goes by it, and what a large table costs. Prints a table for people, and writes JSON lines to `target/bench/placing.jsonl`.
//! `POINTSMAN_BENCH_TURNS` and `POINTSMAN_BENCH_SECONDS` make it shorter or longer, `POINTSMAN_BENCH_PARTS` names the parts
//! that are wanted: `table,decision,throughput,stores`.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it shares the tests' support and needs part of it; its result goes to the terminal"
)]

use std::{env, fs, io::Write as _, sync::Mutex};

use pointsman::tools::load::tenant_name;
use pointsman_routing::{Change, Hashing, Row, Table};
use serde_json::{Value, json};

use crate::support::sidecar::root;

mod decision;
mod followed;
mod table;
mod throughput;

#[path = "../support"]
mod support {
    pub(crate) mod http;
    pub(crate) mod kafka;
    pub(crate) mod kafka_proxy;
    pub(crate) mod load;
    pub(crate) mod redis;
    pub(crate) mod routes_file;
    pub(crate) mod server;
    pub(crate) mod sidecar;
    pub(crate) mod way;
    pub(crate) mod zookeeper;
}

/// As in the sidecar.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

pub(crate) const TENANTS: usize = 100_000;
pub(crate) const PARTITIONS: u32 = 12;
pub(crate) const TOPIC: &str = "tenants";

static LINES: Mutex<Option<fs::File>> = Mutex::new(None);

fn main() {
    let folder = root().join("target/bench");
    fs::create_dir_all(&folder).unwrap();
    *LINES.lock().unwrap() = Some(fs::File::create(folder.join("placing.jsonl")).unwrap());
    let parts = env::var("POINTSMAN_BENCH_PARTS").unwrap_or_else(|_| "table,decision,throughput,stores".to_owned());
    let is_wanted = |part: &str| parts.split(',').any(|wanted| wanted == part);
    if is_wanted("table") {
        table::measure();
    }
    if is_wanted("decision") {
        decision::measure();
    }
    if is_wanted("throughput") {
        throughput::measure();
    }
    if is_wanted("stores") {
        followed::measure();
    }
}

/// Prints a figure with what is wanted of it.
pub(crate) fn report(what: &str, figure: f64, unit: &str, goal: Option<&str>) {
    let goal_shown = goal.map_or(String::new(), |goal| format!("  (goal: {goal})"));
    println!("{what:<66} {figure:>10.3} {unit}{goal_shown}");
    let line: Value = json!({"figure": what, "value": figure, "unit": unit, "goal": goal});
    if let Some(lines) = &mut *LINES.lock().unwrap() {
        writeln!(lines, "{line}").unwrap();
    }
}

pub(crate) fn number(name: &str) -> Option<f64> {
    env::var(name).ok().and_then(|given| given.parse().ok())
}

/// A table with a tail, and a row for each of the largest tenants.
pub(crate) fn table_of(rows: usize) -> Table {
    let table = Table::empty("bench", Hashing::with_seed(1));
    let tail = Change::Put(Row::tail(TOPIC, PARTITIONS).unwrap());
    let rows =
        (1..=rows).map(|number| Change::Put(Row::shared(TOPIC, &tenant_name(number), number as u32 % PARTITIONS)));
    table.apply([tail].into_iter().chain(rows).collect()).unwrap().0
}
