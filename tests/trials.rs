//! Brokers are frozen and killed under load, and everything is read back by the Java client, which shares no code with what
//! wrote it. Each record says who sent it and as which one, so that what the clients were told can be held against what is
//! there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64_simd::STANDARD;
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};
use serde_json::Value;

use crate::support::{
    http::Http,
    kafka::Kafka,
    sidecar::{Builder, Sidecar, eventually},
};

const TOPIC: &str = "trial";
const CLIENTS: u64 = 4;
const RECORDS_A_REQUEST: u64 = 20;

/// What one client was told of each of its records, by number; all were sent once.
struct Told {
    client: u64,
    records: Vec<Fate>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Acked {
        partition: u64,
        offset: Option<u64>,
    },
    /// `failed` or `rejected`: certainly not there.
    NotWritten,
    Unknown,
}

#[test]
fn frozen_and_killed_brokers_lose_duplicate_and_reorder_nothing_that_was_acknowledged() {
    let kafka = Kafka::start(3).expect("a cluster");
    kafka.create_topic(TOPIC, 9, &[]).unwrap();
    let sidecar = Builder::kafka(&kafka.bootstrap())
        // So that a frozen broker is given up in seconds, which is when order and duplicates are at risk.
        .kafka_lines("[kafka.properties]\nrequest.timeout.ms = 4000\ndelivery.timeout.ms = 60000")
        .start();
    let stop = AtomicBool::new(false);
    let acked = AtomicU64::new(0);
    let told = thread::scope(|scope| {
        /// Also when a fault cannot be made: the clients must not go on without end.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (sidecar, stop, acked) = (&sidecar, &stop, &acked);
                scope.spawn(move || send(client, sidecar.unix(), stop, acked))
            })
            .collect();
        let stopping = Stop(&stop);
        goes_on(&acked, "at first");
        let frozen = a_leader(&kafka);
        kafka.freeze(frozen);
        until_leadership_has_left(&kafka, frozen);
        goes_on(&acked, "while a broker is frozen");
        kafka.thaw(frozen);
        goes_on(&acked, "after it was thawed");
        let killed = (0..3)
            .find(|&node| node != frozen && leads(&kafka, node))
            .expect("another leader");
        kafka.kill(killed);
        until_leadership_has_left(&kafka, killed);
        goes_on(&acked, "after a broker was killed");
        drop(stopping);
        clients
            .into_iter()
            .map(|client| client.join().expect("a client is well"))
            .collect::<Vec<_>>()
    });
    check(&kafka, &told, &sidecar);
}

/// Waits until many more records are acknowledged than now.
fn goes_on(acked: &AtomicU64, when: &str) {
    let (before, begun) = (acked.load(Ordering::SeqCst), Instant::now());
    eventually(when, || acked.load(Ordering::SeqCst) > before);
    let first = begun.elapsed();
    eventually(when, || acked.load(Ordering::SeqCst) > before + 2_000);
    eprintln!(
        "trial: {when}: the next acknowledgement after {first:.1?}, 2,000 after {:.1?}",
        begun.elapsed()
    );
}

/// The leader of each partition, asked anew of whichever broker answers: the Java client would wait for a frozen one.
fn leaders(kafka: &Kafka) -> Vec<i32> {
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap())
        .set("socket.timeout.ms", "2000")
        .create()
        .expect("a client");
    let mut leaders = Vec::new();
    eventually("a broker tells the leaders", || {
        let Ok(metadata) = client.fetch_metadata(Some(TOPIC), Duration::from_secs(3)) else {
            return false;
        };
        leaders = metadata.topics()[0]
            .partitions()
            .iter()
            .map(|partition| partition.leader())
            .collect();
        true
    });
    leaders
}

/// Nodes are counted from 0 here, and from 1 by Kafka.
fn leads(kafka: &Kafka, node: usize) -> bool {
    leaders(kafka).contains(&(node as i32 + 1))
}

fn a_leader(kafka: &Kafka) -> usize {
    let leader = leaders(kafka).into_iter().find(|leader| *leader > 0).expect("a leader");
    usize::try_from(leader).unwrap() - 1
}

fn until_leadership_has_left(kafka: &Kafka, node: usize) {
    eventually("the others have taken over", || !leads(kafka, node));
}

/// One request after another, until it is told to stop.
fn send(client: u64, mut connection: Http, stop: &AtomicBool, acked: &AtomicU64) -> Told {
    let mut told = Told {
        client,
        records: Vec::new(),
    };
    while !stop.load(Ordering::SeqCst) {
        let first = told.records.len() as u64;
        let lines: String = (first..first + RECORDS_A_REQUEST)
            .map(|number| {
                format!(
                    "{{\"key\":\"{client}-{}\",\"value\":[{client},{number}]}}\n",
                    number % 13
                )
            })
            .collect();
        let reply = connection.post(
            &format!("/v1/topics/{TOPIC}/records"),
            &[("content-type", "application/x-ndjson")],
            lines.as_bytes(),
        );
        if reply.status == 503 {
            // Nothing was taken, so the same records may be sent again.
            continue;
        }
        let reply = reply.json();
        let records = reply["records"].as_array().expect("outcomes");
        assert_eq!(records.len() as u64, RECORDS_A_REQUEST, "one outcome for each record");
        for record in records {
            let fate = match record["outcome"].as_str().expect("an outcome") {
                "acked" => Fate::Acked {
                    partition: record["partition"].as_u64().expect("a partition"),
                    offset: record["offset"].as_u64(),
                },
                "failed" | "rejected" => Fate::NotWritten,
                "unknown" => Fate::Unknown,
                other => panic!("{other} is no outcome"),
            };
            acked.fetch_add(u64::from(matches!(fate, Fate::Acked { .. })), Ordering::SeqCst);
            told.records.push(fate);
        }
    }
    told
}

fn check(kafka: &Kafka, told: &[Told], sidecar: &Sidecar) {
    let lines = kafka.read(TOPIC).expect("readable");
    let mut there: HashMap<(u64, u64), Vec<(u64, u64)>> = HashMap::new();
    for line in &lines {
        let record: Value = serde_json::from_str(line).unwrap();
        let value = STANDARD
            .decode_to_vec(record["value"].as_str().expect("a value"))
            .unwrap();
        let value: [u64; 2] = serde_json::from_slice(&value).expect("a record that a client sent");
        let place = (
            record["partition"].as_u64().unwrap(),
            record["offset"].as_u64().unwrap(),
        );
        there.entry((value[0], value[1])).or_default().push(place);
    }
    let mut counts = [0_usize; 3];
    for Told { client, records } in told {
        let mut last: HashMap<u64, (u64, u64)> = HashMap::new();
        for (number, fate) in (0..).zip(records) {
            let places = there.remove(&(*client, number)).unwrap_or_default();
            assert!(
                places.len() <= 1,
                "record {number} of client {client} was sent once and stands at {places:?}"
            );
            match fate {
                Fate::Acked { partition, offset } => {
                    counts[0] += 1;
                    let place = places
                        .first()
                        .unwrap_or_else(|| panic!("{number} of {client} was acked and is lost"));
                    assert_eq!(place.0, *partition);
                    assert!(
                        offset.is_none_or(|offset| offset == place.1),
                        "{number} of {client}: {place:?}, told {offset:?}"
                    );
                    let before = last.insert(place.0, (place.1, number));
                    assert!(
                        before.is_none_or(|(offset, _)| offset < place.1),
                        "{number} of {client} at {place:?} stands before {before:?}"
                    );
                }
                Fate::NotWritten => {
                    counts[1] += 1;
                    assert!(
                        places.is_empty(),
                        "{number} of {client} was called not written and stands at {places:?}"
                    );
                }
                Fate::Unknown => counts[2] += 1,
            }
        }
    }
    assert!(there.is_empty(), "nobody sent {there:?}");
    let [acked, not_written, unknown] = counts;
    eprintln!(
        "trial: {} records sent, {} there: {acked} acked and none of them missing, doubled or out of order; {not_written} not \
         written; {unknown} unknown; generation {}",
        acked + not_written + unknown,
        lines.len(),
        sidecar.metric("pointsman_generation"),
    );
}
