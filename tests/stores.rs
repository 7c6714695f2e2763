//! The stores of the routing table that have servers, each against its real server.

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use pointsman_stores::{
    Store,
    conformance::{self, Load},
    kafka::KafkaStore,
};

use crate::support::{
    kafka::Kafka,
    sidecar::{BINARY, Builder, eventually, to_its_end},
};

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
