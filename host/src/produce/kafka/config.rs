//! The settings of the client library.

use std::collections::BTreeMap;

use rdkafka::{ClientConfig, config::RDKafkaLogLevel};

use crate::topic::Packing;

/// The largest `queue.buffering.max.kbytes` that librdkafka takes.
const MAX_QUEUE_KBYTES: usize = 2_147_483_647;

/// What the producer needs beside the client library's settings.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether the broker is the one in this process.
    pub embedded: bool,
    /// How many topics are known at once.
    pub most_topics: usize,
    /// `kafka.broker_connections`: how many clients there may be side by side.
    pub most_clients: usize,
}

/// The client's settings: a team's own properties, our defaults where they say nothing, and limits above what admission lets
/// in (`queue_records` and `queue_bytes`), whatever the properties say.
pub fn client_config(properties: &BTreeMap<String, String>, queue_records: usize, queue_bytes: usize) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (key, value) in [
        ("client.id", "pointsman"),
        ("enable.idempotence", "true"),
        ("acks", "all"),
        ("max.in.flight.requests.per.connection", "1"),
        // Without lingering, records still fill a batch while the batch before is on its way.
        ("linger.ms", "0"),
        ("compression.type", "none"),
        ("delivery.timeout.ms", "120000"),
        ("topic.metadata.refresh.interval.ms", "30000"),
    ] {
        if !properties.contains_key(key) {
            config.set(key, value);
        }
    }
    for (key, value) in properties {
        config.set(key, value);
    }
    // As in Java's client. With librdkafka's own 10 s, all records would wait when a connection breaks a few times in a row. A
    // team that sets only the shortest pause may want more than 1 s, so nothing is set then.
    if !["reconnect.backoff.ms", "reconnect.backoff.max.ms"]
        .iter()
        .any(|key| properties.contains_key(*key))
    {
        config.set("reconnect.backoff.max.ms", "1000");
    }
    // Above what admission lets in, so that a request never meets a full queue in the middle.
    for (key, least) in [
        // Twice as much: librdkafka counts a record until it has dropped the whole event that reported it, but we give the
        // record's room to the next one at once.
        ("queue.buffering.max.messages", 2 * queue_records + 1_000),
        (
            "queue.buffering.max.kbytes",
            (queue_bytes / 512 + 1_024).min(MAX_QUEUE_KBYTES),
        ),
    ] {
        let given = properties.get(key).and_then(|value| value.parse().ok()).unwrap_or(0);
        config.set(key, least.max(given).to_string());
    }
    let tls = properties.get("security.protocol").is_some_and(|p| p.contains("ssl"));
    if tls && !properties.contains_key("ssl.ca.location") && !properties.contains_key("ssl.ca.pem") {
        // The linked OpenSSL knows only the path of the machine that built it, so search where distributions keep certificates.
        config.set("ssl.ca.location", "probe");
    }
    config.set_log_level(RDKafkaLogLevel::Warning);
    config
}

/// How librdkafka packs records with these settings. A batch of several records is never larger than `batch.size`, nor than
/// `message.max.bytes`.
pub(super) fn packing(config: &ClientConfig) -> Packing {
    let default = Packing::default().batch_bytes;
    let bytes = |key| config.get(key).and_then(|bytes| bytes.parse().ok()).unwrap_or(default);
    // One setting that has two names.
    let compression = ["compression.type", "compression.codec"]
        .into_iter()
        .find_map(|key| config.get(key));
    Packing {
        batch_bytes: bytes("batch.size").min(bytes("message.max.bytes")),
        compresses: compression.is_some_and(|codec| codec != "none"),
    }
}
