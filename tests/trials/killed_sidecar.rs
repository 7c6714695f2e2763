//! The sidecar is killed again and again, while clients send numbered requests.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use base64_simd::STANDARD;
use serde_json::{Value, json};
use tokio::{runtime::Runtime, task::JoinHandle};

use super::{cluster::Cluster, form};
use crate::{
    numbered_clients::client::{Client, Options, Target},
    support::{
        kafka::Kafka,
        sidecar::{Builder, eventually},
    },
};

const TOPIC: &str = "killed-sidecar";
const CLIENTS: u64 = 4;
const RECORDS_A_REQUEST: u64 = 5;

/// What the clients and the killing thread share.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// How often the sidecar was killed.
    killed: AtomicU32,
    answered: [AtomicU64; CLIENTS as usize],
}

/// A request, and how many kills there were before it was sent and before it was answered.
struct Request {
    sent: u32,
    answered: u32,
}

impl Request {
    /// Whether the sidecar was killed while the request was under way.
    fn met_a_kill(&self) -> bool {
        self.sent < self.answered
    }
}

#[test]
fn a_killed_sidecar_loses_nothing_of_its_numbered_clients_and_doubles_only_what_was_not_answered() {
    let cluster = Cluster::take();
    cluster.create_topic(TOPIC, 9, &[]).unwrap();
    let mut sidecar = Builder::kafka(&cluster.bootstrap()).start();
    let runtime = Runtime::new().unwrap();
    let shared = Arc::new(Shared::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| runtime.spawn(send(number, Target::Unix(sidecar.unix.clone()), Arc::clone(&shared))))
        .collect();
    let kills = form(3, 20);
    for kill in 1..=kills {
        goes_on(&shared, 30);
        let begun = Instant::now();
        sidecar.kill_and_start_again(|| shared.killed.store(kill, Ordering::SeqCst));
        let started = begun.elapsed();
        goes_on(&shared, 1);
        eprintln!(
            "trial on {TOPIC}: kill {kill}: serving again after {started:.1?}, every client's next answer after {:.1?}",
            begun.elapsed()
        );
    }
    shared.stop.store(true, Ordering::SeqCst);
    let requests: Vec<Vec<Request>> = clients
        .into_iter()
        .map(|client| runtime.block_on(client).expect("everything is acked"))
        .collect();
    check(&cluster, &requests, kills);
}

/// Waits until each client has had this many more answers.
fn goes_on(shared: &Shared, more: u64) {
    let answered = || -> Vec<u64> {
        shared
            .answered
            .iter()
            .map(|count| count.load(Ordering::SeqCst))
            .collect()
    };
    let before = answered();
    eventually("every client has answers", || {
        answered()
            .iter()
            .zip(&before)
            .all(|(now, before)| *now >= before + more)
    });
}

/// Sends requests as fast as they are taken, several under way, until it is told to stop. All must be acked in the end.
async fn send(number: u64, target: Target, shared: Arc<Shared>) -> Vec<Request> {
    let client = Client::new(Options::new(target, &format!("client-{number}")));
    let mut answers: Vec<JoinHandle<Request>> = Vec::new();
    while !shared.stop.load(Ordering::SeqCst) {
        let first = answers.len() as u64 * RECORDS_A_REQUEST;
        let records: Vec<Value> = (first..first + RECORDS_A_REQUEST)
            .map(|record| json!({ "key": format!("{number}-{}", record % 13), "value": [number, record] }))
            .collect();
        let sent = shared.killed.load(Ordering::SeqCst);
        let answer = client.send(TOPIC, &records).await.expect("room");
        let shared = Arc::clone(&shared);
        answers.push(tokio::spawn(async move {
            let reply = answer.answer().await.expect("an answer");
            let answered = shared.killed.load(Ordering::SeqCst);
            let outcomes = reply["records"].as_array().expect("outcomes");
            assert_eq!(outcomes.len() as u64, RECORDS_A_REQUEST);
            assert!(outcomes.iter().all(|record| record["outcome"] == "acked"), "{reply}");
            shared.answered[number as usize].fetch_add(1, Ordering::SeqCst);
            Request { sent, answered }
        }));
    }
    client.drain().await;
    let mut requests = Vec::new();
    for answer in answers {
        requests.push(answer.await.expect("acked"));
    }
    requests
}

fn check(kafka: &Kafka, requests: &[Vec<Request>], kills: u32) {
    // How often each record is in the topic, and the latest first copy for each client and partition.
    let mut there: HashMap<(u64, u64), u32> = HashMap::new();
    let mut last: HashMap<(u64, u64), u64> = HashMap::new();
    let mut inversions = Vec::new();
    for line in kafka.read(TOPIC).expect("readable") {
        let record: Value = serde_json::from_str(&line).unwrap();
        let value = STANDARD
            .decode_to_vec(record["value"].as_str().expect("a value"))
            .unwrap();
        let [client, number]: [u64; 2] = serde_json::from_slice(&value).expect("a record that a client sent");
        let times = there.entry((client, number)).or_default();
        *times += 1;
        if *times == 1 {
            let before = last.insert((client, record["partition"].as_u64().unwrap()), number);
            if before > Some(number) {
                inversions.push((client, before, number));
            }
        }
    }
    let (mut missing, mut doubled, mut wrongly, mut in_doubt) = (Vec::new(), 0, Vec::new(), 0);
    for (client, requests) in (0..).zip(requests) {
        for (index, request) in (0..).zip(requests) {
            in_doubt += u64::from(request.met_a_kill()) * RECORDS_A_REQUEST;
            for number in index * RECORDS_A_REQUEST..(index + 1) * RECORDS_A_REQUEST {
                match there.remove(&(client, number)) {
                    None => missing.push((client, number)),
                    Some(1) => {}
                    Some(_) if request.met_a_kill() => doubled += 1,
                    Some(times) => wrongly.push((client, number, times)),
                }
            }
        }
    }
    let sent: usize = requests.iter().map(Vec::len).sum::<usize>() * RECORDS_A_REQUEST as usize;
    eprintln!(
        "trial on {TOPIC}: {kills} kills, {sent} records sent and acked in the end; {in_doubt} were without an answer at a kill, \
         {doubled} of those are there more than once, of the others {}; {} missing, {} out of order, {} made up",
        wrongly.len(),
        missing.len(),
        inversions.len(),
        there.len()
    );
    assert!(missing.is_empty(), "{missing:?}");
    assert!(inversions.is_empty(), "{inversions:?}");
    assert!(wrongly.is_empty(), "{wrongly:?}");
    assert!(there.is_empty(), "{there:?}");
}
