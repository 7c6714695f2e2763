//! The real producer: librdkafka through rust-rdkafka's `BaseProducer`, one client after the other.
//!
//! `FutureProducer` is not used: on a full queue it sleeps and tries again by itself, which reorders concurrent sends. Here
//! a full queue is an answer (and does not happen: admission keeps the queue below librdkafka's limits).
//!
//! A client that met a fatal error takes nothing any more. Its thread then answers what is outstanding, makes a new client and
//! raises the generation: no restart of the process, and nothing is sent again by itself. In between there is no client, and
//! records are refused.
//!
//! librdkafka keeps something of each topic that was ever sent to. So when a client has sent to twice as many as are known at
//! once, another one takes over as soon as nothing is on its way: nobody is refused for that.

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

/// How long one look for delivery reports may take; how late the thread notices the end.
const POLL: Duration = Duration::from_millis(100);
/// After a fatal error: how long the answers to what is on its way are waited for before they are given up.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// What a client that takes over has to connect and to get its producer id.
const WARM_UP: Duration = Duration::from_secs(1);
/// References to a generation that nobody sends by: the thread's, and the one that hands it out.
const IDLE: usize = 2;
/// The name of threads that end a client.
const ENDING: &str = "end-of-producer";
/// Between two tries to make a new client.
const RENEW_PAUSE: Duration = Duration::from_secs(1);

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
    // As Java's client: librdkafka's own 10 s would stall everything when a connection breaks a few times in a row. Who sets only
    // the least pause may want more than that.
    if !["reconnect.backoff.ms", "reconnect.backoff.max.ms"]
        .iter()
        .any(|key| properties.contains_key(*key))
    {
        config.set("reconnect.backoff.max.ms", "1000");
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

/// librdkafka makes no batch of several records that is larger than either of these two settings says.
fn packing(config: &ClientConfig) -> Packing {
    let default = Packing::default().batch_bytes;
    let bytes = |key| config.get(key).and_then(|bytes| bytes.parse().ok()).unwrap_or(default);
    // One setting with two names.
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
    /// Hands out delivery reports, and renews the client.
    thread: Option<JoinHandle<()>>,
}

/// One client and its number.
struct Generation {
    number: u32,
    /// None only while this is dropped.
    client: Option<Client>,
}

impl Generation {
    fn client(&self) -> &Client {
        match &self.client {
            Some(client) => client,
            None => unreachable!("a generation has its client until it ends"),
        }
    }

    /// Ends the client on this thread, which may block, if nobody else holds it.
    fn end(self: Arc<Self>) {
        if let Some(mut last) = Arc::into_inner(self) {
            drop(last.client.take());
        }
    }
}

impl Drop for Generation {
    /// Ending a client takes its time with brokers that do not answer, and the last to hold it may be a worker, which never blocks:
    /// so whoever that is, a thread of its own does it.
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            let thread = thread::Builder::new().name(ENDING.to_owned());
            // Where no thread can be had it ends here and now.
            drop(thread.spawn(move || drop(client)));
        }
    }
}

/// What the thread and the producer share.
struct Generations {
    config: ClientConfig,
    embedded: bool,
    most_topics: usize,
    /// The client of now; none while it is being renewed.
    current: ArcSwapOption<Generation>,
    number: AtomicU32,
    /// Why there is no client.
    renewing: Mutex<String>,
    /// Set to end the thread.
    stop: AtomicBool,
}

impl KafkaProducer {
    /// Makes the producer; brokers are connected to in the background. `embedded`: the broker is the one in this process.
    /// `most_topics` are known at once.
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
                    // In a moment in which nothing is on its way and nobody hands anything over: so nothing is overtaken.
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

    /// A client that connects while the one before it still serves.
    fn spare(&self) -> Option<Spare> {
        let made = Client::new(&self.config, self.embedded, self.most_topics);
        let made = made.inspect_err(|error| tracing::warn!(%error, "no producer can be made to take over"));
        let since = Instant::now();
        Some(Spare {
            client: made.ok()?,
            since,
        })
    }

    /// Puts another client into service. Whoever has just taken the one before it still hands over to it, and is answered.
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
            "a new producer is in service: the one before it kept something of more topics than are known at once"
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

    /// None when the process ends meanwhile.
    fn renew(&self, old: Arc<Generation>, reason: &str) -> Option<Arc<Generation>> {
        *self.renewing.lock().unwrap_or_else(PoisonError::into_inner) = reason.to_owned();
        // From here on nothing is handed to the old client, but by who has just looked; it refuses that itself.
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
                    tracing::error!(%error, "no new producer can be made; trying again");
                    thread::sleep(RENEW_PAUSE);
                }
            }
        }
        None
    }
}

/// Ending a client may take its time with brokers that do not answer, and nobody has to wait for it.
fn end(old: Arc<Generation>) {
    let thread = thread::Builder::new().name(ENDING.to_owned());
    drop(thread.spawn(move || old.end()));
}

/// A client that is not in service yet.
struct Spare {
    client: Client,
    since: Instant,
}

/// See [`Producer::sender`].
struct KafkaSender {
    /// Of the record before: nearly all requests have one topic.
    topic: Option<(Arc<str>, Arc<TopicHandle>)>,
    /// None where its generation is over. A client that meets a fatal error after this refuses records itself.
    // After the topic, which must go before its client.
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
        // Whoever drops the producer waits for the end of its client; the embedded broker must not go before.
        if let Some(last) = self.generations.current.swap(None) {
            last.end();
        }
    }
}

#[cfg(test)]
mod tests;
