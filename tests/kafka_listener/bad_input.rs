//! What a broken or hostile client sends: each gets the answer that Kafka gives, or a closed connection. Nothing is produced, and the
//! process goes on.

use crate::support::{
    kafka_wire::{
        Batch, CORRUPT_MESSAGE, INVALID_RECORD, NONE, OUT_OF_ORDER, Record, UNKNOWN_TOPIC, framed, produce, record,
        told, varint,
    },
    sidecar::Sidecar,
};

use super::{connect, sidecar};

/// The largest topic, of which nothing may be there.
const TOPIC: &str = "bad";

/// Nothing was written, and a good client still gets through.
fn assert_unharmed(sidecar: &mut Sidecar) {
    assert!(sidecar.is_alive());
    let mut wire = connect(sidecar);
    assert_eq!(
        wire.produce("good", &Batch::of(&[record("k", "v")]).bytes()).error,
        NONE
    );
    let acked = format!("pointsman_records_total{{outcome=\"acked\",topic=\"{TOPIC}\"}}");
    assert_eq!(sidecar.metric(&acked), 0.0);
}

#[test]
fn bytes_that_are_no_request_end_their_connection() {
    let mut sidecar = sidecar().start();
    let head = |key: i16, version: i16| {
        let head = [
            &key.to_be_bytes()[..],
            &version.to_be_bytes(),
            &7_i32.to_be_bytes(),
            &[0xff, 0xff],
        ];
        head.concat()
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a length of 2 GiB", vec![0x7f, 0xff, 0xff, 0xff]),
        ("a length of -1", vec![0xff; 4]),
        ("a length of 0", vec![0; 4]),
        ("an unknown api", framed(&head(999, 0))),
        ("a known api that is not listed", framed(&head(8, 0))),
        ("produce of version 0", framed(&head(0, 0))),
        ("produce of version 13", framed(&head(0, 13))),
        (
            "a body that ends early",
            framed(&[&head(0, 8)[..], &[0xff, 0xff, 0, 1]].concat()),
        ),
        (
            "a list of 2 billion topics",
            framed(&[&head(3, 4)[..], &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0]].concat()),
        ),
        (
            "produce with 2 billion topics",
            framed(
                &[
                    &head(0, 8)[..],
                    &[0xff, 0xff, 0, 1, 0, 0, 0, 9, 0x7f, 0xff, 0xff, 0xff, 0],
                ]
                .concat(),
            ),
        ),
        (
            "a client id of -5 bytes",
            framed(&[&head(3, 4)[..8], &[0xff, 0xfb, 0, 0]].concat()),
        ),
        ("TLS", vec![0x16, 3, 1, 0, 0xa5, 1, 0, 0, 0xa1, 3, 3]),
        ("HTTP", b"POST /v1/topics/bad/records HTTP/1.1\r\n\r\n".to_vec()),
        ("a vote of Kafka's own", framed(&head(52, 0))),
    ];
    for (what, bytes) in cases {
        let mut wire = connect(&sidecar);
        wire.bytes(&bytes);
        assert!(wire.is_closed(), "{what}");
    }
    for hint in ["looks like TLS", "looks like HTTP", "not listed in ApiVersions"] {
        assert!(sidecar.log_text().contains(hint), "{hint}: {}", sidecar.log_text());
    }
    assert_unharmed(&mut sidecar);
}

#[test]
fn a_client_that_is_newer_than_the_listener_learns_what_there_is() {
    let sidecar = sidecar().start();
    let mut wire = connect(&sidecar);
    wire.send((18, 99), &[1, 2, 3]);
    let answer = wire.answer().expect("an answer");
    assert_eq!(answer[..2], 35_i16.to_be_bytes(), "UNSUPPORTED_VERSION, in version 0");
    assert_eq!(
        answer[2..6],
        6_i32.to_be_bytes(),
        "six kinds of requests, without authentication"
    );
}

#[test]
fn a_batch_that_is_wrong_is_refused_by_itself() {
    let mut sidecar = sidecar().start();
    let good = Batch::of(&[record("k", "v"), record("k", "w")]);
    let bytes = good.bytes();
    let changed = |change: &dyn Fn(&mut Batch)| {
        let mut batch = good.clone();
        change(&mut batch);
        batch.bytes()
    };
    let mut flipped = bytes.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    let mut negative = Vec::new();
    varint(&mut negative, -3);
    let cases: Vec<(&str, Vec<u8>, &[i16])> = vec![
        ("a wrong checksum", flipped, &[CORRUPT_MESSAGE]),
        ("magic 0", changed(&|batch| batch.magic = 0), &[INVALID_RECORD, 43]),
        ("magic 1", changed(&|batch| batch.magic = 1), &[INVALID_RECORD, 43]),
        (
            "magic 3",
            changed(&|batch| batch.magic = 3),
            &[INVALID_RECORD, CORRUPT_MESSAGE],
        ),
        (
            "one record more than there are",
            changed(&|batch| batch.count = 3),
            &[INVALID_RECORD],
        ),
        ("one record less", changed(&|batch| batch.count = 1), &[INVALID_RECORD]),
        (
            "two billion records",
            changed(&|batch| batch.count = i32::MAX),
            &[INVALID_RECORD, 10],
        ),
        (
            "a negative count",
            changed(&|batch| batch.count = -1),
            &[INVALID_RECORD],
        ),
        (
            "a record of -3 bytes",
            changed(&|batch| batch.body = negative.clone()),
            &[INVALID_RECORD],
        ),
        (
            "a compression that there is not",
            changed(&|batch| batch.attributes = 7),
            &[76, INVALID_RECORD],
        ),
        (
            "a transaction",
            changed(&|batch| batch.attributes = 0x10),
            &[48, INVALID_RECORD],
        ),
        (
            "two batches",
            [&bytes[..], &bytes].concat(),
            &[INVALID_RECORD, CORRUPT_MESSAGE],
        ),
        (
            "half a batch",
            bytes[..bytes.len() / 2].to_vec(),
            &[CORRUPT_MESSAGE, INVALID_RECORD],
        ),
        ("nothing", Vec::new(), &[INVALID_RECORD, CORRUPT_MESSAGE]),
    ];
    let mut wire = connect(&sidecar);
    for (what, batch, errors) in cases {
        let told = wire.produce(TOPIC, &batch);
        assert!(errors.contains(&told.error), "{what}: {told:?}");
        assert!(told.message.is_some_and(|message| !message.is_empty()), "{what}");
    }
    assert_unharmed(&mut sidecar);
}

#[test]
fn a_compressed_batch_that_grows_beyond_a_body_is_refused_with_little_memory() {
    let mut sidecar = sidecar().start();
    let before = sidecar.resident_bytes();
    // 64 MiB of zeros as gzip, in blocks that repeat one byte 65,535 times are not small; zstd makes 64 MiB out of 12 kB.
    let huge = vec![0_u8; 64 << 20];
    let batch = Batch {
        attributes: 4,
        body: zstd::bulk::compress(&huge, 3).expect("compressed"),
        ..Batch::of(&[record("k", "v")])
    };
    drop(huge);
    let mut wire = connect(&sidecar);
    for _ in 0..20 {
        assert_eq!(wire.produce(TOPIC, &batch.bytes()).error, 10, "MESSAGE_TOO_LARGE");
    }
    let grown = sidecar.most_resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes");
    assert_unharmed(&mut sidecar);
}

#[test]
fn ten_thousand_topics_in_one_request_are_answered_within_its_time() {
    let mut sidecar = sidecar().route("good", "key-hash", "").start();
    let batch = Batch::of(&[record("k", "v")]).bytes();
    let names: Vec<String> = (0..4_900).map(|n| format!("no-route-{n}")).collect();
    let batches: Vec<_> = names.iter().map(|name| (name.as_str(), 0, &batch[..])).collect();
    let mut wire = connect(&sidecar);
    wire.send((0, 8), &produce(-1, 30_000, &batches));
    let all = told(&wire.answer().expect("an answer"));
    assert!(all.len() == names.len() && all.iter().all(|told| told.error == UNKNOWN_TOPIC));
    let names: Vec<String> = (0..10_000).map(|n| format!("no-route-{n}")).collect();
    let asked: Vec<_> = names.iter().map(String::as_str).collect();
    assert!(
        wire.metadata(Some(&asked))
            .iter()
            .all(|(_, error, _)| *error == UNKNOWN_TOPIC)
    );
    let batches: Vec<_> = names.iter().map(|name| (name.as_str(), 0, &batch[..])).collect();
    wire.send((0, 8), &produce(-1, 30_000, &batches));
    assert!(wire.is_closed(), "more topics and partitions than a request may name");
    assert_unharmed(&mut sidecar);
}

#[test]
fn sequences_that_go_backwards_write_nothing() {
    let mut sidecar = sidecar().start();
    let mut wire = connect(&sidecar);
    let mut producer = wire.producer();
    let two = [record("k", "1"), record("k", "2")];
    assert_eq!(wire.produce("backwards", &producer.batch(&two)).error, NONE);
    for (sequence, records) in [(1, &two[..]), (1, &two[..1]), (0, &two[..1]), (7, &two[..])] {
        producer.next = sequence;
        let error = wire.produce("backwards", &producer.batch(records)).error;
        assert!(matches!(error, OUT_OF_ORDER | 46), "{sequence}: {error}");
    }
    producer.next = 2;
    assert_eq!(
        wire.produce("backwards", &producer.batch(&[Record::default()])).error,
        NONE
    );
    assert_eq!(
        sidecar.metric("pointsman_records_total{outcome=\"acked\",topic=\"backwards\"}"),
        3.0
    );
    assert_unharmed(&mut sidecar);
}

#[test]
fn a_request_that_stops_half_way_ends_its_connection_and_no_other() {
    let mut sidecar = sidecar()
        .config("[limits]\nheader_timeout_ms = 200\nbody_timeout_ms = 300\nidle_timeout_ms = 400")
        .start();
    let batch = Batch::of(&[record("k", "v")]).bytes();
    let mut open = connect(&sidecar);
    let mut halves: Vec<_> = [2, 4, 9, 40]
        .into_iter()
        .map(|bytes| {
            let body = produce(-1, 30_000, &[(TOPIC, 0, &batch)]);
            let request = [
                &0_i16.to_be_bytes()[..],
                &8_i16.to_be_bytes(),
                &1_i32.to_be_bytes(),
                &[0xff, 0xff],
                &body,
            ];
            let mut half = connect(&sidecar);
            half.bytes(&framed(&request.concat())[..bytes]);
            half
        })
        .collect();
    assert_eq!(open.produce("good", &batch).error, NONE);
    assert!(halves.iter_mut().all(crate::support::kafka_wire::Wire::is_closed));
    assert!(open.is_closed(), "it is idle for too long by now");
    let mut silent = connect(&sidecar);
    assert!(silent.is_closed(), "it never says anything");
    assert_unharmed(&mut sidecar);
}
