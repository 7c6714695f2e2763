//! The real producer: librdkafka through rust-rdkafka's `BaseProducer`, one client after the other.
//!
//! rust-rdkafka's `FutureProducer` is not used: on a full queue it sleeps and tries again by itself, which reorders concurrent
//! sends. Here a full queue is an error of the record. It does not happen, because admission keeps the queue below
//! librdkafka's limits.
//!
//! A client that met a fatal error takes no more records. The thread of delivery reports then answers the outstanding records,
//! makes a new client and raises the generation. The process is not restarted, and no record is sent again by itself. Until
//! the new client is ready, records are refused.
//!
//! librdkafka keeps some memory for each topic that a client ever sent to, until the client ends. So when a client has sent to
//! twice as many topics as are known at once, a new client replaces it at a moment when no record is outstanding. No record is
//! refused for that.

mod client;
mod refused;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use rdkafka::{ClientConfig, config::RDKafkaLogLevel};

use self::client::Client;
use super::{Health, MetadataError, NoSettings, Producer, Sender, delivery_error, librdkafka::TopicHandle};
use crate::{
    base::{outcome::Outcome, record::Record},
    produce::batch::Ticket,
    topic::{Packing, PartitionInfo, TopicSettings},
};

/// How long one poll for delivery reports may wait. The thread notices a stop this late.
const POLL: Duration = Duration::from_millis(100);
/// How long an old client may wait for answers to outstanding records before they are given up.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// How long a new client may take to connect and to get its producer id before it replaces the old one.
const WARM_UP: Duration = Duration::from_secs(1);
/// How many references there are to a generation that no sender uses: one of the thread, and one in `current`.
const IDLE: usize = 2;
/// The name of threads that end a client.
const ENDING: &str = "end-of-producer";
/// The pause between two tries to make a new client.
const RENEW_PAUSE: Duration = Duration::from_secs(1);

/// The largest `queue.buffering.max.kbytes` that librdkafka takes.
const MAX_QUEUE_KBYTES: usize = 2_147_483_647;

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
fn packing(config: &ClientConfig) -> Packing {
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

/// See the [module](self).
pub struct KafkaProducer {
    generations: Arc<Generations>,
    /// The thread of delivery reports, which also renews the client. `None` only during the drop.
    thread: Option<JoinHandle<()>>,
}

/// One client and its generation's number.
struct Generation {
    number: u32,
    /// `None` only during the drop.
    client: Option<Client>,
}

impl Generation {
    fn client(&self) -> &Client {
        match &self.client {
            Some(client) => client,
            None => unreachable!("a generation has its client until it ends"),
        }
    }

    /// Ends the client on this thread, which must be one that may block, unless somebody else still holds the generation.
    fn end(self: Arc<Self>) {
        if let Some(mut last) = Arc::into_inner(self) {
            drop(last.client.take());
        }
    }
}

impl Drop for Generation {
    /// Ends the client on a thread of its own. Ending blocks while brokers do not answer, and the last holder may be a worker,
    /// which must never block.
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            let thread = thread::Builder::new().name(ENDING.to_owned());
            // If no thread can be started, this drops the closure, which ends the client here.
            drop(thread.spawn(move || drop(client)));
        }
    }
}

/// What the producer shares with its thread: the current generation, and what makes the next one.
struct Generations {
    /// The settings of every client.
    config: ClientConfig,
    /// Whether the broker is the one in this process.
    embedded: bool,
    /// How many topics are known at once.
    most_topics: usize,
    /// The current generation; `None` while a new client is being made after a fatal error.
    current: ArcSwapOption<Generation>,
    /// The number of the current generation, or of the last one.
    number: AtomicU32,
    /// The last fatal error: why there is no client.
    renewing: Mutex<String>,
    /// Set to end the thread.
    stop: AtomicBool,
}

impl KafkaProducer {
    /// Makes the producer, which connects to the brokers in the background. `embedded`: the broker is the one in this process.
    /// `most_topics`: how many topics are known at once.
    pub fn new(config: &ClientConfig, embedded: bool, most_topics: usize) -> anyhow::Result<Self> {
        let first = Arc::new(Generation {
            number: 1,
            client: Some(Client::new(config, embedded, most_topics)?),
        });
        let generations = Arc::new(Generations {
            config: config.clone(),
            embedded,
            most_topics,
            current: ArcSwapOption::new(Some(Arc::clone(&first))),
            number: AtomicU32::new(1),
            renewing: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let thread = thread::Builder::new().name("delivery-reports".to_owned()).spawn({
            let generations = Arc::clone(&generations);
            move || generations.run(first)
        })?;
        Ok(Self {
            generations,
            thread: Some(thread),
        })
    }

    fn current(&self) -> Option<Arc<Generation>> {
        self.generations.current.load_full()
    }
}

impl Generations {
    fn run(&self, mut generation: Arc<Generation>) {
        let mut spare: Option<Spare> = None;
        while !self.stop.load(Ordering::Relaxed) {
            generation.client().poll(POLL);
            if let Some(reason) = generation.client().fatal() {
                match self.renew(generation, &reason) {
                    Some(next) => generation = next,
                    None => return,
                }
            } else if generation.client().is_worn() {
                match &spare {
                    None => spare = self.spare(),
                    Some(made) if made.since.elapsed() < WARM_UP => {}
                    // No record is outstanding and no sender is in use, so no record can overtake another one.
                    Some(_) if generation.client().outstanding() == 0 && Arc::strong_count(&generation) == IDLE => {
                        if let Some(made) = spare.take() {
                            generation = self.replace(generation, made.client);
                        }
                    }
                    Some(_) => {}
                }
            }
        }
    }

    /// Makes a client that connects while the old one still serves.
    fn spare(&self) -> Option<Spare> {
        let made = Client::new(&self.config, self.embedded, self.most_topics);
        let made =
            made.inspect_err(|error| tracing::warn!(%error, "cannot make the producer that is to replace the old one"));
        let since = Instant::now();
        Some(Spare {
            client: made.ok()?,
            since,
        })
    }

    /// Puts a new client into service. A sender that has just taken the old client still hands over to that one, and gets its
    /// answers.
    fn replace(&self, old: Arc<Generation>, client: Client) -> Arc<Generation> {
        let next = self.serve(old.number + 1, client);
        let deadline = Instant::now() + LAST_ANSWERS;
        let is_used = |old: &Arc<Generation>| Arc::strong_count(old) > 1 || old.client().outstanding() > 0;
        while is_used(&old) && Instant::now() < deadline && !self.stop.load(Ordering::Relaxed) {
            old.client().poll(Duration::from_millis(1));
            next.client().poll(Duration::ZERO);
        }
        tracing::info!(
            generation = next.number,
            "a new producer is in service: the old one had sent to twice as many topics as are known at once"
        );
        end(old);
        next
    }

    fn serve(&self, number: u32, client: Client) -> Arc<Generation> {
        let client = Some(client);
        let next = Arc::new(Generation { number, client });
        self.number.store(number, Ordering::Release);
        self.current.store(Some(Arc::clone(&next)));
        next
    }

    /// Makes a new client after a fatal error. `None` if the process ends meanwhile.
    fn renew(&self, old: Arc<Generation>, reason: &str) -> Option<Arc<Generation>> {
        *self.renewing.lock().unwrap_or_else(PoisonError::into_inner) = reason.to_owned();
        // From here on only a sender that has already taken the old client hands over to it, and the client refuses that.
        self.current.store(None);
        let outstanding = old.client().outstanding();
        tracing::error!(
            generation = old.number,
            reason,
            outstanding,
            "the producer met a fatal error: what is outstanding is answered, then a new producer is made"
        );
        let deadline = Instant::now() + LAST_ANSWERS;
        while old.client().outstanding() > 0 && Instant::now() < deadline && !self.stop.load(Ordering::Relaxed) {
            old.client().poll(Duration::from_millis(10));
        }
        old.client().purge();
        let number = old.number + 1;
        end(old);
        let next = self.serve(number, self.make()?);
        tracing::warn!(generation = number, "a new producer is in service");
        Some(next)
    }

    fn make(&self) -> Option<Client> {
        while !self.stop.load(Ordering::Relaxed) {
            match Client::new(&self.config, self.embedded, self.most_topics) {
                Ok(client) => return Some(client),
                Err(error) => {
                    tracing::error!(%error, "cannot make a new producer; trying again");
                    thread::sleep(RENEW_PAUSE);
                }
            }
        }
        None
    }
}

/// Ends a client on another thread, because that may block while brokers do not answer.
fn end(old: Arc<Generation>) {
    let thread = thread::Builder::new().name(ENDING.to_owned());
    drop(thread.spawn(move || old.end()));
}

/// A client that is not in service yet.
struct Spare {
    client: Client,
    /// When it was made.
    since: Instant,
}

/// See [`Producer::sender`].
struct KafkaSender {
    /// The topic of the last record: nearly all requests have only one.
    topic: Option<(Arc<str>, Arc<TopicHandle>)>,
    /// `None` if the generation is over. A client that meets a fatal error later refuses records itself.
    // Dropped after the topic, which must not outlive its client.
    current: Option<Arc<Generation>>,
}

impl Sender for KafkaSender {
    fn send(&mut self, record: &Record, partition: u32, ticket: Ticket) {
        let Some(current) = &self.current else {
            return ticket.complete(Outcome::Failed(delivery_error::generation_changed()));
        };
        let client = current.client();
        if let Some((name, topic)) = &self.topic
            && Arc::ptr_eq(name, &record.topic)
        {
            return client.send(topic, record, partition, ticket);
        }
        match client.topic(&record.topic) {
            Ok(topic) => {
                client.send(&topic, record, partition, ticket);
                self.topic = Some((Arc::clone(&record.topic), topic));
            }
            Err(error) => ticket.complete(delivery_error::of_refusal(error, &record.topic)),
        }
    }
}

impl Producer for KafkaProducer {
    fn generation(&self) -> u32 {
        self.generations.number.load(Ordering::Acquire)
    }

    fn sender(&self, generation: u32) -> Box<dyn Sender + '_> {
        let current = self.current().filter(|current| current.number == generation);
        Box::new(KafkaSender { topic: None, current })
    }

    fn metadata(&self, topic: &str, timeout: Duration) -> Result<Vec<PartitionInfo>, MetadataError> {
        match self.current() {
            Some(current) => current.client().metadata(topic, timeout),
            None => Err(MetadataError::Unavailable("the producer is being renewed".to_owned())),
        }
    }

    fn settings(&self, topics: &[Arc<str>], timeout: Duration) -> Vec<Result<TopicSettings, NoSettings>> {
        match self.current() {
            Some(current) => current.client().settings(topics, timeout),
            None => {
                let renewed = NoSettings::Refused("the producer is being renewed".to_owned());
                vec![Err(renewed); topics.len()]
            }
        }
    }

    fn packing(&self) -> Packing {
        packing(&self.generations.config)
    }

    fn has_room_for(&self, topic: &str) -> bool {
        self.current()
            .is_none_or(|current| current.client().has_room_for(topic))
    }

    fn forget(&self, topic: &str) {
        if let Some(current) = self.current() {
            current.client().forget(topic);
        }
    }

    fn probe(&self, topic: Option<&str>, timeout: Duration) {
        if let Some(current) = self.current() {
            current.client().probe(topic, timeout);
        }
    }

    fn flush(&self, timeout: Duration) -> bool {
        match self.current() {
            Some(current) => current.client().flush(timeout),
            None => {
                thread::sleep(timeout.min(POLL));
                false
            }
        }
    }

    fn purge(&self) {
        if let Some(current) = self.current() {
            current.client().purge();
        }
    }

    fn health(&self) -> Health {
        match self.current() {
            Some(current) => current.client().health(),
            None => {
                let reason = self.generations.renewing.lock().unwrap_or_else(PoisonError::into_inner);
                Health::Renewing(reason.clone())
            }
        }
    }
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        self.generations.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // Ends the client before this returns: the embedded broker must outlive it, and may be dropped next.
        if let Some(last) = self.generations.current.swap(None) {
            last.end();
        }
    }
}

#[cfg(test)]
mod tests;
