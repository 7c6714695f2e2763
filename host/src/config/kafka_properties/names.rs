//! The Java producer's settings, and how each is treated.
//!
//! The names are those of Kafka 4.3's `ProducerConfig`, and older names that are still in use. The manual shows this
//! table; [`markdown_table`] writes it.

use super::librdkafka;
use std::fmt::Write as _;

/// Java settings that are treated alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Names in Java's `producer.properties`. `family.*` means all names of the family that have no entry of their own.
    pub java: &'static [&'static str],
    /// What Pointsman does with them.
    pub treatment: Treatment,
    /// What a team that moves from Java should know; may be empty.
    pub remark: &'static str,
}

/// What Pointsman does with a Java setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// librdkafka has the setting under the same name.
    Same,
    /// librdkafka has the setting under this name.
    Renamed(&'static str),
    /// The setting sets these properties of librdkafka, together with related settings or by more than a change of
    /// name.
    Combined(&'static [&'static str]),
    /// Pointsman itself does what the setting asks for; the text says how.
    Host(&'static str),
    /// The setting has no effect here and is harmless. A note in the log says so.
    Ignored,
    /// The setting is an error at the start. The remark says why.
    Refused,
}

impl Treatment {
    /// What Pointsman does, for a cell of a Markdown table.
    pub fn summary(&self) -> String {
        match self {
            Self::Same => "takes it as it is".to_owned(),
            Self::Renamed(name) => format!("sets `{name}`"),
            Self::Combined(names) => format!("sets {}", in_code(names)),
            Self::Host(what) => (*what).to_owned(),
            Self::Ignored => "ignores it, with a note in the log".to_owned(),
            Self::Refused => "refuses it".to_owned(),
        }
    }
}

/// The table of docs/kafka-properties.md: Java name, what Pointsman does, remark.
pub fn markdown_table() -> String {
    let mut table = "| Java name | What Pointsman does | Remark |\n|---|---|---|\n".to_owned();
    for entry in NAMES {
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            table,
            "| {} | {} | {} |",
            in_code(entry.java),
            entry.treatment.summary(),
            entry.remark
        );
    }
    table
}

fn in_code(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

pub(super) fn find(key: &str) -> Option<&'static Entry> {
    let exact = NAMES.iter().find(|entry| entry.java.contains(&key));
    exact.or_else(|| {
        // librdkafka has names of its own in Java's families.
        let known = librdkafka::find(librdkafka::one_name(key)).is_some();
        let is_of = |family: &&str| family.strip_suffix('*').is_some_and(|start| key.starts_with(start));
        NAMES
            .iter()
            .filter(|_| !known)
            .find(|entry| entry.java.iter().any(is_of))
    })
}

/// Every name that is not a family, for suggestions.
pub(super) fn all_names() -> impl Iterator<Item = &'static str> {
    NAMES
        .iter()
        .flat_map(|entry| entry.java.iter().copied())
        .filter(|name| !name.ends_with('*'))
}

const fn entry(java: &'static [&'static str], treatment: Treatment, remark: &'static str) -> Entry {
    Entry {
        java,
        treatment,
        remark,
    }
}

use Treatment::{Combined, Host, Ignored, Refused, Renamed, Same};

/// Every Java setting that Pointsman knows.
pub static NAMES: &[Entry] = &[
    entry(&["bootstrap.servers"], Same, "better as `[kafka] bootstrap_servers`"),
    entry(
        &["client.id", "enable.metrics.push", "metadata.recovery.strategy"],
        Same,
        "",
    ),
    entry(&["acks"], Same, "only `all` (or `-1`) unless `ordering = \"none\"`"),
    entry(
        &["enable.idempotence"],
        Same,
        "only `true` unless `ordering = \"none\"`",
    ),
    entry(&["retries"], Same, "at least 1 unless `ordering = \"none\"`"),
    entry(
        &["max.in.flight.requests.per.connection"],
        Same,
        "at most 5 unless `ordering = \"none\"`; the default here is 1",
    ),
    entry(
        &["delivery.timeout.ms"],
        Same,
        "at least `linger.ms` + `request.timeout.ms`, as in Java; 0 would mean for ever and is refused, unless `ordering = \"none\"`",
    ),
    entry(
        &["request.timeout.ms"],
        Combined(&["request.timeout.ms", "socket.timeout.ms"]),
        "the broker's wait and the client's, as in Java; the client's is between 10 ms and 300 000 ms",
    ),
    entry(&["linger.ms"], Same, "at most 900 000; the default here is 0"),
    entry(&["batch.size"], Same, "0 becomes 1: each record by itself, as in Java"),
    entry(&["compression.type"], Same, ""),
    entry(
        &[
            "compression.gzip.level",
            "compression.lz4.level",
            "compression.zstd.level",
        ],
        Combined(&["compression.level"]),
        "the one of the chosen `compression.type` counts; at most 12, and at least 1 for zstd",
    ),
    entry(
        &["max.request.size"],
        Renamed("message.max.bytes"),
        "from 1000 to 1 000 000 000",
    ),
    entry(
        &["buffer.memory"],
        Host("bounds the bytes it admits"),
        "requests wait outside, so librdkafka's own queue never fills",
    ),
    entry(
        &["max.block.ms"],
        Host("waits that long for room, then answers 503"),
        "",
    ),
    entry(
        &["metadata.fetch.timeout.ms"],
        Host("takes it as `max.block.ms`"),
        "an old name; noted in the log",
    ),
    entry(
        &["timeout.ms"],
        Combined(&["request.timeout.ms"]),
        "an old name for the broker's wait alone; noted in the log",
    ),
    entry(
        &["metadata.max.age.ms"],
        Combined(&["topic.metadata.refresh.interval.ms", "metadata.max.age.ms"]),
        "metadata is refreshed that often, at the latest after 715 827 ms: librdkafka miscounts longer ages",
    ),
    entry(&["metadata.recovery.rebootstrap.trigger.ms"], Same, ""),
    entry(
        &["retry.backoff.ms", "retry.backoff.max.ms"],
        Same,
        "from 1 to 300 000; a value outside becomes the nearest",
    ),
    entry(
        &["reconnect.backoff.ms", "reconnect.backoff.max.ms"],
        Combined(&["reconnect.backoff.ms", "reconnect.backoff.max.ms"]),
        "at most 3 600 000; the longest wait is raised to the first one where it is shorter",
    ),
    entry(
        &["connections.max.idle.ms"],
        Same,
        "at most 2 147 483 647; -1 and 0 keep idle connections",
    ),
    entry(&["socket.connection.setup.timeout.ms"], Same, "at least 1000"),
    entry(
        &["send.buffer.bytes"],
        Renamed("socket.send.buffer.bytes"),
        "-1 becomes 0: the system's size",
    ),
    entry(
        &["receive.buffer.bytes"],
        Renamed("socket.receive.buffer.bytes"),
        "-1 becomes 0: the system's size",
    ),
    entry(
        &["client.dns.lookup"],
        Same,
        "`use_all_dns_ips` or `resolve_canonical_bootstrap_servers_only`; the old `default` is an error",
    ),
    entry(&["security.protocol"], Same, "in upper or lower case"),
    entry(
        &["sasl.mechanism"],
        Same,
        "`PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`; this build has no `GSSAPI`, which is the default of both clients",
    ),
    entry(
        &["sasl.jaas.config"],
        Combined(&["sasl.username", "sasl.password"]),
        "`PlainLoginModule` and `ScramLoginModule`; others are an error that says what to use",
    ),
    entry(
        &[
            "ssl.truststore.type",
            "ssl.truststore.location",
            "ssl.truststore.certificates",
        ],
        Combined(&["ssl.ca.location", "ssl.ca.pem"]),
        "PEM only; for JKS (Java's default) and PKCS12 the error holds the command that converts",
    ),
    entry(
        &["ssl.truststore.password"],
        Ignored,
        "a PEM file of certificates has no password",
    ),
    entry(
        &[
            "ssl.keystore.type",
            "ssl.keystore.location",
            "ssl.keystore.password",
            "ssl.keystore.certificate.chain",
            "ssl.keystore.key",
            "ssl.key.password",
        ],
        Combined(&[
            "ssl.certificate.location",
            "ssl.certificate.pem",
            "ssl.key.location",
            "ssl.key.pem",
            "ssl.key.password",
            "ssl.keystore.location",
            "ssl.keystore.password",
        ]),
        "PEM or PKCS12; for JKS (Java's default) the error holds the command that converts",
    ),
    entry(
        &["ssl.endpoint.identification.algorithm"],
        Combined(&["ssl.endpoint.identification.algorithm"]),
        "empty becomes `none`",
    ),
    entry(
        &["ssl.cipher.suites"],
        Same,
        "for TLS 1.2; Java's names and OpenSSL's both work",
    ),
    entry(
        &["ssl.enabled.protocols", "ssl.protocol"],
        Ignored,
        "TLS 1.2 and 1.3 are offered",
    ),
    entry(
        &[
            "ssl.keymanager.algorithm",
            "ssl.trustmanager.algorithm",
            "ssl.secure.random.implementation",
        ],
        Ignored,
        "they choose parts of a Java runtime",
    ),
    entry(
        &["ssl.engine.factory.class", "ssl.provider", "security.providers"],
        Refused,
        "it loads Java code, and TLS is done by OpenSSL here",
    ),
    entry(
        &["sasl.kerberos.*"],
        Refused,
        "this build has no Kerberos; use SASL PLAIN, SCRAM or TLS client certificates",
    ),
    entry(
        &["sasl.oauthbearer.*"],
        Refused,
        "this build cannot fetch OAuth tokens; use SASL PLAIN, SCRAM or TLS client certificates",
    ),
    entry(
        &[
            "sasl.client.callback.handler.class",
            "sasl.login.callback.handler.class",
            "sasl.login.class",
        ],
        Refused,
        "it loads Java code; use SASL PLAIN, SCRAM or TLS client certificates",
    ),
    entry(
        &[
            "sasl.login.connect.timeout.ms",
            "sasl.login.read.timeout.ms",
            "sasl.login.refresh.buffer.seconds",
            "sasl.login.refresh.min.period.seconds",
            "sasl.login.refresh.window.factor",
            "sasl.login.refresh.window.jitter",
            "sasl.login.retry.backoff.max.ms",
            "sasl.login.retry.backoff.ms",
        ],
        Ignored,
        "it times OAuth logins, which are not done here",
    ),
    entry(
        &["key.serializer", "value.serializer", "schema.registry.url"],
        Ignored,
        "records are sent as the bytes that the application gives",
    ),
    entry(
        &["partitioner.class"],
        Refused,
        "the plugin of the route decides the partition (its default is Java's hash of the key)",
    ),
    entry(
        &[
            "partitioner.ignore.keys",
            "partitioner.adaptive.partitioning.enable",
            "partitioner.availability.timeout.ms",
        ],
        Refused,
        "they tune Java's own partitioner, and here the plugin of the route decides the partition",
    ),
    entry(
        &[
            "transactional.id",
            "transaction.timeout.ms",
            "transaction.two.phase.commit.enable",
        ],
        Refused,
        "one producer is shared by all clients, so there are no transactions",
    ),
    entry(
        &["interceptor.classes"],
        Refused,
        "it loads Java code; do it in the application",
    ),
    entry(
        &["metric.reporters"],
        Refused,
        "it loads Java code; Pointsman's metrics are at /metrics",
    ),
    entry(
        &["config.providers"],
        Refused,
        "it loads Java code; a secret can come from a file as `<key>_file`",
    ),
    entry(
        &[
            "metrics.num.samples",
            "metrics.recording.level",
            "metrics.sample.window.ms",
            "auto.include.jmx.reporter",
        ],
        Ignored,
        "Pointsman's metrics are at /metrics",
    ),
    entry(
        &["metadata.max.idle.ms"],
        Ignored,
        "a topic is remembered as long as a route may lead to it",
    ),
    entry(
        &["socket.connection.setup.timeout.max.ms"],
        Ignored,
        "librdkafka does not lengthen the time-out from try to try",
    ),
    entry(&["block.on.buffer.full"], Ignored, "an old name; see `max.block.ms`"),
];
