//! The real producer: librdkafka through rust-rdkafka's `BaseProducer`, in one or more clients side by side.
//!
//! rust-rdkafka's `FutureProducer` is not used: on a full queue it sleeps and tries again by itself, which reorders concurrent
//! sends. Here a full queue is an error of the record. It does not happen, because admission keeps the queue below
//! librdkafka's limits.
//!
//! Records of a request are collected by partition, and wait for their partition's turn ([`turns`]) in a queue of its own. The
//! clients of a generation ([`clients`]) are one producer to everybody else.
//!
//! A client that met a fatal error takes no more records. The thread of delivery reports then answers the outstanding records,
//! makes new clients and raises the generation. The process is not restarted, and no record is sent again by itself. Until
//! the new clients are ready, records are refused.
//!
//! librdkafka keeps some memory for each topic that a client ever sent to, until the client ends. So when a client has sent to
//! twice as many topics as are known at once, new clients replace all at a moment when no record is outstanding. No record is
//! refused for that.

mod client;
mod clients;
mod config;
mod generations;
mod more;
mod parts;
mod refused;
mod slots;
mod turns;

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use rdkafka::ClientConfig;

pub use self::config::{Options, client_config};
use self::{
    generations::{Generation, Generations, POLL},
    parts::{Parts, Waiting},
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
    /// Makes the producer, which connects to the brokers in the background.
    pub fn new(config: &ClientConfig, options: Options) -> anyhow::Result<Self> {
        let generations = Arc::new(Generations::new(config, options)?);
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
    /// The records that are not handed over yet, by topic.
    parts: Vec<Parts>,
    /// The topic of the last record: nearly all requests have only one.
    last: usize,
    /// `None` if the generation is over. A client that meets a fatal error later refuses records itself.
    current: Option<Arc<Generation>>,
}

impl Sender for KafkaSender {
    fn send(&mut self, record: Record, partition: u32, ticket: Ticket) {
        let Some(current) = &self.current else {
            return ticket.complete(Outcome::Failed(delivery_error::generation_changed()));
        };
        let is_same = |parts: &Parts| Arc::ptr_eq(&parts.topic.name, &record.topic) || parts.topic.name == record.topic;
        if !self.parts.get(self.last).is_some_and(is_same) {
            self.last = self.parts.iter().position(is_same).unwrap_or_else(|| {
                self.parts.push(Parts::new(current.clients().topic(&record.topic)));
                self.parts.len() - 1
            });
        }
        self.parts[self.last].push(partition, Waiting { record, ticket });
    }

    fn hand_over(&mut self) {
        if let Some(current) = &self.current {
            self.parts
                .iter_mut()
                .for_each(|parts| current.clients().hand_over(parts));
        }
    }
}

impl Producer for KafkaProducer {
    fn generation(&self) -> u32 {
        self.generations.number()
    }

    fn sender(&self, generation: u32) -> Box<dyn Sender + '_> {
        let current = self.current().filter(|current| current.number() == generation);
        Box::new(KafkaSender {
            parts: Vec::new(),
            last: 0,
            current,
        })
    }

    fn metadata(&self, topic: &str, timeout: Duration) -> Result<Vec<PartitionInfo>, MetadataError> {
        match self.current() {
            Some(current) => current.clients().metadata(topic, timeout),
            None => Err(MetadataError::Unavailable("the producer is being renewed".to_owned())),
        }
    }

    fn settings(&self, topics: &[Arc<str>], timeout: Duration) -> Vec<Result<TopicSettings, NoSettings>> {
        match self.current() {
            Some(current) => current.clients().settings(topics, timeout),
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
            .is_none_or(|current| current.clients().has_room_for(topic))
    }

    fn clients(&self) -> usize {
        self.current().map_or(0, |current| current.clients().count())
    }

    fn forget(&self, topic: &str) {
        if let Some(current) = self.current() {
            current.clients().forget(topic);
        }
    }

    fn probe(&self, topic: Option<&str>, timeout: Duration) {
        if let Some(current) = self.current() {
            current.clients().probe(topic, timeout);
        }
    }

    fn flush(&self, timeout: Duration) -> bool {
        match self.current() {
            Some(current) => current.clients().flush(timeout),
            None => {
                thread::sleep(timeout.min(POLL));
                false
            }
        }
    }

    fn purge(&self) {
        if let Some(current) = self.current() {
            current.clients().purge();
        }
    }

    fn health(&self) -> Health {
        match self.current() {
            Some(current) => current.clients().health(),
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
