use super::super::{Ordering, translate};
use super::{Block, block, refusal, strict};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};

/// Blocks that lose, duplicate or reorder records, with the key that the error must name.
const BREAKING: &[(Block<'static>, &str)] = &[
    (&[("enable.idempotence", "false")], "enable.idempotence"),
    (&[("acks", "1")], "acks"),
    (&[("request.required.acks", "0")], "request.required.acks"),
    (&[("retries", "0")], "retries"),
    (&[("message.send.max.retries", "0")], "message.send.max.retries"),
    (&[("max.in.flight", "6")], "max.in.flight"),
    (&[("queuing.strategy", "lifo")], "queuing.strategy"),
    (
        &[("queue.buffering.backpressure.threshold", "2")],
        "queue.buffering.backpressure.threshold",
    ),
    (&[("enable.gapless.guarantee", "true")], "enable.gapless.guarantee"),
    (&[("partitioner", "murmur2_random")], "partitioner"),
    (&[("delivery.timeout.ms", "0")], "delivery.timeout.ms"),
    (&[("delivery.timeout.ms", "29999")], "delivery.timeout.ms"),
    (
        &[("message.timeout.ms", "30000"), ("queue.buffering.max.ms", "0.5")],
        "message.timeout.ms",
    ),
    (&[("request.timeout.ms", "120001")], "request.timeout.ms"),
    (&[("linger.ms", "90001")], "linger.ms"),
    (
        &[
            ("timeout.ms", "1000"),
            ("request.timeout.ms", "50000"),
            ("delivery.timeout.ms", "40000"),
        ],
        "delivery.timeout.ms",
    ),
];

#[test]
fn no_setting_breaks_the_promised_order_without_being_told_so() {
    for (given, key) in BREAKING {
        let error = refusal(given);
        assert!(error.starts_with(&format!("`{key}`")), "{given:?}: {error}");
        assert!(error.contains("ordering = \"none\""), "{error}");
    }
}

#[test]
fn whoever_gives_up_the_order_gets_what_was_written() {
    for (given, _) in BREAKING {
        translate(&block(given), Ordering::None).unwrap_or_else(|error| panic!("{given:?}: {error}"));
    }
}

#[test]
fn the_largest_settings_that_keep_the_order_pass() {
    for given in [
        &[("max.in.flight.requests.per.connection", "5")][..],
        &[("retries", "1")],
        &[("acks", "-1")],
        &[("queuing.strategy", "fifo")],
        &[("delivery.timeout.ms", "30000")],
        &[
            ("delivery.timeout.ms", "1500"),
            ("request.timeout.ms", "1000"),
            ("linger.ms", "500"),
        ],
        &[("request.timeout.ms", "120000")],
    ] {
        assert!(strict(given).is_ok(), "{given:?}");
    }
}

#[test]
fn idempotence_asked_for_by_name_is_never_dropped() {
    for (key, value) in [
        ("acks", "1"),
        ("retries", "0"),
        ("max.in.flight", "6"),
        ("queuing.strategy", "lifo"),
    ] {
        let given = block(&[("enable.idempotence", "true"), (key, value)]);
        let error = translate(&given, Ordering::None).expect_err(key).to_string();
        assert!(error.contains(key) && error.contains("enable.idempotence"), "{error}");
    }
}

#[test]
fn idempotence_that_cannot_be_had_is_turned_off_aloud() {
    let loose = translate(&block(&[("acks", "1")]), Ordering::None).expect("passes");
    assert_eq!(loose.properties["enable.idempotence"], "false");
    assert!(loose.notes[0].contains("`acks`"), "{:?}", loose.notes);
}

#[test]
fn records_that_expire_before_they_are_sent_are_refused_even_without_order() {
    for given in [
        &[("delivery.timeout.ms", "100"), ("linger.ms", "100")][..],
        &[("linger.ms", "900000")],
    ] {
        let error = translate(&block(given), Ordering::None)
            .expect_err("refused")
            .to_string();
        assert!(error.contains("linger.ms"), "{error}");
    }
}

#[test]
fn the_word_that_gives_up_the_order_is_not_misread() {
    let read = |word: &'static str| {
        let word: StrDeserializer<'_, ValueError> = word.into_deserializer();
        Ordering::deserialize(word)
    };
    assert_eq!(read("strict"), Ok(Ordering::Strict));
    assert_eq!(read("none"), Ok(Ordering::None));
    assert!(read("None").is_err());
}
