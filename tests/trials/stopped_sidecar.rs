//! The sidecar is stopped under load: with brokers that answer, and with brokers that do not.

use std::time::{Duration, Instant};

use super::{
    checker::{Figures, check},
    clients::Load,
    cluster::Cluster,
    form,
};
use crate::support::{
    http::Http,
    sidecar::{Builder, Sidecar, eventually},
};

const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");

#[test]
fn a_sidecar_that_is_stopped_under_load_answers_all_that_is_open_and_loses_nothing() {
    const TOPIC: &str = "stopped";
    let cluster = Cluster::take();
    cluster.create_topic(TOPIC, 9, &[]).unwrap();
    let mut sidecar = Builder::kafka(&cluster.bootstrap()).start();
    let load = Load::new(&sidecar, TOPIC, 8).paced(40, Duration::from_millis(5));
    let mut took = Duration::ZERO;
    let sent = load.run(|| {
        load.goes_on("at first");
        load.until_told(form(5_000, 50_000));
        let begun = Instant::now();
        sidecar.terminate();
        eventually("it has ended", || {
            std::os::unix::net::UnixStream::connect(&sidecar.unix).is_err()
        });
        took = begun.elapsed();
    });
    let ended = sidecar.ended();
    eprintln!(
        "trial on {TOPIC}: no more connections after {took:.1?}, exit {:?}",
        ended.code()
    );
    assert_eq!(ended.code(), Some(0), "{}", sidecar.log_text());
    sidecar.wait_for_log("every record has its outcome");
    let Figures {
        acked, sent, untold, ..
    } = check(&cluster, TOPIC, &sent, 0);
    assert_eq!(acked + untold, sent, "with brokers that answer, what is taken is acked");
}

#[test]
fn a_sidecar_that_is_stopped_without_brokers_ends_in_time_and_reports_what_it_loses() {
    const TOPIC: &str = "stopped-without-brokers";
    const DRAIN: Duration = Duration::from_secs(3);
    let cluster = Cluster::take();
    cluster.create_topic(TOPIC, 9, &[]).unwrap();
    let mut sidecar = Builder::kafka(&cluster.bootstrap())
        .kafka_lines("[kafka.properties]\nrequest.timeout.ms = 4000\ndelivery.timeout.ms = 60000")
        .config("[shutdown]\ndrain_ms = 3000")
        .start();
    let path = format!("/v1/topics/{TOPIC}/records");
    // A first record, so that the topic is known.
    assert_eq!(sidecar.unix().json(&path, r#"{"value":"first"}"#).status, 200);
    for node in 0..3 {
        cluster.freeze(node);
    }
    let requests: Vec<usize> = (0..form(20, 200)).map(|_| fastrand::usize(1..=50)).collect();
    let mut waiting = Vec::new();
    for &records in &requests {
        // Half of the requests do not wait for outcomes.
        let mut http = sidecar.unix();
        if waiting.len() % 2 == 0 {
            assert_eq!(
                http.post(&format!("{path}?ack=none"), &[NDJSON], &lines(records))
                    .status,
                202
            );
        } else {
            http.send("POST", &path, &[NDJSON], &lines(records));
        }
        waiting.push(http);
    }
    let taken: usize = requests.iter().sum();
    eventually("all are taken", || {
        sidecar.metric("pointsman_producer_queue_messages") == taken as f64
    });
    let begun = Instant::now();
    sidecar.terminate();
    let answered = answers(&mut waiting, &requests);
    let ended = sidecar.ended();
    let late = begun.elapsed().saturating_sub(DRAIN);
    let report = sidecar.wait_for_log("the drain deadline passed");
    let lost = lost(&sidecar);
    eprintln!(
        "trial on {TOPIC}: exit {:?} {late:.1?} after its deadline of {DRAIN:?}; {taken} records taken, {answered} answered; \
         reported: {} left, {} acked, {} failed, {} unknown",
        ended.code(),
        report["left"],
        report["acked"],
        report["failed"],
        report["unknown"]
    );
    assert_eq!(ended.code(), Some(1));
    assert!(late < Duration::from_secs(10), "it ended {late:?} after its deadline");
    assert_eq!(report["left"].as_u64(), Some(taken as u64));
    assert_eq!(lost, taken as u64, "the loss is told by topic");
}

fn lines(records: usize) -> Vec<u8> {
    (0..records)
        .flat_map(|record| format!("{{\"key\":\"{record}\",\"value\":{record}}}\n").into_bytes())
        .collect()
}

/// How many records were answered. None may be acknowledged.
fn answers(waiting: &mut [Http], requests: &[usize]) -> usize {
    let mut answered = 0;
    for (http, &records) in waiting.iter_mut().zip(requests).skip(1).step_by(2) {
        let reply = http.reply().expect("an answer to an open request");
        let outcomes = reply.outcomes();
        assert_eq!(outcomes.len(), records);
        // What waited for its partition's turn was certainly not sent.
        let is_lost = |outcome: &String| outcome.starts_with("unknown") || outcome == "failed not_queued";
        assert!(outcomes.iter().all(is_lost), "{outcomes:?}");
        answered += records;
    }
    answered
}

/// How many records the log says were given up, over all topics.
fn lost(sidecar: &Sidecar) -> u64 {
    let said = sidecar.log();
    let topics = said
        .iter()
        .filter(|line| line["message"] == "records of a topic were given up");
    let lost =
        topics.map(|line| line["failed"].as_u64().unwrap_or_default() + line["unknown"].as_u64().unwrap_or_default());
    lost.sum()
}
