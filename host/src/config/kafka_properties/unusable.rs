//! librdkafka's properties that must not be in this file, and why.

/// Why a property of librdkafka must not be in this file; none if it may.
pub(super) fn refusal(key: &str) -> Option<&'static str> {
    let listed = REFUSED
        .iter()
        .find(|(keys, _)| keys.contains(&key))
        .map(|(_, reason)| *reason);
    listed.or_else(|| {
        REFUSED_PREFIXES
            .iter()
            .find(|(prefix, _)| key.starts_with(prefix))
            .map(|(_, reason)| *reason)
    })
}

pub(super) fn is_consumer_only(key: &str) -> bool {
    CONSUMER_ONLY.contains(&key)
}

const BY_PROGRAM: &str = "only a program can set it, and here that program is Pointsman";
const NATIVE_CODE: &str = "it loads native code into the process";
const NO_HTTPS: &str = "this build makes no HTTPS requests";
const HOST_OWNS: &str = "Pointsman sets it itself";

/// Properties that exist, but would collide with the host, load code, or are not in this build.
static REFUSED: &[(&[&str], &str)] = &[
    (
        &[
            "background_event_cb",
            "closesocket_cb",
            "connect_cb",
            "default_topic_conf",
            "dr_cb",
            "dr_msg_cb",
            "enable_sasl_queue",
            "error_cb",
            "interceptors",
            "log_cb",
            "msg_order_cmp",
            "oauthbearer_token_refresh_cb",
            "opaque",
            "open_cb",
            "partitioner_cb",
            "resolve_cb",
            "socket_cb",
            "ssl.certificate.verify_cb",
            "ssl_ca",
            "ssl_certificate",
            "ssl_engine_callback_data",
            "ssl_key",
            "stats_cb",
            "throttle_cb",
        ],
        BY_PROGRAM,
    ),
    (
        &["plugin.library.paths", "ssl.engine.location", "ssl.engine.id"],
        NATIVE_CODE,
    ),
    (
        &[
            "client.software.name",
            "client.software.version",
            "enabled_events",
            "internal.termination.signal",
            "log.queue",
        ],
        HOST_OWNS,
    ),
    (
        &["delivery.report.only.error"],
        "every record is answered, so every delivery must be reported",
    ),
    (&["builtin.features"], "it only tells what the build has"),
    (
        &["ssl.ca.certificate.stores"],
        "it names certificate stores of Windows; use ssl.ca.location",
    ),
    (
        &["test.mock.num.brokers"],
        "for a broker inside the process say [kafka] bootstrap_servers = \"embedded\"",
    ),
];

/// The same, for whole families of properties.
static REFUSED_PREFIXES: &[(&str, &str)] = &[
    ("https.ca.", NO_HTTPS),
    ("test.mock.", "it is for librdkafka's own tests"),
];

/// Settings of consumers in librdkafka and Java. This mistake is common, so it gets a better answer than "unknown".
static CONSUMER_ONLY: &[&str] = &[
    "auto.commit.enable",
    "auto.commit.interval.ms",
    "auto.offset.reset",
    "check.crcs",
    "consume.callback.max.messages",
    "consume_cb",
    "coordinator.query.interval.ms",
    "default.api.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "exclude.internal.topics",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.max.wait.ms",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.protocol.type",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "isolation.level",
    "key.deserializer",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "max.poll.records",
    "offset.store.method",
    "offset.store.path",
    "offset.store.sync.interval.ms",
    "offset_commit_cb",
    "partition.assignment.strategy",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "rebalance_cb",
    "session.timeout.ms",
    "share.acknowledgement.mode",
    "share.acquire.mode",
    "value.deserializer",
];
