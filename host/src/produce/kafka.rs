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
mod config;
mod generations;
mod refused;

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use rdkafka::ClientConfig;

pub use self::config::client_config;
use self::{
    client::Topic,
    generations::{Generation, Generations, POLL},
};
use super::{Health, MetadataError, NoSettings, Producer, Sender, delivery_error};
use crate::{
    base::{outcome::Outcome, record::Record},
    produce::batch::Ticket,
    topic::{Packing, PartitionInfo, TopicSettings},
};

/// See the [module](self).
pub struct KafkaProducer {
    generations: Arc<Generations>,
    /// The thread of delivery reports, which also renews the client. `None` only during the drop.
    thread: Option<JoinHandle<()>>,
}

impl KafkaProducer {
    /// Makes the producer, which connects to the brokers in the background. `embedded`: the broker is the one in this process.
    /// `most_topics`: how many topics are known at once.
    pub fn new(config: &ClientConfig, embedded: bool, most_topics: usize) -> anyhow::Result<Self> {
        let generations = Arc::new(Generations::new(config, embedded, most_topics)?);
        let thread = thread::Builder::new().name("delivery-reports".to_owned()).spawn({
            let generations = Arc::clone(&generations);
            move || generations.run()
        })?;
        Ok(Self {
            generations,
            thread: Some(thread),
        })
    }

    fn current(&self) -> Option<Arc<Generation>> {
        self.generations.current()
    }
}

/// See [`Producer::sender`].
struct KafkaSender {
    /// The topic of the last record: nearly all requests have only one.
    topic: Option<(Arc<str>, Arc<Topic>)>,
    /// `None` if the generation is over. A client that meets a fatal error later refuses records itself.
    // Dropped after the topic. Dropping the last reference to a client ends the client, which may block: a generation does that
    // on another thread, but a topic's handle would do it here.
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
        self.generations.number()
    }

    fn sender(&self, generation: u32) -> Box<dyn Sender + '_> {
        let current = self.current().filter(|current| current.number() == generation);
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
        config::packing(self.generations.config())
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
            None => Health::Renewing(self.generations.renewing()),
        }
    }
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        self.generations.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // Ends the client before this returns: the embedded broker must outlive it, and may be dropped next.
        self.generations.end();
    }
}

#[cfg(test)]
mod tests;
