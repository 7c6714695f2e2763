//! Batches keep their order, and a batch that comes again is written once.

use crate::support::{
    consumer::Read,
    kafka_wire::{Batch, INVALID_RECORD, NONE, OUT_OF_ORDER, Producer, Record, record, told},
};

use super::{connect, read_back, sidecar};

/// Batches that a client sends before it reads the first answer.
const AHEAD: usize = 40;

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{n:05}")).collect()
}

fn records(texts: &[String]) -> Vec<Record<'_>> {
    texts.iter().map(|text| record("one key", text)).collect()
}

fn values(read: &[Read]) -> Vec<&str> {
    read.iter().map(Read::text).collect()
}

#[test]
fn batches_that_are_sent_before_the_first_answer_keep_their_order() {
    let sidecar = sidecar().start();
    let mut wire = connect(&sidecar);
    let texts = texts(AHEAD * 25);
    for part in texts.chunks(25) {
        wire.send_batch("ahead", 0, -1, &Batch::of(&records(part)).bytes());
    }
    assert!((0..AHEAD).all(|_| wire.told().error == NONE));
    assert_eq!(values(&read_back(&sidecar, "ahead", texts.len())), texts);
}

#[test]
fn a_batch_that_comes_again_is_written_once_also_over_another_connection() {
    let sidecar = sidecar().start();
    let mut wire = connect(&sidecar);
    let mut producer = wire.producer();
    let texts = texts(30);
    let batches: Vec<_> = texts.chunks(10).map(|part| producer.batch(&records(part))).collect();
    for batch in &batches {
        assert_eq!(wire.produce("again", batch).error, NONE);
        assert_eq!(wire.produce("again", batch).error, NONE);
    }
    drop(wire);
    let mut wire = connect(&sidecar);
    for batch in &batches {
        assert_eq!(wire.produce("again", batch).error, NONE);
    }
    // If one had been written twice, one more record would not be the last.
    assert_eq!(
        wire.produce("again", &producer.batch(&[record("one key", "last")]))
            .error,
        NONE
    );
    let read = read_back(&sidecar, "again", texts.len() + 1);
    assert_eq!(values(&read)[..30], texts);
    assert_eq!(values(&read)[30], "last");
}

#[test]
fn a_batch_that_is_missing_keeps_the_later_ones_out() {
    let sidecar = sidecar().start();
    let mut wire = connect(&sidecar);
    let mut producer = wire.producer();
    let texts = texts(3);
    let [first, second, third] = [0, 1, 2].map(|n| producer.batch(&records(&texts[n..=n])));
    assert_eq!(wire.produce("gap", &first).error, NONE);
    assert_eq!(wire.produce("gap", &third).error, OUT_OF_ORDER);
    assert_eq!(wire.produce("gap", &second).error, NONE);
    assert_eq!(wire.produce("gap", &third).error, NONE);
    assert_eq!(values(&read_back(&sidecar, "gap", 3)), texts);
}

#[test]
fn a_producer_that_is_not_known_goes_on_with_its_oldest_batch_and_no_later_one_takes_that_place() {
    let sidecar = sidecar()
        .route(
            "anew",
            "json-field",
            "config = { pointer = \"/to\", missing = \"reject\" }",
        )
        .start();
    let mut wire = connect(&sidecar);
    let mut stranger = Producer {
        id: 4_711,
        epoch: 3,
        next: 50,
    };
    let refused = stranger.clone().batch(&[record("k", "{}")]);
    let [first, second] = ["{\"to\":1}", "{\"to\":2}"].map(|value| stranger.batch(&[record("k", value)]));
    assert_eq!(wire.produce("anew", &refused).error, INVALID_RECORD);
    assert_eq!(wire.produce("anew", &second).error, OUT_OF_ORDER);
    assert_eq!(wire.produce("anew", &first).error, NONE);
    assert_eq!(wire.produce("anew", &second).error, NONE);
    // Nobody is told that what came before is written.
    let before = Producer {
        next: 49,
        ..stranger.clone()
    }
    .batch(&[record("k", "{\"to\":0}")]);
    assert_eq!(wire.produce("anew", &before).error, OUT_OF_ORDER);
    // Java's producer goes on with the next epoch of the same id.
    let mut anew = Producer {
        epoch: 4,
        next: 0,
        ..stranger
    };
    assert_eq!(
        wire.produce("anew", &anew.batch(&[record("k", "{\"to\":3}")])).error,
        NONE
    );
    // What is still on its way from the epoch before is not taken.
    assert_eq!(
        wire.produce("anew", &stranger.batch(&[record("k", "{\"to\":4}")]))
            .error,
        47
    );
    let mut values: Vec<_> = values(&read_back(&sidecar, "anew", 3))
        .into_iter()
        .map(str::to_owned)
        .collect();
    values.sort();
    assert_eq!(values, ["{\"to\":1}", "{\"to\":2}", "{\"to\":3}"]);
}

#[test]
fn each_topic_and_partition_of_a_producer_counts_by_itself() {
    let sidecar = sidecar().listen("kafka_partitions = 2").start();
    let mut wire = connect(&sidecar);
    let producer = wire.producer();
    for (topic, partition) in [("count-a", 0), ("count-a", 1), ("count-b", 0)] {
        let batch = producer.clone().batch(&[record("k", "v")]);
        wire.send_batch(topic, partition, -1, &batch);
        assert_eq!(wire.told().error, NONE, "{topic} {partition}");
    }
    assert_eq!(read_back(&sidecar, "count-a", 2).len(), 2);
}

#[test]
fn a_refused_batch_of_an_idempotent_producer_may_be_replaced_by_another() {
    let sidecar = sidecar()
        .route(
            "strict",
            "json-field",
            "config = { pointer = \"/to\", missing = \"reject\" }",
        )
        .start();
    let mut wire = connect(&sidecar);
    let mut producer = wire.producer();
    assert_eq!(
        wire.produce("strict", &producer.batch(&[record("k", "{\"to\":0,\"n\":1}")]))
            .error,
        NONE
    );
    let before = producer.next;
    assert_eq!(wire.produce("strict", &producer.batch(&[record("k", "{}")])).error, 87);
    // The one behind it was made before the client knew, and has to wait for its turn.
    let behind = producer.batch(&[record("k", "{\"to\":0,\"n\":3}")]);
    assert_eq!(wire.produce("strict", &behind).error, OUT_OF_ORDER);
    producer.next = before;
    assert_eq!(
        wire.produce("strict", &producer.batch(&[record("k", "{\"to\":0,\"n\":2}")]))
            .error,
        NONE
    );
    assert_eq!(
        values(&read_back(&sidecar, "strict", 2)),
        ["{\"to\":0,\"n\":1}", "{\"to\":0,\"n\":2}"]
    );
}

#[test]
fn what_was_taken_before_a_stop_is_answered() {
    let mut sidecar = sidecar().start();
    let mut wire = connect(&sidecar);
    let texts = texts(AHEAD);
    for part in texts.chunks(1) {
        wire.send_batch("stopped", 0, -1, &Batch::of(&records(part)).bytes());
    }
    // All have been taken when the last is answered.
    let mut errors: Vec<_> = (0..AHEAD / 2).map(|_| wire.told().error).collect();
    sidecar.terminate();
    while let Some(answer) = wire.answer() {
        errors.extend(told(&answer).into_iter().map(|told| told.error));
    }
    assert!(errors.iter().all(|error| *error == NONE), "{errors:?}");
    assert!(sidecar.ended().success());
    let address = sidecar.kafka.expect("a listener");
    assert!(
        std::net::TcpStream::connect(address).is_err(),
        "nobody listens any more"
    );
}
