//! Each store: how long from a change to the first record that goes by it, and how long a large table takes to load.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use pointsman_routing::{Change, Hashing, Row, Table};
use pointsman_stores::{Settings, Store, Url, open};

use crate::{
    PARTITIONS, TENANTS, TOPIC, report,
    support::{http::Http, kafka::Kafka, sidecar::Builder},
    table_of,
};

const CHANGES: usize = 100;

pub(crate) fn measure() {
    let kafka = Kafka::start(1).expect("Kafka");
    kafka.create_topic(TOPIC, PARTITIONS, &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let brokers = BTreeMap::from([("bootstrap.servers".to_owned(), kafka.bootstrap())]);
    let file = format!("file:{}", folder.path().join("routes.json").display());
    for (name, url) in [("file", &*file), ("kafka", "kafka:pointsman-routes")] {
        one(name, url, &brokers, &kafka);
    }
}

fn one(name: &str, url: &str, brokers: &BTreeMap<String, String>, kafka: &Kafka) {
    let settings = || Settings {
        poll: Duration::from_secs(2),
        hashing: Hashing::with_seed(1),
    };
    let url: Url = url.parse().unwrap();
    let mut store = open(&url, brokers, settings());
    let empty = store.init("bench").unwrap();
    let rows = table_of(TENANTS).rows().map(Change::Put).collect();
    let mut table = apply(&mut *store, &empty, rows);

    let begun = Instant::now();
    assert_eq!(open(&url, brokers, settings()).load().unwrap().len(), TENANTS + 1);
    report(
        &format!("{name}: 100,000 rows are loaded"),
        begun.elapsed().as_secs_f64(),
        "s",
        Some("2 s"),
    );

    let sidecar = Builder::kafka(&kafka.bootstrap())
        .route("*", "tenant", "config = { tenant = \"header:tenant-id\" }")
        .config(&format!("[routing]\nstore = \"{url}\"\n"))
        .start();
    let mut http = sidecar.unix();
    while sidecar.admin("/ready").status != 200 {}
    let mut times = Vec::new();
    for change in 0..CHANGES {
        let partition = change as u32 % PARTITIONS;
        let begun = Instant::now();
        table = apply(
            &mut *store,
            &table,
            vec![Change::Put(Row::shared(TOPIC, "mover", partition))],
        );
        let applied = Instant::now();
        while goes_to(&mut http) != u64::from(partition) {}
        times.push((
            applied.elapsed().as_secs_f64() * 1e3,
            begun.elapsed().as_secs_f64() * 1e3,
        ));
    }
    times.sort_by(|a, b| f64::total_cmp(&a.0, &b.0));
    let (p50, p99) = (times[CHANGES / 2], times[CHANGES * 99 / 100]);
    report(
        &format!("{name}: from a change to the first record by it, p50"),
        p50.0,
        "ms",
        None,
    );
    report(
        &format!("{name}: from a change to the first record by it, p99"),
        p99.0,
        "ms",
        Some("200 ms"),
    );
    report(
        &format!("{name}: the same from when the change was begun, p50"),
        p50.1,
        "ms",
        None,
    );
}

fn apply(store: &mut dyn Store, seen: &Table, changes: Vec<Change>) -> Table {
    store.apply((seen.epoch(), seen.version()), changes).unwrap()
}

fn goes_to(http: &mut Http) -> u64 {
    let body = r#"{"value":1,"headers":{"tenant-id":"mover"}}"#;
    let reply = http.json(&format!("/v1/topics/{TOPIC}/records"), body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["records"][0]["partition"].as_u64().unwrap()
}
