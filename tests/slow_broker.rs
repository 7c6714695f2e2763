//! A broker that does not answer must not stop the records for other brokers.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};

use crate::support::{
    http::Http,
    sidecar::{Builder, Sidecar, eventually},
};

/// The broker that leads partition 1 of topic `t`; the other one leads partition 0.
const SLOW: i32 = 2;
const FLOODING: usize = 60;
const NDJSON: &[(&str, &str)] = &[("content-type", "application/x-ndjson")];

fn brokers() -> MockCluster<'static, DefaultProducerContext> {
    let brokers = MockCluster::new(2).unwrap();
    brokers.create_topic("t", 2, 1).unwrap();
    brokers.partition_leader("t", 0, Some(1)).unwrap();
    brokers.partition_leader("t", 1, Some(SLOW)).unwrap();
    brokers
}

fn to(partition: u32, records: usize) -> String {
    format!("{{\"partition\":{partition},\"value\":\"some text that is long enough to be one\"}}\n").repeat(records)
}

/// Sends to the slow partition. Requests that are taken are acknowledged in the end, the others are refused. Returns
/// how many of both there were.
fn flood(socket: &Path, stop: &AtomicBool, busy: &AtomicUsize) -> usize {
    let (mut connection, body, mut acked) = (Http::unix(socket), to(1, 500), 0);
    while !stop.load(Ordering::SeqCst) {
        let reply = connection.post("/v1/topics/t/records", NDJSON, body.as_bytes());
        match reply.status {
            200 => acked += 1,
            503 => {
                assert!(
                    reply.text().contains("what partition 1 of topic \\\"t\\\" may have"),
                    "{}",
                    reply.text()
                );
                busy.fetch_add(1, Ordering::SeqCst);
            }
            other => panic!("{other}: {}", reply.text()),
        }
    }
    acked
}

fn is_full(sidecar: &Sidecar) -> bool {
    sidecar.metric("pointsman_producer_queue_messages") >= 19_500.0
}

#[test]
fn a_broker_that_does_not_answer_takes_no_room_from_the_partitions_of_the_others() {
    let brokers = brokers();
    let sidecar = Builder::kafka(&brokers.bootstrap_servers())
        .config("[limits]\nmax_wait_ms = 200")
        .start();
    let mut healthy = sidecar.unix();
    let warm = healthy.post("/v1/topics/t/records", NDJSON, (to(0, 1) + &to(1, 1)).as_bytes());
    assert_eq!(warm.outcomes(), ["acked", "acked"]);
    brokers
        .broker_round_trip_time(SLOW, Duration::from_secs(3_600))
        .unwrap();
    let (stop, busy) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let flooding: Vec<_> = (0..FLOODING)
            .map(|_| scope.spawn(|| flood(&sidecar.unix, &stop, &busy)))
            .collect();
        eventually("the slow partition has all that it may", || is_full(&sidecar));
        eventually("others are told so", || busy.load(Ordering::SeqCst) >= FLOODING / 2);
        let begun = Instant::now();
        for number in 0..200 {
            let (count, body) = if number % 10 == 0 {
                (5_000, to(0, 5_000))
            } else {
                (1, to(0, 1))
            };
            let reply = healthy.post("/v1/topics/t/records", NDJSON, body.as_bytes());
            assert_eq!(reply.status, 200, "request {number}: {:.300}", reply.text());
            assert_eq!(reply.outcomes().len(), count);
        }
        eprintln!(
            "slow broker: 100,180 records to the other one in {:.1?}, resident {} MiB",
            begun.elapsed(),
            sidecar.resident_bytes() >> 20
        );
        assert!(is_full(&sidecar), "all the while");
        stop.store(true, Ordering::SeqCst);
        brokers.broker_round_trip_time(SLOW, Duration::ZERO).unwrap();
        // Requests on their way keep their delay, so the connection is cut; the client asks again on a new one.
        brokers.broker_down(SLOW).unwrap();
        brokers.broker_up(SLOW).unwrap();
        let acked: usize = flooding.into_iter().map(|client| client.join().expect("well")).sum();
        assert!(acked >= 39, "what was taken is acknowledged: {acked}");
    });
    eventually("nothing is left", || {
        sidecar.metric("pointsman_producer_queue_messages") == 0.0 && sidecar.metric("pointsman_buffered_bytes") == 0.0
    });
}
