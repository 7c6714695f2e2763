//! One librdkafka client: it takes records and handles their delivery reports.

use std::{
    collections::{HashMap, HashSet},
    os::fd::{AsFd as _, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext, Message as _,
    config::{FromClientConfigAndContext as _, RDKafkaLogLevel},
    error::KafkaError,
    message::DeliveryResult,
    metadata::MetadataBroker,
    producer::{BaseProducer, Producer as _, ProducerContext, PurgeConfig},
    types::RDKafkaErrorCode,
};

use super::{
    super::{
        Health, MetadataError, NoSettings, delivery_error,
        librdkafka::{self, Opaque, TopicHandle},
    },
    config::Options,
    parts::{Answered, Reports},
    refused::Refused,
};
use crate::{
    base::{
        outcome::{Ack, Kind, Outcome},
        record::Record,
    },
    produce::batch::Ticket,
    topic::{TopicSettings, settings},
};

/// How long `purge` waits for the reports of purged records.
const PURGE_WAIT: Duration = Duration::from_secs(2);

/// A topic of a [`Client`].
pub(super) type Topic = TopicHandle<Context>;

/// See the [module](self).
pub(super) struct Client {
    topics: RwLock<Handles>,
    /// How many topics are known at once.
    most_topics: usize,
    producer: Arc<BaseProducer<Context>>,
    /// librdkafka writes to it, so it comes after the client.
    _events: Arc<OwnedFd>,
}

/// The topics of a client.
#[derive(Default)]
struct Handles {
    /// Handles of the topics that are in use.
    now: HashMap<Arc<str>, Arc<Topic>>,
    /// All topics that were ever sent to. librdkafka keeps some KiB a partition for each of them until the client ends, whether
    /// or not a handle is left.
    ever: HashSet<Arc<str>>,
}

impl Client {
    /// Makes a client, which connects to the brokers in the background. `events` becomes readable when it has something to
    /// report.
    pub(super) fn new(config: &ClientConfig, options: Options, events: &Arc<OwnedFd>) -> anyhow::Result<Self> {
        let context = Context {
            embedded: options.embedded,
            is_up: AtomicBool::new(false),
            health: Mutex::new(Health::Starting),
            lost_broker: AtomicBool::new(false),
            refused: Refused::default(),
            reports: Reports::default(),
        };
        let producer = librdkafka::on_batch_thread(|| BaseProducer::from_config_and_context(config, context))?;
        librdkafka::signal_events(&producer, events.as_fd());
        Ok(Self {
            topics: RwLock::default(),
            most_topics: options.most_topics,
            producer: Arc::new(producer),
            _events: Arc::clone(events),
        })
    }

    /// Whether [`Client::poll_one`] would find something.
    pub(super) fn has_events(&self) -> bool {
        librdkafka::has_events(&self.producer)
    }

    /// Handles one event, if there is one: all delivery reports of one request, for example.
    pub(super) fn poll_one(&self) {
        self.producer.poll(Duration::ZERO);
        self.producer.context().refused.settle();
    }

    /// The delivery reports since the last call.
    pub(super) fn reports(&self) -> Vec<Answered> {
        self.producer.context().reports.take()
    }

    /// The fatal error that the client met, if any.
    pub(super) fn fatal(&self) -> Option<String> {
        let (code, reason) = self.producer.client().fatal_error()?;
        Some(format!("{code}: {reason}"))
    }

    /// Number of records without a delivery report.
    pub(super) fn outstanding(&self) -> usize {
        usize::try_from(self.producer.in_flight_count()).unwrap_or(0)
    }

    pub(super) fn health(&self) -> Health {
        self.producer.context().health()
    }

    /// The handle of a topic.
    pub(super) fn topic(&self, name: &Arc<str>) -> Result<Arc<Topic>, RDKafkaErrorCode> {
        if let Some(topic) = self.topics().now.get(name) {
            return Ok(Arc::clone(topic));
        }
        let made = Arc::new(Topic::new(&self.producer, name)?);
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.ever.insert(Arc::clone(name));
        Ok(Arc::clone(topics.now.entry(Arc::clone(name)).or_insert(made)))
    }

    /// Whether the client has sent to so many topics that a new client should replace it.
    pub(super) fn is_worn(&self) -> bool {
        self.topics().ever.len() >= 2 * self.most_topics
    }

    /// Whether records may be sent to this topic, which may be a new one.
    pub(super) fn has_room_for(&self, topic: &str) -> bool {
        let topics = self.topics();
        topics.ever.contains(topic) || topics.ever.len() < 3 * self.most_topics
    }

    fn topics(&self) -> RwLockReadGuard<'_, Handles> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a record over, and says whether the client took it; if not, its ticket is complete. `topic` must come from this
    /// client.
    pub(super) fn send(&self, topic: &Topic, record: &Record, ticket: Ticket) -> bool {
        let Some((_, destination)) = ticket.destination() else {
            return false;
        };
        let partition = destination.partition;
        let timestamp = match self.producer.context().embedded {
            // The report takes the time from the ticket, so the same time must be sent.
            true => ticket.timestamp(),
            false => record.timestamp,
        };
        if let Err((refused, ticket)) = topic.produce(partition, record, timestamp, ticket) {
            ticket.complete(delivery_error::of_refusal(refused, &record.topic));
            return false;
        }
        true
    }

    /// Asks the brokers for the leaders of a topic's partitions, in the order of their numbers.
    pub(super) fn metadata(&self, topic: &str, timeout: Duration) -> Result<Vec<Option<i32>>, MetadataError> {
        let metadata = self
            .producer
            .client()
            .fetch_metadata(Some(topic), timeout)
            .map_err(|error| match error.rdkafka_error_code() {
                Some(code) => topic_error(code),
                None => MetadataError::Unavailable(error.to_string()),
            })?;
        self.producer.context().up();
        let Some(found) = metadata.topics().first() else {
            return Err(MetadataError::UnknownTopic);
        };
        if let Some(error) = found.error() {
            return Err(topic_error(error.into()));
        }
        let mut partitions: Vec<(i32, Option<i32>)> = found
            .partitions()
            .iter()
            .map(|partition| (partition.id(), Some(partition.leader()).filter(|leader| *leader >= 0)))
            .collect();
        partitions.sort_unstable();
        if partitions.is_empty() {
            return Err(MetadataError::UnknownTopic);
        }
        Ok(partitions.into_iter().map(|(_, leader)| leader).collect())
    }

    pub(super) fn settings(&self, topics: &[Arc<str>], timeout: Duration) -> Vec<Result<TopicSettings, NoSettings>> {
        let all = |error| vec![Err(error); topics.len()];
        if self.producer.context().embedded {
            return all(NoSettings::Unsupported);
        }
        let mut told = match librdkafka::describe_topics(&self.producer, topics, &settings::NAMES, timeout) {
            Ok(told) => told,
            Err(error) => return all(NoSettings::Refused(error.to_string())),
        };
        let of = |topic: &Arc<str>| match told.remove(&**topic) {
            Some(Ok(entries)) => Ok(TopicSettings::read(&entries)),
            Some(Err(error)) => Err(NoSettings::Refused(error.to_string())),
            None => Err(NoSettings::Refused("the answer does not hold the topic".to_owned())),
        };
        topics.iter().map(of).collect()
    }

    /// Drops the handle of a topic that is no longer in use.
    pub(super) fn forget(&self, topic: &str) {
        self.topics
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .now
            .remove(topic);
    }

    pub(super) fn probe(&self, topic: Option<&str>, timeout: Duration) {
        let client = self.producer.client();
        let answered = match (topic, self.producer.context().health()) {
            // librdkafka remembers the cluster's id, so asking for it tells only whether a broker ever answered.
            (None, Health::Starting) => client.fetch_cluster_id(timeout).is_some(),
            (topic, _) => client.fetch_metadata(topic, timeout).is_ok(),
        };
        if answered {
            self.producer.context().up();
        }
    }

    /// Where the brokers are, as `host:port,…`. Blocks up to `timeout`.
    pub(super) fn addresses(&self, topic: &str, timeout: Duration) -> Option<String> {
        let metadata = self.producer.client().fetch_metadata(Some(topic), timeout).ok()?;
        let address = |broker: &MetadataBroker| format!("{}:{}", broker.host(), broker.port());
        Some(metadata.brokers().iter().map(address).collect::<Vec<_>>().join(","))
    }

    /// Asks the brokers about a topic, and so also where the brokers are. Blocks up to `timeout`.
    pub(super) fn finds_brokers(&self, topic: &str, timeout: Duration) -> bool {
        self.producer.client().fetch_metadata(Some(topic), timeout).is_ok()
    }

    /// Whether a connection to a broker was lost, or could not be made, since the last call.
    pub(super) fn lost_broker(&self) -> bool {
        self.producer.context().lost_broker.swap(false, Ordering::Relaxed)
    }

    pub(super) fn flush(&self, timeout: Duration) -> bool {
        librdkafka::flush(&self.producer, timeout)
    }

    pub(super) fn purge(&self) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
        // The reports of the purged records are in the queue now. Handle them before returning.
        let deadline = Instant::now() + PURGE_WAIT;
        while self.outstanding() > 0 && Instant::now() < deadline {
            self.producer.poll(Duration::from_millis(10));
            self.producer.context().refused.settle();
        }
    }
}

#[cfg(test)]
impl Drop for Client {
    fn drop(&mut self) {
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        tests::ENDED_BY
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(thread);
    }
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

/// The callbacks of librdkafka.
pub(super) struct Context {
    /// Whether the broker is the mock broker in this process. That one reports a made-up append time (1234) for every record,
    /// although it keeps the time that was sent, so the outcome has the time that was sent.
    embedded: bool,
    /// Whether `health` is `Up`. Read with each acknowledgement, where taking the lock would cost too much.
    is_up: AtomicBool,
    health: Mutex<Health>,
    /// Whether a connection to a broker was lost, or could not be made, since the last look.
    lost_broker: AtomicBool,
    /// Refused records that wait for the other reports of their batch.
    refused: Refused,
    /// What was reported since the last look.
    reports: Reports,
}

impl Context {
    fn up(&self) {
        if self.is_up.load(Ordering::Relaxed) {
            return;
        }
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if *health != Health::Up {
            tracing::info!("connected to Kafka");
            *health = Health::Up;
        }
        self.is_up.store(true, Ordering::Relaxed);
    }

    fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel as L;
        match level {
            // librdkafka's errors are lost connections and the like. What they mean for records, the outcomes tell.
            L::Emerg | L::Alert | L::Critical | L::Error | L::Warning => {
                tracing::warn!(target: "librdkafka", facility, "{message}");
            }
            L::Notice | L::Info => tracing::info!(target: "librdkafka", facility, "{message}"),
            L::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.lost_broker.store(true, Ordering::Relaxed);
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
            // librdkafka repeats this with each failed try.
            if !matches!(*health, Health::Down(_)) {
                tracing::warn!(reason, "no Kafka broker can be reached; still trying");
                *health = Health::Down(reason.to_owned());
                self.is_up.store(false, Ordering::Relaxed);
            }
        } else {
            tracing::warn!(%error, reason, "Kafka client error");
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Opaque;

    fn delivery(&self, result: &DeliveryResult<'_>, Opaque(ticket): Opaque) {
        // A panic here would end the polling thread, and with it every later acknowledgement. The ticket of this record is
        // dropped by the unwinding, which makes its outcome `unknown`.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            match result {
                Ok(message) => {
                    self.reports.add(&ticket, Kind::Acked);
                    self.up();
                    self.refused.settle();
                    let timestamp = ticket.timestamp();
                    ticket.complete(Outcome::Acked(Ack {
                        partition: message.partition().cast_unsigned(),
                        // DUPLICATE_SEQUENCE is an acknowledgement without an offset.
                        offset: Some(message.offset()).filter(|offset| *offset >= 0),
                        timestamp: if self.embedded {
                            timestamp
                        } else {
                            message.timestamp().to_millis()
                        },
                    }));
                }
                Err((error, message)) => {
                    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                    let not_persisted = librdkafka::persisted(message) == librdkafka::Persisted::No;
                    if not_persisted && delivery_error::is_for_content(code) {
                        self.reports.add(&ticket, Kind::Failed);
                        return self.refused.push(code, ticket);
                    }
                    let outcome = delivery_error::of_report(code, not_persisted, message.topic());
                    self.reports.add(&ticket, outcome.kind());
                    ticket.complete(outcome);
                }
            }
        }));
        if outcome.is_err() {
            tracing::error!("a delivery report could not be handled; its record is answered as unknown");
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;

    /// Names of the threads that ended a client.
    pub(crate) static ENDED_BY: Mutex<Vec<String>> = Mutex::new(Vec::new());
}
