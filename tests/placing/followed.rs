//! Each store: how long from a change to the first record that goes by it, and how long a large table takes to load.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use pointsman_routing::{Change, Hashing, Row, TAIL, Table};
use pointsman_stores::{Settings, Store, Url, open};

use crate::{
    PARTITIONS, TENANTS, TOPIC, report,
    support::{
        http::Http,
        kafka::Kafka,
        redis::Redis,
        routes_file::{RoutesFile, is_clear, version},
        sidecar::{Builder, Sidecar},
        zookeeper::ZooKeeper,
    },
    table_of,
};

const CHANGES: usize = 100;

pub(crate) fn measure() {
    let kafka = Kafka::start(1).expect("Kafka");
    kafka.create_topic(TOPIC, PARTITIONS, &[]).unwrap();
    let (redis, zookeeper) = (Redis::start(), ZooKeeper::start());
    let folder = tempfile::tempdir().unwrap();
    let brokers = BTreeMap::from([("bootstrap.servers".to_owned(), kafka.bootstrap())]);
    let file = format!("file:{}", folder.path().join("routes.json").display());
    let without = idle(&sidecar(&kafka, None));
    neighbours(&kafka);
    for (name, url) in [
        ("file", file),
        ("kafka", "kafka:pointsman-routes".to_owned()),
        ("redis", redis.url("routes")),
        ("zookeeper", zookeeper.url("routes")),
    ] {
        one(name, &url, &brokers, &kafka, without);
    }
}

/// A tenant beside others that are held and moved all the time.
fn neighbours(kafka: &Kafka) {
    let store = RoutesFile::adopted(TOPIC, PARTITIONS);
    store.routes(&format!("set {TOPIC} moved --slots 0 --out-of-order"));
    let sidecar = sidecar(kafka, Some(&store.url()));
    while version(&sidecar) != 3 {}
    // The first seconds are those of a cold start.
    latencies(&sidecar, Duration::from_secs(2), || {});
    let (mut quiet, mut moving, mut holds) = (Vec::new(), Vec::new(), 0);
    for _ in 0..4 {
        quiet.extend(latencies(&sidecar, Duration::from_secs(2), || {}));
        moving.extend(latencies(&sidecar, Duration::ZERO, || {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(2) {
                holds += 1;
                let to = holds % u64::from(PARTITIONS);
                store.hold("moved", to);
                while !is_clear(&sidecar, "moved") {
                    thread::sleep(Duration::from_millis(5));
                }
                store.switch("moved", to);
                thread::sleep(Duration::from_millis(50));
            }
        }));
    }
    let what = format!("a neighbour's p99 during {holds} holds, of that without");
    report(&what, p99(moving) / p99(quiet), "times", Some("1.2 or less"));
}

fn sidecar(kafka: &Kafka, url: Option<&str>) -> Sidecar {
    let routing = url.map(|url| format!("[routing]\nstore = \"{url}\"\n"));
    Builder::kafka(&kafka.bootstrap())
        .route("*", "tenant", "config = { tenant = \"header:tenant-id\" }")
        .config(&routing.unwrap_or_default())
        .start()
}

/// MiB that it takes when nothing happens.
fn idle(sidecar: &Sidecar) -> f64 {
    goes_to(&mut sidecar.unix());
    // A clock, not a condition: the allocator gives back what it does not need after a while.
    thread::sleep(Duration::from_secs(3));
    sidecar.resident_bytes() as f64 / f64::from(1 << 20)
}

fn one(name: &str, url: &str, brokers: &BTreeMap<String, String>, kafka: &Kafka, without: f64) {
    let settings = || Settings {
        poll: Duration::from_secs(2),
        hashing: Hashing::with_seed(1),
    };
    let parsed: Url = url.parse().unwrap();
    let mut store = open(&parsed, brokers, settings()).unwrap();
    let mut table = store.init("bench").unwrap();
    let tail = Row::tail(TOPIC, PARTITIONS).unwrap();
    table = apply(&mut *store, &table, vec![Change::Put(tail)]);
    let sidecar = sidecar(kafka, Some(url));
    while sidecar.admin("/ready").status != 200 {}
    report(
        &format!("{name}: idle memory beside that without [routing]"),
        idle(&sidecar) - without,
        "MiB",
        Some("3 MiB, Kafka 6 MiB"),
    );

    let quiet = latencies(&sidecar, Duration::from_secs(3), || {});
    let large = table_of(TENANTS);
    let rows = large.rows().filter(|row| row.tenant != TAIL);
    let rows: Vec<Change> = rows.map(Change::Put).collect();
    let loading = latencies(&sidecar, Duration::from_secs(3), || {
        let begun = Instant::now();
        table = apply(&mut *store, &table, rows);
        let took = begun.elapsed().as_secs_f64();
        report(&format!("{name}: 100,000 rows are written"), took, "s", None);
        let version = table.version();
        while sidecar.admin("/routes?tenants=0").json()["routing"]["version"] != version {}
    });
    report(
        &format!("{name}: p99 of traffic while they come, of that before"),
        p99(loading) / p99(quiet),
        "times",
        Some("1.2 or less"),
    );

    let begun = Instant::now();
    let loaded = open(&parsed, brokers, settings()).unwrap().load().unwrap();
    assert_eq!(loaded.len(), TENANTS + 1);
    let took = begun.elapsed().as_secs_f64();
    report(&format!("{name}: 100,000 rows are loaded"), took, "s", Some("2 s"));
    changes(name, &mut *store, &mut table, &sidecar);
}

fn changes(name: &str, store: &mut dyn Store, table: &mut Table, sidecar: &Sidecar) {
    let mut http = sidecar.unix();
    let mut times = Vec::new();
    for change in 0..CHANGES {
        let partition = change as u32 % PARTITIONS;
        let begun = Instant::now();
        *table = apply(store, table, vec![Change::Put(Row::shared(TOPIC, "mover", partition))]);
        let applied = Instant::now();
        while goes_to(&mut http) != u64::from(partition) {}
        times.push((
            applied.elapsed().as_secs_f64() * 1e3,
            begun.elapsed().as_secs_f64() * 1e3,
        ));
    }
    times.sort_by(|a, b| f64::total_cmp(&a.0, &b.0));
    let (p50, p99) = (times[CHANGES / 2], times[CHANGES * 99 / 100]);
    let what = format!("{name}: from a change of one row to the first record by it");
    report(&format!("{what}, p50"), p50.0, "ms", None);
    report(&format!("{what}, p99"), p99.0, "ms", Some("200 ms"));
    let whole = format!("{name}: the same from when the change was begun, p50");
    report(&whole, p50.1, "ms", None);
}

/// Sends records of one tenant, one each 2 ms, while `meanwhile` runs and at least for so long. How long each took, ms.
fn latencies(sidecar: &Sidecar, least: Duration, meanwhile: impl FnOnce()) -> Vec<f64> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let (mut http, mut times) = (sidecar.unix(), Vec::new());
            while !is_over.load(Ordering::SeqCst) {
                let begun = Instant::now();
                goes_to(&mut http);
                times.push(begun.elapsed().as_secs_f64() * 1e3);
                thread::sleep(Duration::from_millis(2));
            }
            times
        });
        let begun = Instant::now();
        meanwhile();
        thread::sleep(least.saturating_sub(begun.elapsed()));
        is_over.store(true, Ordering::SeqCst);
        sending.join().unwrap()
    })
}

fn p99(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() * 99 / 100]
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
