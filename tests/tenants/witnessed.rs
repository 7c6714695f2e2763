//! A change of the table under load, on a real Kafka, with Java's consumer as the witness.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use base64_simd::STANDARD;
use serde_json::{Value, json};

use crate::support::{
    kafka::Kafka,
    routes_file::RoutesFile,
    sidecar::{Builder, Sidecar, eventually},
};

const TOPIC: &str = "witnessed";
const PARTITIONS: u32 = 6;
const TENANTS: [&str; 4] = ["mover", "a", "b", "c"];
/// Records of each tenant before the change, and after it.
const RECORDS: u64 = 300;

#[test]
fn a_tenant_that_is_sent_elsewhere_under_load_changes_its_partition_and_nobody_else_does() {
    let kafka = Kafka::single();
    kafka.create_topic(TOPIC, PARTITIONS, &[]).unwrap();
    let store = RoutesFile::adopted(TOPIC, PARTITIONS);
    for (tenant, slot) in TENANTS.iter().zip([0, 0, 0, 1]) {
        store.routes(&format!("set {TOPIC} {tenant} --slots {slot} --out-of-order"));
    }
    let sidecar = Builder::kafka(&kafka.bootstrap())
        .route(TOPIC, "tenant", "config = { tenant = \"header:tenant-id\" }")
        .config(&format!("[routing]\nstore = \"{}\"\n", store.url()))
        .start();
    let (sent, is_over) = (TENANTS.map(|_| AtomicU64::new(0)), AtomicBool::new(false));
    let all_sent = |least: u64| sent.iter().all(|sent| sent.load(Ordering::SeqCst) >= least);
    thread::scope(|scope| {
        for (tenant, sent) in TENANTS.iter().zip(&sent) {
            let (sidecar, is_over) = (&sidecar, &is_over);
            scope.spawn(move || send(sidecar, tenant, sent, is_over));
        }
        eventually("all have sent", || all_sent(RECORDS));
        store.routes(&format!("set {TOPIC} mover --slots 5 --out-of-order"));
        let before = sent[0].load(Ordering::SeqCst);
        eventually("all have sent more", || all_sent(before + RECORDS));
        is_over.store(true, Ordering::SeqCst);
    });
    let seen = seen(kafka);
    for (tenant, sent) in TENANTS.iter().zip(&sent) {
        let partitions = &seen[*tenant];
        let there: usize = partitions.values().map(Vec::len).sum();
        assert_eq!(
            there as u64,
            sent.load(Ordering::SeqCst),
            "{tenant}: none lost, none doubled"
        );
        for (partition, numbers) in partitions {
            assert!(numbers.is_sorted(), "{tenant} on partition {partition}: {numbers:?}");
        }
    }
    let places = |tenant: &str| seen[tenant].keys().copied().collect::<Vec<_>>();
    assert_eq!(places("mover"), [0, 5]);
    let (old, new) = (&seen["mover"][&0], &seen["mover"][&5]);
    assert!(old.last() < new.first(), "no record went back");
    assert!(new.len() as u64 >= RECORDS / 2, "{} records followed", new.len());
    assert_eq!([places("a"), places("b"), places("c")], [[0], [0], [1]]);
}

/// Sends numbered records of a tenant, a few at a time.
fn send(sidecar: &Sidecar, tenant: &str, sent: &AtomicU64, is_over: &AtomicBool) {
    let mut http = sidecar.unix();
    while !is_over.load(Ordering::SeqCst) {
        let first = sent.load(Ordering::SeqCst);
        let records: Vec<Value> = (first..first + 5)
            .map(|number| json!({"value": [tenant, number], "headers": {"tenant-id": tenant}}))
            .collect();
        let reply = http.json(
            &format!("/v1/topics/{TOPIC}/records"),
            &json!({"records": records}).to_string(),
        );
        assert_eq!(reply.status, 200, "{}", reply.text());
        sent.fetch_add(5, Ordering::SeqCst);
    }
}

/// The numbers of each tenant's records, by partition, in the order of offsets.
fn seen(kafka: &Kafka) -> BTreeMap<String, BTreeMap<u64, Vec<u64>>> {
    let mut seen: BTreeMap<String, BTreeMap<u64, Vec<(u64, u64)>>> = BTreeMap::new();
    for line in kafka.read(TOPIC).expect("readable") {
        let record: Value = serde_json::from_str(&line).unwrap();
        let value = STANDARD
            .decode_to_vec(record["value"].as_str().expect("a value"))
            .unwrap();
        let (tenant, number): (String, u64) = serde_json::from_slice(&value).expect("a record that was sent");
        let place = |name: &str| record[name].as_u64().expect("a place");
        let partitions = seen.entry(tenant).or_default();
        let there = partitions.entry(place("partition")).or_default();
        there.push((place("offset"), number));
    }
    let in_order = |mut there: Vec<(u64, u64)>| {
        there.sort_unstable();
        there.into_iter().map(|(_, number)| number).collect()
    };
    let of_tenant = |partitions: BTreeMap<u64, _>| {
        partitions
            .into_iter()
            .map(|(partition, there)| (partition, in_order(there)))
            .collect()
    };
    seen.into_iter()
        .map(|(tenant, partitions)| (tenant, of_tenant(partitions)))
        .collect()
}
