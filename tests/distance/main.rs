//! What distance to the brokers costs the sidecar, and what it costs producers without one: `cargo bench -p pointsman
//! --bench distance`, part of `make bench`.
//!
//! Real brokers behind a proxy that makes the round trip longer, acks=all, idempotent; topics are not replicated, since
//! brokers that copy records to each other would take the machine from what is measured. All contenders send the same
//! records: JSON objects of six fields, each with a key of its own. Those without a sidecar have callers of the same kind as
//! the sidecar's, who send so many records, wait for all of them and send the next.
//!
//! Contenders take turns, so that changes in the machine's speed affect all of them; ratios are medians of ratios in the
//! same turn. Prints a table for people, and writes JSON lines to `target/bench/distance.jsonl`. See [`choice`] for the
//! environment variables that choose a part of it.
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
    io::{self, IsTerminal as _},
    path::Path,
    sync::atomic::Ordering,
    time::Duration,
};

use crate::{
    choice::{Choice, Layout, ROWS, Row},
    contenders::Contender,
    given::Given,
    report::Report,
    support::{
        delay_proxy::DelayProxy,
        kafka::{Kafka, LONG_LIVED, addresses},
        sidecar::root,
    },
};

#[path = "../throughput/apart.rs"]
mod apart;
mod choice;
mod contenders;
#[path = "../throughput/given.rs"]
mod given;
#[path = "../throughput/raw.rs"]
mod raw;
mod report;
mod yardstick;

#[path = "../support"]
mod support {
    pub(crate) mod delay_proxy;
    pub(crate) mod http;
    pub(crate) mod kafka;
    pub(crate) mod kafka_proxy;
    pub(crate) mod load;
    pub(crate) mod sidecar;
    pub(crate) mod way;
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let Some((raw::COMMAND, settings)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return raw::serve(settings);
    }
    let choice = Choice::from_environment();
    yardstick::measure(&choice.round_trips);
    let folder = root().join("target/bench");
    fs::create_dir_all(&folder).unwrap();
    let records = apart::write_records(&folder);
    let mut report = Report::new(fs::File::create(folder.join("distance.jsonl")).unwrap());
    LONG_LIVED.store(true, Ordering::Relaxed);
    for nodes in [1, 3] {
        let layouts: Vec<&Layout> = choice.layouts.iter().filter(|layout| layout.nodes == nodes).collect();
        if !layouts.is_empty() {
            measure(&choice, nodes, &layouts, &records, &mut report);
        }
    }
}

/// Measures all layouts of as many brokers.
fn measure(choice: &Choice, nodes: usize, layouts: &[&Layout], records: &Path, report: &mut Report) {
    let proxy = DelayProxy::new(nodes);
    let kafka = Kafka::start_advertising(&proxy.ports(), |node, port| proxy.lead(node, port)).expect("Kafka");
    for &layout in layouts {
        let small = [("retention.bytes", "67108864"), ("segment.bytes", "33554432")];
        kafka
            .create_topic_at_one(layout.name, layout.partitions, &small)
            .unwrap();
        let mut contenders = Contender::start(choice, layout, &addresses(proxy.ports()), records);
        // The brokers are new, and their virtual machines and the contenders' have compiled little yet.
        for row in ROWS {
            take_turn(choice, layout, row, &mut contenders);
        }
        for &round_trip_ms in &choice.round_trips {
            proxy.set_round_trip(Duration::from_secs_f64(round_trip_ms / 1e3));
            report.head(layout, round_trip_ms);
            for &row in &choice.rows {
                let turns = (0..choice.turns).map(|_| take_turn(choice, layout, row, &mut contenders));
                let turns: Vec<_> = turns.collect();
                let names: Vec<&str> = contenders.iter().map(Contender::name).collect();
                report.row(layout, round_trip_ms, row, &names, &turns);
            }
        }
        proxy.set_round_trip(Duration::ZERO);
    }
}

fn take_turn(choice: &Choice, layout: &Layout, row: Row, contenders: &mut [Contender]) -> Vec<Given> {
    let given = contenders.iter_mut().map(|contender| {
        if io::stderr().is_terminal() {
            eprint!("\r{}: {:<20}\r", row.name, contender.name());
        }
        contender.run(choice, layout, row)
    });
    given.collect()
}
