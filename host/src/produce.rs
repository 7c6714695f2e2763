//! The producer: it takes records with their partitions, and reports their outcomes.
//!
//! The whole process shares ONE producer, so that order and idempotence are kept in one place. The partition is decided
//! before a record gets here. [`kafka::KafkaProducer`] is the real producer; [`memory::MemoryProducer`] keeps the records in
//! memory and lets a test decide about each outcome.

pub mod batch;
pub mod delivery_error;
pub mod embedded;
pub mod kafka;
mod librdkafka;
pub mod memory;

use std::{sync::Arc, time::Duration};

use crate::{
    base::record::Record,
    produce::batch::Ticket,
    topic::{Packing, PartitionInfo, TopicSettings},
};

/// What the pipeline knows of the brokers.
pub trait Producer: Send + Sync + 'static {
    /// The current generation, counted from 1. Each new client, after a fatal error for example, begins a new generation.
    /// Order is kept within a generation only.
    fn generation(&self) -> u32;

    /// Makes a sender for the records of one request that began in this generation.
    fn sender(&self, generation: u32) -> Box<dyn Sender + '_>;

    /// Asks the brokers for a topic's partitions. Blocks up to `timeout`.
    fn metadata(&self, topic: &str, timeout: Duration) -> Result<Vec<PartitionInfo>, MetadataError>;

    /// Asks the brokers for the configuration of these topics. Blocks up to `timeout`.
    fn settings(&self, topics: &[Arc<str>], _timeout: Duration) -> Vec<Result<TopicSettings, NoSettings>> {
        vec![Err(NoSettings::Unsupported); topics.len()]
    }

    /// How the producer packs records into batches.
    fn packing(&self) -> Packing {
        Packing::default()
    }

    /// How many clients the producer has side by side.
    fn clients(&self) -> usize {
        1
    }

    /// Whether records may be sent to this topic, which may be new. The producer keeps something of each topic, and bounds
    /// how many there are.
    fn has_room_for(&self, _topic: &str) -> bool {
        true
    }

    /// Says that nobody sends to this topic for now, so the producer may drop what it keeps for sending.
    fn forget(&self, _topic: &str) {}

    /// Asks whether any broker answers, for [`Producer::health`]. To ask about a known topic is cheaper. Blocks up to
    /// `timeout`.
    fn probe(&self, topic: Option<&str>, timeout: Duration);

    /// Sends lingering records now, and waits until no record is outstanding. Returns false if `timeout` passes first. Blocks.
    fn flush(&self, timeout: Duration) -> bool;

    /// Gives up all outstanding records. Every ticket is completed: as `failed` where that is certain, else as `unknown`.
    /// Blocks for a short time.
    fn purge(&self);

    /// Whether the brokers can be reached.
    fn health(&self) -> Health;
}

/// Takes the records of one request. A sender may keep the client of its generation alive, so it must not live long.
pub trait Sender: Send {
    /// Takes a record for [`Sender::hand_over`]. Records that are sent to one partition are written in that order.
    /// The ticket is completed exactly once: at once if the record is refused or the sender's generation is over, else by the
    /// brokers' answer.
    fn send(&mut self, record: Record, partition: u32, ticket: Ticket);

    /// Hands over all records that were sent, without waiting. Must be called before the sender is dropped.
    fn hand_over(&mut self) {}
}

/// Why a topic's partitions are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The brokers do not know the topic.
    #[error("the brokers do not know the topic")]
    UnknownTopic,
    /// The principal may not see the topic, or not write to it.
    #[error("the brokers do not let this principal use the topic")]
    Unauthorized,
    /// The brokers do not answer now.
    #[error("{0}")]
    Unavailable(String),
}

/// Why a topic's configuration is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSettings {
    /// This kind of producer has no topic configuration.
    #[error("these brokers have no topic settings")]
    Unsupported,
    /// The principal may not read it, or the brokers do not answer.
    #[error("{0}")]
    Refused(String),
}

/// Whether the producer can reach the brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// No broker has answered yet.
    Starting,
    /// The last answer of a broker was good.
    Up,
    /// No broker can be reached, for this reason.
    Down(String),
    /// The client met this fatal error, and a new client is being made.
    Renewing(String),
}
