//! The listener that speaks Kafka's own protocol, asked by hand-made requests; [`clients`] asks it by real clients.

mod bad_input;
mod clients;
mod limits;
mod order;
mod password;

use crate::support::{
    consumer::{Read, read},
    kafka_wire::{Batch, INVALID_RECORD, NONE, Record, TIME, TOO_LARGE, UNKNOWN_TOPIC, Wire, produce, record, told},
    sidecar::{Builder, Sidecar},
};

/// With the embedded broker, whose topics have 4 partitions.
fn sidecar() -> Builder {
    Builder::embedded().listen("kafka = \"127.0.0.1:0\"")
}

fn connect(sidecar: &Sidecar) -> Wire {
    Wire::connect(sidecar.kafka.expect("a listener for Kafka clients"))
}

fn read_back(sidecar: &Sidecar, topic: &str, expected: usize) -> Vec<Read> {
    read(sidecar.embedded.as_deref().expect("embedded"), topic, expected)
}

#[test]
fn every_field_of_a_record_comes_through_as_it_was_sent() {
    let sidecar = sidecar().start();
    let mut wire = connect(&sidecar);
    let records = [
        Record {
            key: Some(b"key"),
            value: Some(&[0, 255, 128]),
            headers: vec![
                ("twice", Some(b"a")),
                ("empty", Some(b"")),
                ("twice", Some(b"b")),
                ("null", None),
                ("\u{fc}mlaut", Some(b"x")),
            ],
            timestamp_delta: 5,
        },
        Record {
            key: Some(b""),
            value: Some(b""),
            ..Record::default()
        },
        Record {
            key: Some(b"tombstone"),
            ..Record::default()
        },
        Record {
            value: Some(b"keyless"),
            ..Record::default()
        },
    ];
    assert_eq!(wire.produce("fields", &Batch::of(&records).bytes()).error, NONE);
    let read = read_back(&sidecar, "fields", records.len());
    for sent in &records {
        let headers: Vec<_> = sent
            .headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec)))
            .collect();
        let found = read.iter().find(|read| {
            read.key.as_deref() == sent.key
                && read.value.as_deref() == sent.value
                && read.headers == headers
                && read.timestamp == Some(TIME + sent.timestamp_delta)
        });
        assert!(found.is_some(), "{sent:?} in {read:?}");
    }
}

#[test]
fn the_route_and_not_the_client_decides_about_partitions() {
    let sidecar = sidecar()
        .route("by-field", "json-field", "config = { pointer = \"/id\" }")
        .start();
    let mut wire = connect(&sidecar);
    let values: Vec<String> = (0..40).map(|n| format!("{{\"id\":\"{}\",\"n\":{n}}}", n % 8)).collect();
    let records: Vec<Record<'_>> = values.iter().map(|value| record("the same key", value)).collect();
    assert_eq!(wire.produce("by-field", &Batch::of(&records).bytes()).error, NONE);
    let read = read_back(&sidecar, "by-field", records.len());
    let partitions: std::collections::BTreeSet<_> = read.iter().map(|read| read.partition).collect();
    assert!(partitions.len() > 1, "{partitions:?}");
    for id in 0..8 {
        let of_id = |read: &&Read| read.text().starts_with(&format!("{{\"id\":\"{id}\""));
        let places: Vec<_> = read.iter().filter(of_id).map(|read| read.partition).collect();
        assert!(
            places.len() == 5 && places.iter().all(|place| *place == places[0]),
            "{id}: {places:?}"
        );
    }
}

#[test]
fn a_refused_record_keeps_its_whole_batch_out_and_is_named() {
    let sidecar = sidecar()
        .route(
            "strict",
            "json-field",
            "config = { pointer = \"/id\", missing = \"reject\" }",
        )
        .start();
    let mut wire = connect(&sidecar);
    let good = |n: usize| format!("{{\"id\":{n}}}");
    let values = [good(0), "{}".to_owned(), good(2), "{\"other\":1}".to_owned()];
    let records: Vec<Record<'_>> = values.iter().map(|value| record("k", value)).collect();
    let refused = wire.produce("strict", &Batch::of(&records).bytes());
    assert_eq!(refused.error, INVALID_RECORD, "{refused:?}");
    assert_eq!(
        refused.records.iter().map(|(index, _)| *index).collect::<Vec<_>>(),
        [1, 3]
    );
    assert!(
        refused.records.iter().all(|(_, reason)| reason.contains("/id")),
        "{refused:?}"
    );
    assert!(
        refused
            .message
            .is_some_and(|message| message.contains("2 of its records"))
    );
    // What follows on the connection is taken, and stands alone in the topic.
    assert_eq!(
        wire.produce("strict", &Batch::of(&[record("k", "{\"id\":9}")]).bytes())
            .error,
        NONE
    );
    let read = read_back(&sidecar, "strict", 1);
    assert_eq!(read.iter().map(Read::text).collect::<Vec<_>>(), ["{\"id\":9}"]);
    assert_eq!(
        sidecar.metric("pointsman_records_total{outcome=\"rejected\",topic=\"strict\"}"),
        4.0
    );
}

#[test]
fn each_topic_shows_one_partition_and_only_topics_that_can_be_sent_to() {
    let sidecar = sidecar().route("shown-*", "key-hash", "").start();
    let mut wire = connect(&sidecar);
    assert_eq!(wire.metadata(None), []);
    let asked = wire.metadata(Some(&["shown-a", "no-route", "b/ad"]));
    assert_eq!(
        asked,
        [
            ("shown-a".to_owned(), NONE, 1),
            ("no-route".to_owned(), UNKNOWN_TOPIC, 0),
            ("b/ad".to_owned(), 17, 0)
        ]
    );
    assert_eq!(wire.metadata(None), [("shown-a".to_owned(), NONE, 1)]);
}

#[test]
fn a_client_that_chooses_a_partition_that_is_not_shown_is_told() {
    let sidecar = sidecar().listen("kafka_partitions = 3").start();
    let mut wire = connect(&sidecar);
    assert_eq!(wire.metadata(Some(&["several"])), [("several".to_owned(), NONE, 3)]);
    let batch = Batch::of(&[record("k", "v")]).bytes();
    for (partition, error) in [(0, NONE), (2, NONE), (3, UNKNOWN_TOPIC), (-1, UNKNOWN_TOPIC)] {
        wire.send_batch("several", partition, 1, &batch);
        assert_eq!(wire.told().error, error, "{partition}");
    }
    assert_eq!(read_back(&sidecar, "several", 2).len(), 2);
}

#[test]
fn several_topics_of_one_request_are_answered_one_by_one() {
    let sidecar = sidecar().route("one-*", "key-hash", "").start();
    let mut wire = connect(&sidecar);
    let batch = Batch::of(&[record("k", "v")]).bytes();
    let body = produce(
        -1,
        30_000,
        &[("one-a", 0, &batch), ("none", 0, &batch), ("one-b", 0, &batch)],
    );
    wire.send((0, 8), &body);
    let errors: Vec<_> = told(&wire.answer().expect("an answer"))
        .into_iter()
        .map(|told| told.error)
        .collect();
    assert_eq!(errors, [NONE, UNKNOWN_TOPIC, NONE]);
    for topic in ["one-a", "one-b"] {
        assert_eq!(read_back(&sidecar, topic, 1).len(), 1);
    }
}

#[test]
fn a_batch_over_a_limit_is_told_so_that_a_client_splits_it() {
    let sidecar = sidecar().config("[limits]\nmax_records = 10").start();
    let mut wire = connect(&sidecar);
    let many = vec![record("k", "v"); 11];
    assert_eq!(wire.produce("limited", &Batch::of(&many).bytes()).error, TOO_LARGE);
    assert_eq!(wire.produce("limited", &Batch::of(&many[..10]).bytes()).error, NONE);
    let huge = "x".repeat(1 << 20);
    assert_eq!(
        wire.produce("limited", &Batch::of(&[record("k", &huge)]).bytes()).error,
        TOO_LARGE
    );
    assert_eq!(read_back(&sidecar, "limited", 10).len(), 10);
}

#[test]
fn a_client_that_waits_for_no_answer_gets_none_and_is_cut_off_when_it_is_wrong() {
    let sidecar = sidecar().start();
    let mut wire = connect(&sidecar);
    let batch = Batch::of(&[record("k", "v")]).bytes();
    wire.send_batch("unheard", 0, 0, &batch);
    wire.send_batch("unheard", 0, 0, &batch);
    // The next answer is that to the question after them.
    assert_eq!(wire.metadata(Some(&["unheard"])).len(), 1);
    assert_eq!(read_back(&sidecar, "unheard", 2).len(), 2);
    wire.send_batch("unheard", 7, 0, &batch);
    assert!(wire.is_closed());
}

#[test]
fn metrics_tell_what_came_in_by_kafkas_protocol() {
    let sidecar = sidecar().start();
    let mut wire = connect(&sidecar);
    // ApiVersions 3: name and version in the flexible form, after the tagged fields of the head.
    wire.send((18, 3), &[&[0, 6][..], b"tests", &[4], b"1.0", &[0]].concat());
    assert!(wire.answer().is_some());
    assert_eq!(
        wire.produce("counted", &Batch::of(&[record("k", "v")]).bytes()).error,
        NONE
    );
    for line in [
        "pointsman_kafka_clients{software=\"tests\",version=\"1.0\"}",
        "pointsman_kafka_requests_total{api=\"produce\"}",
        "pointsman_kafka_batches_total{error=\"none\"}",
        "pointsman_records_total{outcome=\"acked\",topic=\"counted\"}",
    ] {
        assert_eq!(sidecar.metric(line), 1.0, "{line}");
    }
}
