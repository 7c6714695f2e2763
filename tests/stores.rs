//! The stores of the routing table that have servers, each against its real server.

mod followed;
mod redis;
mod zookeeper;

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use pointsman_routing::{Change, Row, Table};
use pointsman_stores::{
    Settings, Store, StoreError,
    conformance::{self, Load},
    kafka::KafkaStore,
};

use crate::support::{
    kafka::Kafka,
    sidecar::{BINARY, Builder, eventually, to_its_end},
};

/// Longer than a store may take to say that its server does not answer.
const AWAY: Duration = Duration::from_secs(12);
/// Longer than anything takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A client of the store at this URL, which is never polled unless something is said about that.
fn client(url: &str, poll: Duration) -> Box<dyn Store> {
    let settings = Settings {
        poll,
        ..conformance::settings()
    };
    pointsman_stores::open(&url.parse().unwrap(), &BTreeMap::new(), settings).unwrap()
}

const NEVER: Duration = Duration::from_secs(3_600);

/// Makes stores at URLs with these names, each without a table.
fn stores_at(url: impl Fn(&str) -> String) -> impl Fn() -> conformance::Client {
    let tables = AtomicUsize::new(0);
    move || {
        let url = url(&format!("t{}", tables.fetch_add(1, Ordering::Relaxed)));
        Box::new(move || client(&url, NEVER))
    }
}

/// Makes a table with the tail of topic `t`.
fn adopted(store: &mut dyn Store) -> Table {
    let table = store.init("i").unwrap();
    let tail = Change::Put(Row::tail("t", 4).unwrap());
    store.apply((table.epoch(), table.version()), vec![tail]).unwrap()
}

/// Gives a tenant a row.
fn put(store: &mut dyn Store, tenant: &str, partition: u32) -> Table {
    let table = store.load().unwrap();
    let row = Change::Put(Row::shared("t", tenant, partition));
    store.apply((table.epoch(), table.version()), vec![row]).unwrap()
}

/// Waits until another table comes.
fn next(store: &mut dyn Store) -> Table {
    let until = Instant::now() + DEADLINE;
    loop {
        match store.changed(Duration::from_secs(1)) {
            Ok(Some(table)) => return table,
            Ok(None) | Err(StoreError::Away(_)) => assert!(Instant::now() < until, "no other table came"),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Whether a call ends with [`StoreError::Away`], and in time.
fn is_away<T>(call: impl FnOnce() -> Result<T, StoreError>) -> String {
    let begun = Instant::now();
    match call() {
        Err(StoreError::Away(told)) => {
            assert!(begun.elapsed() < AWAY, "{told} took {:?}", begun.elapsed());
            told
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it is not away"),
    }
}

fn brokers(kafka: &Kafka) -> BTreeMap<String, String> {
    BTreeMap::from([("bootstrap.servers".to_owned(), kafka.bootstrap())])
}

#[test]
fn a_store_in_a_topic_of_real_kafka_keeps_what_every_store_promises() {
    let kafka = Kafka::single();
    let brokers = Arc::new(brokers(kafka));
    let tables = AtomicUsize::new(0);
    // Each change is a transaction, and writers at once fence each other: all of it takes six minutes.
    let load = match std::env::var("POINTSMAN_TRIALS").as_deref() {
        Ok("full") => Load {
            changes: 3,
            ..Load::FULL
        },
        _ => Load::LIGHT,
    };
    let open = || {
        let topic = format!("routes-{}", tables.fetch_add(1, Ordering::Relaxed));
        let brokers = Arc::clone(&brokers);
        Box::new(move || {
            let store = KafkaStore::new(topic.clone(), BTreeMap::clone(&brokers), conformance::settings());
            Box::new(store) as Box<dyn Store>
        }) as conformance::Client
    };
    conformance::all(&open, load);
}

#[test]
fn a_sidecar_follows_a_table_in_the_kafka_that_it_sends_to() {
    let kafka = Kafka::single();
    kafka.create_topic("tenants", 3, &[]).unwrap();
    let sidecar = Builder::kafka(&kafka.bootstrap())
        .route("*", "tenant", "config = { tenant = \"header:tenant-id\" }")
        .config("[routing]\nstore = \"kafka:pointsman-routes\"\n")
        .start();
    assert_eq!(sidecar.admin("/ready").status, 503, "there is no table yet");
    let routes = |command: &str| {
        let output = to_its_end(
            Command::new(BINARY)
                .arg("routes")
                .args(command.split(' '))
                .arg("--config")
                .arg(&sidecar.config),
        );
        assert!(output.status.success(), "{command}: {output:?}");
    };
    routes("init");
    // The brokers say how many partitions the topic has.
    routes("adopt tenants");
    let partition = || {
        let body = r#"{"value":1,"headers":{"tenant-id":"acme"}}"#;
        let reply = sidecar.tcp().json("/v1/topics/tenants/records", body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["records"][0]["partition"].as_u64().unwrap()
    };
    eventually("a table makes it ready", || sidecar.admin("/ready").status == 200);
    let elsewhere = (partition() + 1) % 3;
    routes(&format!("set tenants acme --slots {elsewhere} --out-of-order"));
    eventually("acme is elsewhere", || partition() == elsewhere);
}
