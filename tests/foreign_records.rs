//! A record that the brokers refuse hurts only its own client: other clients that share the topic, the partition and
//! the batch go on.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::{
    http::Http,
    kafka::Kafka,
    sidecar::{Builder, Sidecar},
};

const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const HONEST: usize = 4;
const RECORDS_A_REQUEST: usize = 5;
const BETWEEN_ATTACKS: Duration = Duration::from_millis(12);
const ATTACKS: usize = 240;
const MINUTE_MS: i64 = 60_000;

/// How many records had each outcome and code.
type Outcomes = BTreeMap<String, usize>;

fn in_ms(ahead: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap() + ahead
}

/// Records that the topic does not take: it is compacted, takes at most 10 000 bytes a batch, and times from an hour
/// ago to a minute ahead. Each with its code.
fn attacks() -> [(&'static str, String); 4] {
    let at = |ahead| {
        format!(
            "{{\"key\":\"k\",\"partition\":0,\"value\":1,\"timestamp\":{}}}",
            in_ms(ahead)
        )
    };
    [
        ("timestamp_out_of_range", at(30 * MINUTE_MS)),
        ("timestamp_out_of_range", at(-120 * MINUTE_MS)),
        ("key_required", "{\"partition\":0,\"value\":1}".to_owned()),
        (
            "record_too_large",
            format!("{{\"key\":\"k\",\"partition\":0,\"value\":\"{}\"}}", "x".repeat(50_000)),
        ),
    ]
}

const TERMS: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("max.message.bytes", "10000"),
    ("message.timestamp.after.max.ms", "60000"),
    ("message.timestamp.before.max.ms", "3600000"),
];

fn path(topic: &str) -> String {
    format!("/v1/topics/{topic}/records")
}

/// Sends one request after the other until it is told to stop.
fn honest(mut connection: Http, topic: &str, client: usize, stopped: &mpsc::Receiver<()>) -> Outcomes {
    let mut outcomes = Outcomes::new();
    let mut number = 0;
    while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
        let lines: String = (0..RECORDS_A_REQUEST)
            .map(|_| {
                number += 1;
                // Some records have a time of their own, which is valid.
                let time = match number % 2 {
                    0 => format!(",\"timestamp\":{}", in_ms(-100)),
                    _ => String::new(),
                };
                format!("{{\"key\":\"{client}\",\"partition\":0,\"value\":{number}{time}}}\n")
            })
            .collect();
        for outcome in connection.post(&path(topic), &[NDJSON], lines.as_bytes()).outcomes() {
            *outcomes.entry(outcome).or_default() += 1;
        }
    }
    outcomes
}

/// What honest clients are told while `attack` goes on.
fn beside(sidecar: &Sidecar, topic: &str, clients: usize, attack: impl FnOnce()) -> Outcomes {
    thread::scope(|scope| {
        let (stops, clients): (Vec<_>, Vec<_>) = (0..clients)
            .map(|client| {
                let (stop, stopped) = mpsc::sync_channel::<()>(0);
                let connection = if client.is_multiple_of(2) {
                    sidecar.unix()
                } else {
                    sidecar.tcp()
                };
                let sends = move || honest(connection, topic, client, &stopped);
                (stop, scope.spawn(sends))
            })
            .unzip();
        attack();
        drop(stops);
        let mut all = Outcomes::new();
        for client in clients {
            for (outcome, count) in client.join().expect("a client is well") {
                *all.entry(outcome).or_default() += count;
            }
        }
        all
    })
}

/// Sends records that the topic does not take, at a steady pace.
fn attack(sidecar: &Sidecar, topic: &str) -> Outcomes {
    let mut outcomes = Outcomes::new();
    let mut connection = sidecar.tcp();
    let (_timer, ticks) = mpsc::sync_channel::<()>(0);
    for number in 0..ATTACKS {
        // This wait paces the attack; it waits for no condition.
        assert_eq!(ticks.recv_timeout(BETWEEN_ATTACKS), Err(RecvTimeoutError::Timeout));
        let (_, record) = &attacks()[number % 4];
        let outcome = connection.json(&path(topic), record).outcomes().remove(0);
        *outcomes.entry(outcome).or_default() += 1;
    }
    outcomes
}

fn all_acked(outcomes: &Outcomes) -> bool {
    outcomes.keys().all(|outcome| outcome == "acked") && outcomes.contains_key("acked")
}

#[test]
fn records_that_a_topic_does_not_take_spoil_nobody_elses_where_its_settings_can_be_read() {
    let kafka = Kafka::single();
    kafka.create_topic("foreign", 2, &TERMS).unwrap();
    let sidecar = Builder::kafka(&kafka.bootstrap()).start();
    let mut refused = Outcomes::new();
    let others = beside(&sidecar, "foreign", HONEST, || refused = attack(&sidecar, "foreign"));
    eprintln!("foreign records, settings known: others {others:?}, refused {refused:?}");
    assert!(all_acked(&others), "{others:?}");
    let expected = [
        ("rejected key_required", ATTACKS / 4),
        ("rejected record_too_large", ATTACKS / 4),
        ("rejected timestamp_out_of_range", ATTACKS / 2),
    ];
    assert_eq!(
        refused,
        expected.map(|(outcome, count)| (outcome.to_owned(), count)).into()
    );
    assert_eq!(sidecar.metric("pointsman_topic_closures_total{topic=\"foreign\"}"), 0.0);
    sidecar.wait_for_log("records were refused for their content");
    let lines = sidecar.log_text().matches("refused for their content").count();
    assert_eq!(lines, 1, "one line a minute");
}

#[test]
fn records_that_a_topic_does_not_take_spoil_no_more_than_one_batch_each_where_its_settings_are_hidden() {
    let kafka = Kafka::single();
    kafka.create_topic("hidden", 2, &TERMS).unwrap();
    kafka.hide_configs("hidden").unwrap();
    let properties = kafka.sasl_ssl_properties("PLAIN");
    let sidecar = Builder::kafka(&kafka.sasl_ssl_bootstrap())
        .kafka_lines(&format!("properties = '''\n{properties}'''"))
        .start();
    let mut first = Vec::new();
    let mut refused = Outcomes::new();
    let mut later = Outcomes::new();
    let during = beside(&sidecar, "hidden", HONEST, || {
        for (_, record) in attacks() {
            first.extend(sidecar.tcp().json(&path("hidden"), &record).outcomes());
        }
        // Clients that begin now no longer notice anything.
        later = beside(&sidecar, "hidden", HONEST, || refused = attack(&sidecar, "hidden"));
    });
    eprintln!(
        "foreign records, settings hidden: first {first:?}, others then {during:?}, later {later:?}, refused {refused:?}"
    );
    sidecar.wait_for_log("settings cannot be read");
    assert!(
        first.iter().all(|outcome| outcome.starts_with("failed ")),
        "the brokers decide: {first:?}"
    );
    assert!(
        refused.keys().all(|outcome| outcome.starts_with("rejected ")),
        "{refused:?}"
    );
    assert!(all_acked(&later), "{later:?}");
    let kinds: Vec<&str> = during.keys().filter_map(|outcome| outcome.split(' ').next()).collect();
    assert!(
        kinds.iter().all(|kind| ["acked", "failed"].contains(kind)),
        "what is certain is never unknown: {during:?}"
    );
    let failed: usize = during
        .iter()
        .filter(|(outcome, _)| *outcome != "acked")
        .map(|(_, count)| count)
        .sum();
    assert!(
        failed <= first.len() * HONEST * RECORDS_A_REQUEST,
        "more than a batch for each: {during:?}"
    );
    assert_eq!(sidecar.metric("pointsman_topic_closures_total{topic=\"hidden\"}"), 0.0);
}

#[test]
fn ordinary_records_under_backlog_are_written_though_a_batch_of_them_would_be_too_large_for_the_topic() {
    let kafka = Kafka::single();
    kafka.create_topic("tiny", 1, &[("max.message.bytes", "1000")]).unwrap();
    let sidecar = Builder::kafka(&kafka.bootstrap()).start();
    let others = beside(&sidecar, "tiny", 12, || {
        let mut connection = sidecar.tcp();
        for _ in 0..100 {
            let reply = connection.json(&path("tiny"), r#"{"key":"k","value":1}"#);
            assert_eq!(reply.outcomes(), ["acked"]);
        }
    });
    eprintln!("batches larger than the topic takes: {others:?}");
    assert!(all_acked(&others), "{others:?}");
    let told = sidecar.wait_for_log("max.message.bytes is below");
    assert_eq!(
        (&told["max_message_bytes"], &told["batch_bytes"]),
        (&1_000.into(), &1_000_000.into())
    );
}

#[test]
fn a_request_that_is_too_large_as_one_batch_spoils_nobody_elses() {
    let kafka = Kafka::single();
    kafka
        .create_topic("heavy", 1, &[("max.message.bytes", "10000")])
        .unwrap();
    let sidecar = Builder::kafka(&kafka.bootstrap()).start();
    let record = |length: usize| format!("{{\"key\":\"k\",\"value\":\"{}\"}}\n", "x".repeat(length));
    let mut heavy = Outcomes::new();
    let others = beside(&sidecar, "heavy", HONEST, || {
        let mut connection = sidecar.tcp();
        for _ in 0..20 {
            let reply = connection.post(&path("heavy"), &[NDJSON], record(1_500).repeat(20).as_bytes());
            for outcome in reply.outcomes() {
                *heavy.entry(outcome).or_default() += 1;
            }
            // A record that is larger than the others' and still fits is taken.
            let reply = connection.post(&path("heavy"), &[NDJSON], record(4_000).as_bytes());
            assert_eq!(reply.outcomes(), ["acked"]);
        }
    });
    eprintln!("requests larger than the topic takes: others {others:?}, theirs {heavy:?}");
    assert!(all_acked(&others), "{others:?}");
    assert!(
        heavy
            .keys()
            .all(|outcome| ["acked", "rejected batch_too_large"].contains(&&**outcome)),
        "{heavy:?}"
    );
}
