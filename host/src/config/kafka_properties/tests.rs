//! Tests of the whole translation. The parts have tests of their own.

mod ordering;
mod refusals;
mod secrets;
mod security;

use super::{
    NAMES, Ordering, PropertyError, Translated, Treatment, librdkafka, markdown_table, translate, translate_all,
};
use std::collections::{BTreeMap, BTreeSet};

fn block(pairs: Block<'_>) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn strict(pairs: Block<'_>) -> Result<Translated, PropertyError> {
    translate(&block(pairs), Ordering::Strict)
}

/// The properties of a block that must pass.
fn properties(pairs: Block<'_>) -> Vec<(String, String)> {
    match strict(pairs) {
        Ok(translated) => translated.properties.into_iter().collect(),
        Err(error) => panic!("{pairs:?}: {error}"),
    }
}

/// The error of a block that must not pass.
fn refusal(pairs: Block<'_>) -> String {
    match strict(pairs) {
        Ok(translated) => panic!("{pairs:?} passed as {translated:?}"),
        Err(error) => error.to_string(),
    }
}

/// Keys and values of a `[kafka.properties]`.
type Block<'a> = &'a [(&'a str, &'a str)];

/// Pairs of a block and exactly what librdkafka must get.
fn assert_table(table: &[(Block<'_>, Block<'_>)]) {
    for (given, expected) in table {
        let expected: Vec<_> = expected
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(properties(given), expected, "{given:?}");
    }
}

#[test]
fn a_careful_java_teams_block_passes_with_nothing_but_its_ages_bounded() {
    let translated = strict(&[
        ("enable.idempotence", "true"),
        ("acks", "all"),
        ("retries", "2147483647"),
        ("delivery.timeout.ms", "60000"),
        ("max.in.flight.requests.per.connection", "1"),
        ("compression.type", "zstd"),
        ("batch.size", "32000"),
        ("linger.ms", "500"),
        ("connections.max.idle.ms", "90000000"),
        ("metadata.max.age.ms", "86400000"),
    ])
    .expect("the block is right");
    let expected = block(&[
        ("enable.idempotence", "true"),
        ("acks", "all"),
        ("retries", "2147483647"),
        ("delivery.timeout.ms", "60000"),
        ("max.in.flight.requests.per.connection", "1"),
        ("compression.type", "zstd"),
        ("batch.size", "32000"),
        ("linger.ms", "500"),
        ("connections.max.idle.ms", "90000000"),
        ("metadata.max.age.ms", "2147481"),
        ("topic.metadata.refresh.interval.ms", "715827"),
    ]);
    assert_eq!(translated.properties, expected);
    assert_eq!(translated.notes.len(), 1, "{:?}", translated.notes);
    assert!(translated.notes[0].contains("`metadata.max.age.ms`: 715827 is used"));
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn java_names_reach_librdkafka_with_javas_meaning() {
    assert_table(&[
        (&[], &[]),
        (&[(" acks ", " -1\n")], &[("acks", "all")]),
        (&[("max.request.size", "1048576")], &[("message.max.bytes", "1048576")]),
        (&[("send.buffer.bytes", "-1")], &[("socket.send.buffer.bytes", "0")]),
        (
            &[("receive.buffer.bytes", "65536")],
            &[("socket.receive.buffer.bytes", "65536")],
        ),
        (
            &[
                ("security.protocol", "SASL_SSL"),
                ("sasl.mechanism", "plain"),
                ("sasl.username", "u"),
                ("sasl.password", "p"),
            ],
            &[
                ("sasl.mechanism", "PLAIN"),
                ("sasl.password", "p"),
                ("sasl.username", "u"),
                ("security.protocol", "sasl_ssl"),
            ],
        ),
        (
            &[("request.timeout.ms", "20000")],
            &[("request.timeout.ms", "20000"), ("socket.timeout.ms", "20000")],
        ),
        (
            &[("request.timeout.ms", "20000"), ("socket.timeout.ms", "25000")],
            &[("request.timeout.ms", "20000"), ("socket.timeout.ms", "25000")],
        ),
        (&[("timeout.ms", "10000")], &[("request.timeout.ms", "10000")]),
        (
            &[("timeout.ms", "10000"), ("request.timeout.ms", "20000")],
            &[("request.timeout.ms", "10000"), ("socket.timeout.ms", "20000")],
        ),
        (
            &[("metadata.max.age.ms", "30000")],
            &[
                ("metadata.max.age.ms", "90000"),
                ("topic.metadata.refresh.interval.ms", "30000"),
            ],
        ),
        (
            &[
                ("compression.type", "lz4"),
                ("compression.lz4.level", "17"),
                ("compression.gzip.level", "9"),
            ],
            &[("compression.level", "12"), ("compression.type", "lz4")],
        ),
        (
            &[("compression.type", "zstd"), ("compression.zstd.level", "-7")],
            &[("compression.level", "1"), ("compression.type", "zstd")],
        ),
        (
            &[("reconnect.backoff.ms", "20000")],
            &[("reconnect.backoff.max.ms", "20000"), ("reconnect.backoff.ms", "20000")],
        ),
        (
            &[("reconnect.backoff.ms", "2000"), ("reconnect.backoff.max.ms", "1000")],
            &[("reconnect.backoff.max.ms", "2000"), ("reconnect.backoff.ms", "2000")],
        ),
        (
            &[("reconnect.backoff.max.ms", "50")],
            &[("reconnect.backoff.max.ms", "50"), ("reconnect.backoff.ms", "50")],
        ),
        (
            &[
                ("key.serializer", "x"),
                ("value.serializer", "y"),
                ("metrics.num.samples", "2"),
                ("interceptor.classes", ""),
            ],
            &[],
        ),
        // A leading zero is decimal in Java and octal in librdkafka.
        (&[("batch.size", "010")], &[("batch.size", "10")]),
    ]);
}

#[test]
fn librdkafkas_own_names_come_out_under_one_name_for_each_setting() {
    assert_table(&[
        (
            &[("metadata.broker.list", "a:1,b:2")],
            &[("bootstrap.servers", "a:1,b:2")],
        ),
        (&[("request.required.acks", "ALL")], &[("acks", "all")]),
        (&[("message.send.max.retries", "7")], &[("retries", "7")]),
        (
            &[("max.in.flight", "5")],
            &[("max.in.flight.requests.per.connection", "5")],
        ),
        (&[("message.timeout.ms", "60000")], &[("delivery.timeout.ms", "60000")]),
        (&[("queue.buffering.max.ms", "0.5")], &[("linger.ms", "0.5")]),
        (&[("compression.codec", "Snappy")], &[("compression.type", "snappy")]),
        (&[("sasl.mechanisms", "PLAIN")], &[("sasl.mechanism", "PLAIN")]),
        (
            &[("statistics.interval.ms", "5000")],
            &[("statistics.interval.ms", "5000")],
        ),
        (
            &[("linger.ms", "5"), ("queue.buffering.max.ms", "5")],
            &[("linger.ms", "5")],
        ),
    ]);
}

#[test]
fn librdkafka_never_forgets_a_topic_because_its_clock_wraps() {
    for given in [
        &[("metadata.max.age.ms", "3600000")][..],
        &[("topic.metadata.refresh.interval.ms", "3600000")],
        &[
            ("topic.metadata.refresh.interval.ms", "3600000"),
            ("metadata.max.age.ms", "86400000"),
        ],
    ] {
        let properties: BTreeMap<_, _> = properties(given).into_iter().collect();
        let number = |name: &str| properties[name].parse::<i64>().expect("a number");
        assert!(
            number("metadata.max.age.ms") <= librdkafka::METADATA_AGE_MAX_MS,
            "{given:?}"
        );
        assert!(
            number("topic.metadata.refresh.interval.ms") < number("metadata.max.age.ms"),
            "{given:?}"
        );
    }
}

#[test]
fn what_the_host_does_itself_is_handed_to_it_and_not_to_librdkafka() {
    let translated = strict(&[("buffer.memory", "33554432"), ("max.block.ms", "60000")]).expect("passes");
    assert_eq!(
        (translated.buffer_memory, translated.max_block_ms),
        (Some(33_554_432), Some(60_000))
    );
    assert!(translated.properties.is_empty());
    let old = strict(&[("metadata.fetch.timeout.ms", "1000")]).expect("passes");
    assert_eq!((old.max_block_ms, old.notes.len()), (Some(1000), 1));
}

#[test]
fn a_value_beyond_librdkafkas_range_is_bounded_aloud() {
    for (key, value, name, used) in [
        ("linger.ms", "1000000", "linger.ms", "900000"),
        ("batch.size", "0", "batch.size", "1"),
        ("retry.backoff.ms", "0", "retry.backoff.ms", "1"),
        ("retry.backoff.max.ms", "9000000000", "retry.backoff.max.ms", "300000"),
        ("connections.max.idle.ms", "-1", "connections.max.idle.ms", "0"),
        (
            "connections.max.idle.ms",
            "9223372036854775807",
            "connections.max.idle.ms",
            "2147483647",
        ),
        (
            "socket.connection.setup.timeout.ms",
            "10",
            "socket.connection.setup.timeout.ms",
            "1000",
        ),
        ("max.request.size", "2000000000", "message.max.bytes", "1000000000"),
        ("request.timeout.ms", "400000", "socket.timeout.ms", "300000"),
    ] {
        let translated = translate(
            &block(&[(key, value), ("delivery.timeout.ms", "2000000")]),
            Ordering::Strict,
        )
        .expect(key);
        assert_eq!(translated.properties[name], used, "{key}");
        assert!(
            translated
                .notes
                .iter()
                .any(|note| note.contains(key) && note.contains(used)),
            "{:?}",
            translated.notes
        );
    }
}

#[test]
fn no_java_setting_stands_in_the_table_twice_or_leads_nowhere() {
    let mut seen = BTreeSet::new();
    for entry in NAMES {
        for java in entry.java {
            assert!(seen.insert(java), "{java} stands twice");
        }
        let targets = match entry.treatment {
            Treatment::Same => entry.java,
            Treatment::Renamed(ref name) => std::slice::from_ref(name),
            Treatment::Combined(names) => names,
            Treatment::Host(_) | Treatment::Ignored | Treatment::Refused => &[],
        };
        for name in targets {
            assert!(librdkafka::find(name).is_some(), "{name} is no property");
            assert_eq!(librdkafka::one_name(name), *name, "{name} has another name");
        }
        let silent = matches!(entry.treatment, Treatment::Ignored | Treatment::Refused) && entry.remark.is_empty();
        assert!(!silent, "{:?} must say why", entry.java);
    }
}

#[test]
fn every_row_of_the_readmes_table_has_three_cells() {
    let table = markdown_table();
    assert_eq!(table.lines().count(), NAMES.len() + 2);
    assert!(table.lines().all(|line| line.matches('|').count() == 4), "{table}");
}

#[test]
fn no_property_that_cannot_be_used_hides_another() {
    let raw = block(&[
        ("acks", "1"),
        ("enable.idempotence", "false"),
        ("delivery.timeout.ms", "10"),
        ("request.timeout.ms", "soon"),
        ("buffer.memory", "much"),
        ("linger.ms", "5"),
        ("linger.mss", "5"),
        ("partitioner.class", "a.B"),
        ("sasl.mechanism", "GSSAPI"),
        ("ssl.truststore.type", "JKS"),
        ("ssl.truststore.location", "/etc/trust.jks"),
    ]);
    let (_, refused) = translate_all(&raw, Ordering::Strict);
    let keys: BTreeSet<&str> = refused.iter().map(|error| error.key.as_str()).collect();
    let expected = BTreeSet::from([
        "acks",
        "enable.idempotence",
        "request.timeout.ms",
        "buffer.memory",
        "linger.mss",
        "partitioner.class",
        "sasl.mechanism",
        "ssl.truststore.location",
    ]);
    assert!(keys.len() == refused.len() && keys == expected, "{refused:#?}");
    assert_eq!(translate(&raw, Ordering::Strict).err().as_ref(), refused.first());
    let without = |value: &str| block(&[("delivery.timeout.ms", value), ("request.timeout.ms", "200000")]);
    assert_eq!(translate_all(&without("150000"), Ordering::Strict).1.len(), 1);
    assert_eq!(translate_all(&without("250000"), Ordering::Strict).1.len(), 0);
}
