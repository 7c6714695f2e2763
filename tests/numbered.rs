//! Numbered requests: whatever connections they use, and through retries and lost replies, each client's records are
//! written in order, once.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use std::time::{Duration, Instant};

use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};
use serde_json::Value;

use crate::support::{
    consumer::{Read, read},
    http::{Http, Reply},
    numbered::{PATH, post, send},
    sidecar::{Builder, Sidecar, eventually},
};

const PARTITIONS: usize = 4;

/// Records whose values say which they are, spread over the partitions.
fn body(sequence: u64, count: usize) -> String {
    let record = |index: usize| format!(r#"{{"partition":{},"value":"{sequence} {index}"}}"#, index % PARTITIONS);
    let records: Vec<String> = (0..count).map(record).collect();
    format!(r#"{{"records":[{}]}}"#, records.join(","))
}

fn read_back(sidecar: &Sidecar, expected: usize) -> Vec<Read> {
    read(sidecar.embedded.as_deref().expect("embedded"), "t", expected)
}

fn conflict(reply: &Reply, code: &str) -> Value {
    assert_eq!(
        (reply.status, reply.problem().as_str()),
        (409, code),
        "{}",
        reply.text()
    );
    reply.json()
}

#[test]
fn sequences_sent_in_any_order_over_many_connections_stand_in_theirs() {
    const REQUESTS: u64 = 120;
    const RECORDS: usize = 8;
    let sidecar = Builder::embedded().start();
    // An unknown client has to begin with 1; else its first replies are `resync`.
    assert_eq!(
        post(&mut sidecar.tcp(), ("shop", 0, 1), &[], &body(1, RECORDS)).status,
        200
    );
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut order: Vec<u64> = (2..=REQUESTS).collect();
    // Mostly in order; else nearly every request would be told 409.
    let mut random = fastrand::Rng::with_seed(seed);
    for some in order.chunks_mut(12) {
        random.shuffle(some);
    }
    let left = Arc::new(Mutex::new(order.into_iter().collect::<std::collections::VecDeque<_>>()));
    let conflicts = Arc::new(AtomicUsize::new(0));
    let deadline = Instant::now() + Duration::from_secs(60);
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let mut http = sidecar.tcp();
            let (left, conflicts) = (Arc::clone(&left), Arc::clone(&conflicts));
            std::thread::spawn(move || {
                let next = || left.lock().unwrap().pop_front();
                while let Some(sequence) = next() {
                    assert!(Instant::now() < deadline, "sequence {sequence} was never taken");
                    let reply = post(&mut http, ("shop", 0, sequence), &[], &body(sequence, RECORDS));
                    if reply.status == 200 {
                        continue;
                    }
                    let expected = conflict(&reply, "sequence_conflict")["expected"].as_u64().unwrap();
                    assert!(expected < sequence, "{expected} is asked for instead of {sequence}");
                    conflicts.fetch_add(1, Ordering::Relaxed);
                    left.lock().unwrap().push_back(sequence);
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("every request was taken");
    }
    let total = REQUESTS as usize * RECORDS;
    let found = read_back(&sidecar, total);
    assert_eq!(found.len(), total, "each record once");
    let place = |read: &Read| -> (u64, u64) {
        let (sequence, index) = read.text().trim_matches('"').split_once(' ').expect("two numbers");
        (sequence.parse().unwrap(), index.parse().unwrap())
    };
    for pair in found.windows(2).filter(|pair| pair[0].partition == pair[1].partition) {
        assert!(place(&pair[0]) < place(&pair[1]), "{pair:?}");
    }
    let counted = sidecar.metric("pointsman_sequence_conflicts_total{code=\"sequence_conflict\"}");
    assert_eq!(counted as usize, conflicts.load(Ordering::Relaxed));
    assert_eq!(sidecar.metric("pointsman_sequence_clients"), 1.0);
}

#[test]
fn a_repeat_is_told_the_same_offsets_and_writes_nothing() {
    let sidecar = Builder::embedded().start();
    let first = post(&mut sidecar.tcp(), ("shop", 0, 1), &[], &body(1, 8));
    assert_eq!(first.status, 200, "{}", first.text());
    for _ in 0..3 {
        let again = post(&mut sidecar.tcp(), ("shop", 0, 1), &[], &body(1, 8));
        assert_eq!((again.status, again.json()), (200, first.json()));
    }
    // The same records in another spelling count as the same; other records do not.
    let spelt = body(1, 8).replace(",\"value\"", ",  \"key\":null, \"value\"");
    assert_eq!(
        post(&mut sidecar.tcp(), ("shop", 0, 1), &[], &spelt).json(),
        first.json()
    );
    for other in [body(1, 7), body(2, 8)] {
        let refused = conflict(
            &post(&mut sidecar.tcp(), ("shop", 0, 1), &[], &other),
            "sequence_mismatch",
        );
        assert_eq!((&refused["expected"], &refused["epoch"]), (&2.into(), &0.into()));
    }
    assert_eq!(post(&mut sidecar.tcp(), ("shop", 0, 2), &[], &body(2, 4)).status, 200);
    assert_eq!(read_back(&sidecar, 12).len(), 12);
}

#[test]
fn a_refused_record_is_tried_again_by_a_repeat_and_holds_up_nothing() {
    let sidecar = Builder::embedded().start();
    let mixed = r#"{"records":[{"partition":0,"value":1},{"partition":9,"value":2},{"value":}]}"#;
    let unreadable = post(&mut sidecar.tcp(), ("shop", 0, 1), &[], mixed);
    assert_eq!(
        (unreadable.status, unreadable.problem().as_str()),
        (400, "invalid_json")
    );
    let mixed = mixed.replace("{\"value\":}", "{\"valu\":3}");
    let reply = post(&mut sidecar.tcp(), ("shop", 0, 1), &[], &mixed);
    let outcomes = ["acked", "rejected partition_out_of_range", "rejected malformed_record"];
    assert_eq!(reply.outcomes(), outcomes);
    assert_eq!(post(&mut sidecar.tcp(), ("shop", 0, 2), &[], &body(2, 1)).status, 200);
    let again = post(&mut sidecar.tcp(), ("shop", 0, 1), &[], &mixed);
    assert_eq!(
        (again.status, again.json()),
        (207, reply.json()),
        "nothing was handed over, so nothing is late"
    );
    assert_eq!(read_back(&sidecar, 2).len(), 2);
}

#[test]
fn what_does_not_fit_is_refused_and_says_what_would() {
    let sidecar = Builder::embedded().start();
    let mut http = sidecar.tcp();
    let unknown = conflict(&post(&mut http, ("shop", 0, 2), &[], &body(2, 1)), "resync");
    assert!(unknown.get("expected").is_none(), "{unknown}");
    for bad in [
        vec![("pointsman-sequence", "1")],
        vec![("pointsman-client", "shop")],
        vec![("pointsman-client", "shop"), ("pointsman-sequence", "0")],
        vec![("pointsman-client", "s p"), ("pointsman-sequence", "1")],
        vec![
            ("pointsman-client", "shop"),
            ("pointsman-sequence", "1"),
            ("pointsman-epoch", "x"),
        ],
    ] {
        let headers = [&bad[..], &[("content-type", "application/json")]].concat();
        let reply = http.post(PATH, &headers, b"{}");
        assert_eq!((reply.status, reply.problem().as_str()), (400, "bad_header"), "{bad:?}");
    }
    let unwaited = [
        ("content-type", "application/json"),
        ("pointsman-client", "shop"),
        ("pointsman-sequence", "1"),
    ];
    let reply = http.post(&format!("{PATH}?ack=none"), &unwaited, b"{}");
    assert_eq!((reply.status, reply.problem().as_str()), (400, "bad_query"));

    assert_eq!(post(&mut http, ("shop", 0, 1), &[], &body(1, 1)).status, 200);
    let gap = conflict(&post(&mut http, ("shop", 0, 3), &[], &body(3, 1)), "sequence_conflict");
    assert_eq!((&gap["expected"], &gap["epoch"]), (&2.into(), &0.into()));
    let begins = conflict(&post(&mut http, ("shop", 7, 2), &[], &body(2, 1)), "sequence_conflict");
    assert_eq!((&begins["expected"], &begins["epoch"]), (&1.into(), &7.into()));
    assert_eq!(post(&mut http, ("shop", 7, 1), &[], &body(1, 1)).status, 200);
    let stale = conflict(&post(&mut http, ("shop", 0, 2), &[], &body(2, 1)), "stale_epoch");
    assert_eq!((&stale["expected"], &stale["epoch"]), (&2.into(), &7.into()));
    // Another client has its own numbers.
    assert_eq!(post(&mut http, ("till", 0, 1), &[], &body(1, 1)).status, 200);
    assert_eq!(read_back(&sidecar, 3).len(), 3, "nothing else was taken");
    for (code, count) in [("resync", 1.0), ("sequence_conflict", 2.0), ("stale_epoch", 1.0)] {
        let line = format!("pointsman_sequence_conflicts_total{{code=\"{code}\"}}");
        assert_eq!(sidecar.metric(&line), count, "{code}");
    }
}

#[test]
fn after_a_restart_a_client_resumes_where_it_was() {
    let instance = |reply: &Reply| reply.header("pointsman-instance").expect("an instance").to_owned();
    let sidecar = Builder::embedded().start();
    let before = post(&mut sidecar.tcp(), ("shop", 0, 1), &[], &body(1, 1));
    assert_eq!(before.status, 200);
    let plain = sidecar.tcp().json("/nowhere", "{}");
    assert_eq!((plain.status, instance(&plain)), (404, instance(&before)));
    drop(sidecar);

    let sidecar = Builder::embedded().start();
    let mut http = sidecar.unix();
    let refused = post(&mut http, ("shop", 0, 2), &[], &body(2, 1));
    conflict(&refused, "resync");
    assert_ne!(instance(&refused), instance(&before));
    let resume = [("pointsman-resume", "1")];
    let resumed = post(&mut http, ("shop", 0, 2), &resume, &body(2, 1));
    assert_eq!(resumed.status, 200, "{}", resumed.text());
    let again = post(&mut http, ("shop", 0, 2), &resume, &body(2, 1));
    assert_eq!(again.json(), resumed.json(), "it is known now, so this is a repeat");
    assert_eq!(post(&mut http, ("shop", 0, 3), &[], &body(3, 1)).status, 200);
    assert_eq!(read_back(&sidecar, 2).len(), 2);
}

#[test]
fn a_client_that_goes_away_finds_its_outcomes_by_a_repeat() {
    let sidecar = Builder::embedded()
        .kafka_lines("[kafka.properties]\nlinger.ms = 2000")
        .start();
    let mut leaving = sidecar.tcp();
    send(&mut leaving, ("shop", 0, 1), &[], &body(1, 8));
    eventually("it is taken", || {
        sidecar.metric("pointsman_producer_queue_messages") == 8.0
    });
    drop(leaving);
    // The repeat and the next request do not wait for each other.
    let (mut repeat, mut next) = (sidecar.tcp(), sidecar.tcp());
    send(&mut repeat, ("shop", 0, 1), &[], &body(1, 8));
    send(&mut next, ("shop", 0, 2), &[], &body(2, 8));
    eventually("the next one is taken", || {
        sidecar.metric("pointsman_producer_queue_messages") == 16.0
    });
    let told = repeat.reply().expect("a reply");
    assert_eq!(told.outcomes(), ["acked"; 8]);
    let again = post(&mut sidecar.tcp(), ("shop", 0, 1), &[], &body(1, 8));
    assert_eq!(again.json(), told.json());
    assert_eq!(next.reply().expect("a reply").status, 200);
    assert_eq!(read_back(&sidecar, 16).len(), 16, "the repeat wrote nothing");
}

#[test]
fn nothing_is_taken_behind_a_request_whose_records_were_lost() {
    let brokers: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).unwrap();
    brokers.create_topic("t", PARTITIONS as i32, 1).unwrap();
    let sidecar = Builder::kafka(&brokers.bootstrap_servers())
        .kafka_lines(
            "ordering = \"none\"\n[kafka.properties]\ndelivery.timeout.ms = 2000\nreconnect.backoff.max.ms = 100",
        )
        .start();
    let mut http = sidecar.tcp();
    assert_eq!(post(&mut http, ("shop", 0, 1), &[], &body(1, 4)).status, 200);
    brokers.broker_down(1).unwrap();
    let lost = post(&mut http, ("shop", 0, 2), &[], &body(2, 4));
    assert_eq!(
        (lost.status, lost.outcomes()),
        (504, vec!["unknown timed_out".to_owned(); 4])
    );
    let blocked = conflict(&post(&mut http, ("shop", 0, 3), &[], &body(3, 4)), "sequence_blocked");
    assert_eq!((&blocked["expected"], &blocked["epoch"]), (&2.into(), &0.into()));
    brokers.broker_up(1).unwrap();
    eventually("the lost request is written", || {
        let again = post(&mut http, ("shop", 0, 2), &[], &body(2, 4));
        assert!(
            again.json()["records"][0]["late"].as_bool().unwrap(),
            "{}",
            again.text()
        );
        again.status == 200
    });
    assert_eq!(post(&mut http, ("shop", 0, 3), &[], &body(3, 4)).status, 200);
    let found = read(&brokers.bootstrap_servers(), "t", 12);
    let first_words = found
        .iter()
        .map(|read| read.text().trim_matches('"').split_once(' ').unwrap().0);
    assert_eq!(first_words.collect::<Vec<_>>(), ["1", "2", "3"].repeat(PARTITIONS));
}

#[test]
fn who_may_connect_over_tcp_neither_retires_nor_crowds_out_the_clients_of_the_socket() {
    let sidecar = Builder::embedded().config("[limits]\nmax_clients = 10").start();
    let (mut unix, mut tcp) = (sidecar.unix(), sidecar.tcp());
    let send = |http: &mut Http, client: &str, epoch: u64, sequence: u64| {
        post(http, (client, epoch, sequence), &[], &body(sequence, 1)).status
    };
    assert_eq!(send(&mut unix, "shop", 0, 1), 200);
    assert_eq!(send(&mut tcp, "shop", u64::MAX, 1), 200);
    assert_eq!(send(&mut unix, "shop", 0, 2), 200, "its epoch is its own");
    for client in 0..100 {
        assert_eq!(send(&mut tcp, &client.to_string(), 0, 1), 200);
    }
    assert_eq!(send(&mut unix, "shop", 0, 3), 200, "it is still known");
    assert_eq!(send(&mut tcp, "0", 0, 2), 409, "who sent too many has lost its own");
}

#[test]
fn a_request_whose_turn_does_not_come_in_its_time_is_not_told_that_it_was_taken() {
    let sidecar = Builder::embedded()
        .config("[limits]\nmax_plugin_ms = 60000")
        .route("*", "hostile", "")
        .start();
    // So slow that the next request has to wait.
    let slow = format!("{{\"records\":[{}]}}", vec!["{\"key\":\"slow\"}"; 3_000].join(","));
    let mut first = sidecar.tcp();
    send(&mut first, ("shop", 0, 1), &[], &slow);
    let mut second = sidecar.tcp();
    let mut try_next = |more: &[(&str, &str)]| post(&mut second, ("shop", 0, 2), more, &body(2, 1));
    let mut told = None;
    eventually("the first one has its turn", || {
        let reply = try_next(&[("pointsman-timeout-ms", "50")]);
        told = Some(reply).filter(|reply| reply.status != 409);
        told.is_some()
    });
    let told = told.unwrap();
    assert_eq!((told.status, told.problem().as_str()), (503, "busy"), "{}", told.text());
    assert!(told.text().contains("nothing was taken"), "{}", told.text());
    assert_eq!(first.reply().unwrap().status, 200);
    assert_eq!(try_next(&[]).status, 200, "its number was not used");
}
