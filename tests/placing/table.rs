//! The table by itself.

use std::{
    hint::black_box,
    process,
    time::{Duration, Instant},
};

use pointsman::tools::load::{Usage, tenant_name};
use pointsman_routing::{Change, Document, Hashing, Resolved, Row, Table, Target};

use crate::{PARTITIONS, TENANTS, TOPIC, report, table_of};

const LOOK_UPS: usize = 4_000_000;
const CHANGES: u32 = 2_000;
/// So many tables are held at once to see what one takes.
const TABLES: usize = 5;

pub(crate) fn measure() {
    let table = table_of(TENANTS);
    look_up("one tenant again and again", &table, "30 ns", |_| 7);
    let mut dice = fastrand::Rng::with_seed(1);
    look_up("any of 100,000 tenants", &table, "100 ns", |_| dice.usize(1..=TENANTS));
    let mut dice = fastrand::Rng::with_seed(2);
    look_up("any of 100,000 tenants without rows", &table, "100 ns", |_| {
        dice.usize(TENANTS + 1..=2 * TENANTS)
    });
    changes(&table);
    loading(&table);
    memory();
}

fn look_up(what: &str, table: &Table, goal: &str, mut tenant: impl FnMut(usize) -> usize) {
    let names: Vec<String> = (0..1 << 18).map(|index| tenant_name(tenant(index))).collect();
    let topic = table.topic(TOPIC).unwrap();
    let begun = Instant::now();
    let mut sum = 0;
    for index in 0..LOOK_UPS {
        let name = &names[index & ((1 << 18) - 1)];
        let Resolved { target, .. } = topic.find(name, table.hashing().of(name)).resolve(name, None);
        if let Target::Partition(partition) = target {
            sum += partition;
        }
    }
    black_box(sum);
    let each = begun.elapsed().as_secs_f64() * 1e9 / LOOK_UPS as f64;
    report(&format!("look-up, {what}"), each, "ns", Some(goal));
}

fn changes(table: &Table) {
    let mut table = table.clone();
    let begun = Instant::now();
    for number in 0..CHANGES {
        let row = Row::shared(TOPIC, &tenant_name(1 + number as usize * 37), number % PARTITIONS);
        table = table.apply(vec![Change::Put(row)]).unwrap().0;
    }
    let each = begun.elapsed().as_secs_f64() * 1e3 / f64::from(CHANGES);
    report("a change of one row among 100,000", each, "ms", Some("1 ms"));
}

fn loading(table: &Table) {
    let json = table.document().write();
    let begun = Instant::now();
    let loaded = Document::read(json.as_bytes())
        .unwrap()
        .table(Hashing::with_seed(1))
        .unwrap();
    let took = begun.elapsed();
    assert_eq!(loaded.len(), table.len());
    report("100,000 rows from JSON to a table", seconds(took), "s", None);
}

fn memory() {
    let resident = || Usage::of(process::id()).unwrap().resident_bytes;
    // The first one takes what building needs for a moment.
    let first = table_of(TENANTS);
    let before = resident();
    let tables: Vec<Table> = (0..TABLES).map(|_| table_of(TENANTS)).collect();
    let each = (resident() - before) as f64 / (TABLES * TENANTS) as f64;
    drop((first, tables));
    report("memory of a tenant with its name", each, "bytes", Some("100 bytes"));
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
