//! The properties of a librdkafka 2.12.1 producer in this project's build, and the values that each may have.

use std::ops::RangeInclusive;

/// The largest number of an `int` property.
const INT_MAX: i64 = 2_147_483_647;
/// librdkafka multiplies the metadata's age by 1000 in 32 bits. Above this limit the product wraps, and librdkafka may
/// forget a topic as soon as it has learnt it.
pub(super) const METADATA_AGE_MAX_MS: i64 = INT_MAX / 1000;
/// librdkafka keeps metadata for three refresh intervals, and the same limit holds for that product.
pub(super) const METADATA_REFRESH_MAX_MS: i64 = METADATA_AGE_MAX_MS / 3;

/// A property, under the name that this project uses for it.
pub(super) struct Property {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

/// The values that a property may have.
pub(super) enum Kind {
    Text,
    /// Text that must not be empty.
    Required,
    Flag,
    /// One of these words, in any case. The result is spelt as here.
    OneOf(&'static [&'static str]),
    /// `all` or the number of acknowledgements.
    Acks,
    Int(RangeInclusive<i64>),
    /// Java allows more than librdkafka: from `java_min`, and with no upper bound that matters. A value outside the
    /// range is moved to the nearest end of the range, which keeps its meaning.
    Wide {
        range: RangeInclusive<i64>,
        java_min: i64,
    },
    /// Milliseconds, perhaps with a fraction. A value above the range means "the most", so it is moved to the end.
    Millis(RangeInclusive<i64>),
}

/// A value that librdkafka takes.
pub(super) struct Checked {
    pub(super) value: String,
    /// Which end of the range the value was moved to, if it was moved.
    pub(super) bounded: Option<&'static str>,
}

impl Kind {
    pub(super) fn may_be_empty(&self) -> bool {
        matches!(self, Self::Text)
    }

    /// The value as librdkafka should get it, or what was expected.
    pub(super) fn check(&self, value: &str) -> Result<Checked, String> {
        let exact = |value: &str| Checked {
            value: value.to_owned(),
            bounded: None,
        };
        match self {
            Self::Text => Ok(exact(value)),
            Self::Required if value.is_empty() => Err("a value".to_owned()),
            Self::Required => Ok(exact(value)),
            Self::Flag => one_of(&["true", "false"], value).map(exact),
            Self::OneOf(words) => one_of(words, value).map(exact),
            Self::Acks => match value.parse::<i64>() {
                Ok(-1) => Ok(exact("all")),
                Ok(acks) if (0..=1000).contains(&acks) => Ok(exact(&acks.to_string())),
                _ => one_of(&["all", "-1", "0", "1"], value).map(exact),
            },
            Self::Int(range) => int(value, range, *range.start(), *range.end()),
            Self::Wide { range, java_min } => int(value, range, *java_min, i64::MAX),
            Self::Millis(range) => match value.parse::<f64>() {
                // Only librdkafka allows a fraction. Whole numbers are checked as all others are.
                Ok(millis) if millis.fract() != 0.0 && millis > 0.0 && millis < *range.end() as f64 => {
                    Ok(exact(&millis.to_string()))
                }
                _ => int(value, range, *range.start(), i64::MAX),
            },
        }
    }
}

fn one_of<'a>(words: &[&'a str], value: &str) -> Result<&'a str, String> {
    let found = words.iter().find(|word| word.eq_ignore_ascii_case(value));
    found.copied().ok_or_else(|| format!("one of {}", words.join(", ")))
}

/// A whole number in `range`. A number outside it, but from `low` to `high`, is moved to the nearest end.
///
/// The result is plain decimal: librdkafka reads a leading 0 as octal, and Java does not.
fn int(value: &str, range: &RangeInclusive<i64>, low: i64, high: i64) -> Result<Checked, String> {
    let (start, end) = (*range.start(), *range.end());
    match value.parse::<i64>() {
        Ok(number) if range.contains(&number) => Ok(Checked {
            value: number.to_string(),
            bounded: None,
        }),
        Ok(number) if (low..start).contains(&number) => Ok(Checked {
            value: start.to_string(),
            bounded: Some("least"),
        }),
        Ok(number) if number > end && number <= high => Ok(Checked {
            value: end.to_string(),
            bounded: Some("most"),
        }),
        _ => Err(format!("a whole number from {} to {end}", low.min(start))),
    }
}

pub(super) fn find(name: &str) -> Option<&'static Property> {
    PROPERTIES.iter().find(|property| property.name == name)
}

/// The one name that this project uses for a setting with two names.
pub(super) fn one_name(key: &str) -> &str {
    ALIASES
        .iter()
        .find(|(alias, _)| *alias == key)
        .map_or(key, |(_, name)| *name)
}

/// Every name that a producer may set, for suggestions.
pub(super) fn all_names() -> impl Iterator<Item = &'static str> {
    PROPERTIES
        .iter()
        .map(|property| property.name)
        .chain(ALIASES.iter().map(|(alias, _)| *alias))
}

const fn text(name: &'static str) -> Property {
    Property { name, kind: Kind::Text }
}

const fn flag(name: &'static str) -> Property {
    Property { name, kind: Kind::Flag }
}

const fn int_of(name: &'static str, min: i64, max: i64) -> Property {
    Property {
        name,
        kind: Kind::Int(min..=max),
    }
}

const fn wide(name: &'static str, min: i64, max: i64, java_min: i64) -> Property {
    Property {
        name,
        kind: Kind::Wide {
            range: min..=max,
            java_min,
        },
    }
}

const fn words(name: &'static str, words: &'static [&'static str]) -> Property {
    Property {
        name,
        kind: Kind::OneOf(words),
    }
}

static PROPERTIES: &[Property] = &[
    Property {
        name: "bootstrap.servers",
        kind: Kind::Required,
    },
    Property {
        name: "acks",
        kind: Kind::Acks,
    },
    Property {
        name: "linger.ms",
        kind: Kind::Millis(0..=900_000),
    },
    text("client.id"),
    text("client.rack"),
    words(
        "client.dns.lookup",
        &["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"],
    ),
    // Producing.
    flag("enable.idempotence"),
    flag("enable.gapless.guarantee"),
    int_of("retries", 0, INT_MAX),
    int_of("max.in.flight.requests.per.connection", 1, 1_000_000),
    int_of("delivery.timeout.ms", 0, INT_MAX),
    wide("request.timeout.ms", 1, 900_000, 0),
    wide("batch.size", 1, INT_MAX, 0),
    int_of("batch.num.messages", 1, 1_000_000),
    words("compression.type", &["none", "gzip", "snappy", "lz4", "zstd"]),
    int_of("compression.level", -1, 12),
    wide("message.max.bytes", 1000, 1_000_000_000, 1000),
    int_of("message.copy.max.bytes", 0, 1_000_000_000),
    int_of("receive.message.max.bytes", 1000, INT_MAX),
    int_of("queue.buffering.max.messages", 0, INT_MAX),
    int_of("queue.buffering.max.kbytes", 1, INT_MAX),
    int_of("queue.buffering.backpressure.threshold", 1, 1_000_000),
    int_of("sticky.partitioning.linger.ms", 0, 900_000),
    words("queuing.strategy", &["fifo", "lifo"]),
    words(
        "partitioner",
        &[
            "random",
            "consistent",
            "consistent_random",
            "murmur2",
            "murmur2_random",
            "fnv1a",
            "fnv1a_random",
        ],
    ),
    flag("produce.offset.report"),
    wide("retry.backoff.ms", 1, 300_000, 0),
    wide("retry.backoff.max.ms", 1, 300_000, 0),
    // Metadata.
    wide("topic.metadata.refresh.interval.ms", -1, METADATA_REFRESH_MAX_MS, -1),
    wide("metadata.max.age.ms", 1, METADATA_AGE_MAX_MS, 1),
    words("metadata.recovery.strategy", &["none", "rebootstrap"]),
    wide("metadata.recovery.rebootstrap.trigger.ms", 0, INT_MAX, 0),
    int_of("topic.metadata.refresh.fast.interval.ms", 1, 60_000),
    int_of("topic.metadata.refresh.fast.cnt", 0, 1000),
    flag("topic.metadata.refresh.sparse"),
    wide("topic.metadata.propagation.max.ms", 0, METADATA_AGE_MAX_MS, 0),
    text("topic.blacklist"),
    flag("allow.auto.create.topics"),
    // Connections. Java's -1 leaves socket buffers to the system and keeps idle connections for ever; here 0 does that.
    wide("socket.timeout.ms", 10, 300_000, 0),
    int_of("socket.blocking.max.ms", 1, 60_000),
    wide("socket.send.buffer.bytes", 0, 100_000_000, -1),
    wide("socket.receive.buffer.bytes", 0, 100_000_000, -1),
    flag("socket.keepalive.enable"),
    flag("socket.nagle.disable"),
    int_of("socket.max.fails", 0, 1_000_000),
    wide("socket.connection.setup.timeout.ms", 1000, INT_MAX, 0),
    wide("connections.max.idle.ms", 0, INT_MAX, -1),
    int_of("broker.address.ttl", 0, 86_400_000),
    words("broker.address.family", &["any", "v4", "v6"]),
    int_of("reconnect.backoff.jitter.ms", 0, 3_600_000),
    wide("reconnect.backoff.ms", 0, 3_600_000, 0),
    wide("reconnect.backoff.max.ms", 0, 3_600_000, 0),
    flag("api.version.request"),
    int_of("api.version.request.timeout.ms", 1, 300_000),
    int_of("api.version.fallback.ms", 0, 604_800_000),
    text("broker.version.fallback"),
    // Logs and statistics.
    text("debug"),
    int_of("log_level", 0, 7),
    flag("log.thread.name"),
    flag("log.connection.close"),
    int_of("statistics.interval.ms", 0, 86_400_000),
    flag("enable.metrics.push"),
    flag("enable.random.seed"),
    // Security.
    words("security.protocol", &["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]),
    words(
        "sasl.mechanism",
        &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"],
    ),
    text("sasl.username"),
    text("sasl.password"),
    text("sasl.oauthbearer.config"),
    flag("enable.sasl.oauthbearer.unsecure.jwt"),
    text("ssl.ca.location"),
    text("ssl.ca.pem"),
    text("ssl.certificate.location"),
    text("ssl.certificate.pem"),
    text("ssl.key.location"),
    text("ssl.key.pem"),
    text("ssl.key.password"),
    text("ssl.keystore.location"),
    text("ssl.keystore.password"),
    text("ssl.crl.location"),
    text("ssl.cipher.suites"),
    text("ssl.curves.list"),
    text("ssl.sigalgs.list"),
    text("ssl.providers"),
    words("ssl.endpoint.identification.algorithm", &["none", "https"]),
    flag("enable.ssl.certificate.verification"),
];

/// Pairs of librdkafka's other name and the name used here.
static ALIASES: &[(&str, &str)] = &[
    ("metadata.broker.list", "bootstrap.servers"),
    ("request.required.acks", "acks"),
    ("message.send.max.retries", "retries"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("message.timeout.ms", "delivery.timeout.ms"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("compression.codec", "compression.type"),
    ("sasl.mechanisms", "sasl.mechanism"),
];
