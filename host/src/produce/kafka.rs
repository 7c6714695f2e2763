//! The real producer: librdkafka through rust-rdkafka's `BaseProducer`.
//!
//! `FutureProducer` is not used: on a full queue it sleeps and tries again by itself, which reorders concurrent sends. Here
//! a full queue is an answer (and does not happen: admission keeps the queue below librdkafka's limits).

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rdkafka::{
    ClientConfig, ClientContext, Message as _,
    config::{FromClientConfigAndContext as _, RDKafkaLogLevel},
    error::KafkaError,
    message::{DeliveryResult, Header as KafkaHeader, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext, PurgeConfig},
    types::RDKafkaErrorCode,
};

use super::{Health, MetadataError, PartitionInfo, Producer, fate, librdkafka};
use crate::{
    batch::Ticket,
    outcome::{Ack, Code, Outcome, RecordError},
    record::Record,
};

/// How long one look for delivery reports may take; how late the thread notices the end.
const POLL: Duration = Duration::from_millis(100);

/// librdkafka takes no larger `queue.buffering.max.kbytes`.
const MAX_QUEUE_KBYTES: usize = 2_147_483_647;

/// What must hold whatever a team's own properties say, and the defaults where they say nothing. `queue_records` and
/// `queue_bytes` are what admission lets in.
pub fn client_config(properties: &BTreeMap<String, String>, queue_records: usize, queue_bytes: usize) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (key, value) in [
        ("client.id", "pointsman"),
        ("enable.idempotence", "true"),
        ("acks", "all"),
        ("max.in.flight.requests.per.connection", "1"),
        // Single records wait for company only as long as the one before them is on its way.
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
    // Above what admission lets in, so that a request never meets a full queue half-way.
    for (key, least) in [
        // Twice, since librdkafka counts a record until the whole event that reported it is done with, while its place
        // is given to the next one at once.
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
        // OpenSSL is linked in, so its built-in path is that of the build; look where distributions keep theirs.
        config.set("ssl.ca.location", "probe");
    }
    config.set_log_level(RDKafkaLogLevel::Warning);
    config
}

/// See the [module](self).
pub struct KafkaProducer {
    producer: Arc<BaseProducer<Context>>,
    /// Set to end the polling thread.
    stop: Arc<AtomicBool>,
    poller: Option<JoinHandle<()>>,
}

impl KafkaProducer {
    /// Makes the producer; brokers are connected to in the background. `embedded`: the broker is the one in this process, see
    /// [`Context::embedded`].
    pub fn new(config: &ClientConfig, embedded: bool) -> anyhow::Result<Self> {
        let context = Context {
            embedded,
            health: Mutex::new(Health::Starting),
        };
        let producer: BaseProducer<Context> = BaseProducer::from_config_and_context(config, context)?;
        let producer = Arc::new(producer);
        let stop = Arc::new(AtomicBool::new(false));
        let poller = thread::Builder::new().name("delivery-reports".to_owned()).spawn({
            let (producer, stop) = (Arc::clone(&producer), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    producer.poll(POLL);
                }
            }
        })?;
        Ok(Self {
            producer,
            stop,
            poller: Some(poller),
        })
    }

    fn context(&self) -> &Context {
        self.producer.context()
    }
}

impl Producer for KafkaProducer {
    fn send(&self, record: &Record, partition: u32, ticket: Ticket) {
        let timestamp = record.timestamp.unwrap_or_else(now_ms);
        let mut message: BaseRecord<'_, [u8], [u8], Box<InFlight>> =
            BaseRecord::with_opaque_to(&record.topic, Box::new(InFlight { ticket, timestamp }))
                .partition(partition.cast_signed())
                .timestamp(timestamp);
        if let Some(key) = &record.key {
            message = message.key(key);
        }
        if let Some(value) = &record.value {
            message = message.payload(value);
        }
        if !record.headers.is_empty() {
            message = message.headers(headers(record));
        }
        if let Err((error, message)) = self.producer.send(message) {
            let reason = error
                .rdkafka_error_code()
                .map_or(error.to_string(), |code| code.to_string());
            message
                .delivery_opaque
                .ticket
                .complete(Outcome::Failed(RecordError::new(
                    Code::NotQueued,
                    format!("the producer did not take the record: {reason}; nothing was sent, send it again"),
                )));
        }
    }

    fn metadata(&self, topic: &str, timeout: Duration) -> Result<Vec<PartitionInfo>, MetadataError> {
        let metadata = self
            .producer
            .client()
            .fetch_metadata(Some(topic), timeout)
            .map_err(|error| match error.rdkafka_error_code() {
                Some(code) => topic_error(code),
                None => MetadataError::Unavailable(error.to_string()),
            })?;
        self.context().up();
        let Some(found) = metadata.topics().first() else {
            return Err(MetadataError::UnknownTopic);
        };
        if let Some(error) = found.error() {
            return Err(topic_error(error.into()));
        }
        let mut partitions: Vec<(i32, bool)> = found
            .partitions()
            .iter()
            .map(|partition| (partition.id(), partition.leader() >= 0))
            .collect();
        partitions.sort_unstable();
        if partitions.is_empty() {
            return Err(MetadataError::UnknownTopic);
        }
        Ok(partitions
            .into_iter()
            .map(|(_, has_leader)| PartitionInfo { has_leader })
            .collect())
    }

    fn probe(&self, topic: Option<&str>, timeout: Duration) {
        let client = self.producer.client();
        let answered = match (topic, self.context().health()) {
            // The cluster's id is remembered, so it tells only whether there ever was an answer.
            (None, Health::Starting) => client.fetch_cluster_id(timeout).is_some(),
            (topic, _) => client.fetch_metadata(topic, timeout).is_ok(),
        };
        if answered {
            self.context().up();
        }
    }

    fn flush(&self, timeout: Duration) -> bool {
        librdkafka::flush(&self.producer, timeout)
    }

    fn purge(&self) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
        // The reports of what was purged are in the queue now; hand them out before returning.
        let deadline = Instant::now() + Duration::from_secs(2);
        while self.producer.in_flight_count() > 0 && Instant::now() < deadline {
            self.producer.poll(Duration::from_millis(10));
        }
    }

    fn health(&self) -> Health {
        if let Some((code, reason)) = self.producer.client().fatal_error() {
            return Health::Fatal(format!("{code}: {reason}"));
        }
        self.context().health()
    }
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(poller) = self.poller.take() {
            let _ = poller.join();
        }
    }
}

fn now_ms() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}

fn headers(record: &Record) -> OwnedHeaders {
    record.headers.iter().fold(
        OwnedHeaders::new_with_capacity(record.headers.len()),
        |headers, header| {
            headers.insert(KafkaHeader {
                key: &header.name,
                value: header.value.as_deref(),
            })
        },
    )
}

fn topic_error(code: RDKafkaErrorCode) -> MetadataError {
    match code {
        RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownPartition
        | RDKafkaErrorCode::InvalidTopic => MetadataError::UnknownTopic,
        RDKafkaErrorCode::TopicAuthorizationFailed => MetadataError::Unauthorized,
        other => MetadataError::Unavailable(other.to_string()),
    }
}

/// What a record takes through librdkafka and gets back with its report.
struct InFlight {
    ticket: Ticket,
    /// The record's own time, or that of its hand-over.
    timestamp: i64,
}

/// What librdkafka calls back into.
struct Context {
    /// The mock broker reports a made-up append time (1234) for every record, but keeps the time that was sent: with it,
    /// that one is told.
    embedded: bool,
    health: Mutex<Health>,
}

impl Context {
    fn up(&self) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if *health != Health::Up {
            tracing::info!("connected to Kafka");
            *health = Health::Up;
        }
    }

    fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel as L;
        match level {
            // librdkafka's "error" is a lost connection; what it means for records is said by their outcomes.
            L::Emerg | L::Alert | L::Critical | L::Error | L::Warning => {
                tracing::warn!(target: "librdkafka", facility, "{message}");
            }
            L::Notice | L::Info => tracing::info!(target: "librdkafka", facility, "{message}"),
            L::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
            // librdkafka says so again with each vain try.
            if !matches!(*health, Health::Down(_)) {
                tracing::warn!(reason, "no Kafka broker can be reached; trying on");
                *health = Health::Down(reason.to_owned());
            }
        } else {
            tracing::warn!(%error, reason, "Kafka client error");
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<InFlight>;

    fn delivery(&self, result: &DeliveryResult<'_>, in_flight: Box<InFlight>) {
        let InFlight { ticket, timestamp } = *in_flight;
        // A panic here would unwind through the polling thread and silence every later acknowledgement. The ticket answers
        // `unknown` when it is dropped by the unwinding.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            match result {
                Ok(message) => {
                    self.up();
                    ticket.complete(Outcome::Acked(Ack {
                        partition: message.partition().cast_unsigned(),
                        // DUPLICATE_SEQUENCE is an acknowledgement without an offset.
                        offset: Some(message.offset()).filter(|offset| *offset >= 0),
                        timestamp: if self.embedded {
                            Some(timestamp)
                        } else {
                            message.timestamp().to_millis()
                        },
                    }));
                }
                Err((error, message)) => {
                    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                    let persisted_no = librdkafka::persisted(message) == librdkafka::Persisted::No;
                    ticket.complete(fate::of_report(code, persisted_no, message.topic()));
                }
            }
        }));
        if outcome.is_err() {
            tracing::error!("a delivery report could not be handled; its record is answered as unknown");
        }
    }
}
