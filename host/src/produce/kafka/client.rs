//! One librdkafka client, good for one producer generation: records in, delivery reports out.

use std::{
    collections::{HashMap, HashSet},
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
    producer::{BaseProducer, Producer as _, ProducerContext, PurgeConfig},
    types::RDKafkaErrorCode,
};

use super::{
    super::{
        Health, MetadataError, NoSettings, delivery_error,
        librdkafka::{self, Opaque, TopicHandle},
    },
    refused::Refused,
};
use crate::{
    base::{
        outcome::{Ack, Outcome},
        record::Record,
    },
    produce::batch::Ticket,
    topic::{PartitionInfo, TopicSettings, settings},
};

/// How long the reports of what was purged are waited for.
const PURGE_WAIT: Duration = Duration::from_secs(2);

/// See the [module](self).
pub(super) struct Client {
    /// They must go before the client does.
    topics: RwLock<Handles>,
    most_topics: usize,
    producer: BaseProducer<Context>,
}

/// What there is of topics.
#[derive(Default)]
struct Handles {
    /// Of those that are sent to.
    now: HashMap<Arc<str>, Arc<TopicHandle>>,
    /// Those that were ever sent to: librdkafka keeps each of them until the client's end, some KiB a partition, whether or not
    /// anybody has a handle.
    ever: HashSet<Arc<str>>,
}

impl Client {
    /// Brokers are connected to in the background. `embedded`: the broker is the one in this process, see
    /// [`Context::embedded`]. `most_topics`: that are known at once.
    pub(super) fn new(config: &ClientConfig, embedded: bool, most_topics: usize) -> anyhow::Result<Self> {
        let context = Context {
            embedded,
            is_up: AtomicBool::new(false),
            health: Mutex::new(Health::Starting),
            refused: Refused::default(),
        };
        Ok(Self {
            topics: RwLock::default(),
            most_topics,
            producer: BaseProducer::from_config_and_context(config, context)?,
        })
    }

    /// Hands out delivery reports, for up to `timeout`.
    pub(super) fn poll(&self, timeout: Duration) {
        self.producer.poll(timeout);
        self.producer.context().refused.settle();
    }

    /// Why it cannot go on, if it cannot.
    pub(super) fn fatal(&self) -> Option<String> {
        let (code, reason) = self.producer.client().fatal_error()?;
        Some(format!("{code}: {reason}"))
    }

    /// Records without a delivery report.
    pub(super) fn outstanding(&self) -> i32 {
        self.producer.in_flight_count()
    }

    pub(super) fn health(&self) -> Health {
        self.producer.context().health()
    }

    /// A topic to send to, by its name.
    pub(super) fn topic(&self, name: &Arc<str>) -> Result<Arc<TopicHandle>, RDKafkaErrorCode> {
        if let Some(topic) = self.topics().now.get(name) {
            return Ok(Arc::clone(topic));
        }
        let made = Arc::new(TopicHandle::new(&self.producer, name)?);
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.ever.insert(Arc::clone(name));
        Ok(Arc::clone(topics.now.entry(Arc::clone(name)).or_insert(made)))
    }

    /// Whether so many topics were sent to that another client had better take over.
    pub(super) fn is_worn(&self) -> bool {
        self.topics().ever.len() >= 2 * self.most_topics
    }

    /// Whether this topic may be sent to, too.
    pub(super) fn has_room_for(&self, topic: &str) -> bool {
        let topics = self.topics();
        topics.ever.contains(topic) || topics.ever.len() < 3 * self.most_topics
    }

    fn topics(&self) -> RwLockReadGuard<'_, Handles> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a record over. `topic` is one of this client's.
    pub(super) fn send(&self, topic: &TopicHandle, record: &Record, partition: u32, ticket: Ticket) {
        let timestamp = match self.producer.context().embedded {
            // Told again with the report, see there.
            true => ticket.timestamp(),
            false => record.timestamp,
        };
        let sent = librdkafka::produce(&self.producer, topic, partition, record, timestamp, ticket);
        if let Err((refused, ticket)) = sent {
            ticket.complete(delivery_error::of_refusal(refused, &record.topic));
        }
    }

    pub(super) fn metadata(&self, topic: &str, timeout: Duration) -> Result<Vec<PartitionInfo>, MetadataError> {
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

    /// Drops the handle of a topic that nobody sends to.
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
            // The cluster's id is remembered, so it tells only whether there ever was an answer.
            (None, Health::Starting) => client.fetch_cluster_id(timeout).is_some(),
            (topic, _) => client.fetch_metadata(topic, timeout).is_ok(),
        };
        if answered {
            self.producer.context().up();
        }
    }

    pub(super) fn flush(&self, timeout: Duration) -> bool {
        librdkafka::flush(&self.producer, timeout)
    }

    pub(super) fn purge(&self) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
        // The reports of what was purged are in the queue now; hand them out before returning.
        let deadline = Instant::now() + PURGE_WAIT;
        while self.outstanding() > 0 && Instant::now() < deadline {
            self.poll(Duration::from_millis(10));
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

/// What librdkafka calls back into.
struct Context {
    /// The mock broker reports a made-up append time (1234) for every record, but keeps the time that was sent: with it,
    /// that one is told.
    embedded: bool,
    /// Whether `health` says so: it is asked with each acknowledgement.
    is_up: AtomicBool,
    health: Mutex<Health>,
    /// Records whose outcome waits for those of their batch.
    refused: Refused,
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
        // A panic here would unwind through the polling thread and silence every later acknowledgement. The ticket answers
        // `unknown` when it is dropped by the unwinding.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            match result {
                Ok(message) => {
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
                    let persisted_no = librdkafka::persisted(message) == librdkafka::Persisted::No;
                    if persisted_no && delivery_error::is_for_content(code) {
                        return self.refused.push(code, ticket);
                    }
                    ticket.complete(delivery_error::of_report(code, persisted_no, message.topic()));
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

    /// The names of the threads that have ended a client.
    pub(crate) static ENDED_BY: Mutex<Vec<String>> = Mutex::new(Vec::new());
}
