//! Where records go: the producer seam.
//!
//! There is ONE producer for the whole process and every thread, so that order and idempotence have one place. The
//! partition is decided before a record gets here. [`kafka::KafkaProducer`] is the real one; [`memory::MemoryProducer`]
//! keeps what it is given and lets tests decide what becomes of each record.

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

/// The seam between the pipeline and the brokers.
pub trait Producer: Send + Sync + 'static {
    /// Counts the producers that there have been, from 1: a fatal error makes a new one. Order is kept within a generation.
    fn generation(&self) -> u32;

    /// What hands over the records of one request, which began in this generation.
    fn sender(&self, generation: u32) -> Box<dyn Sender + '_>;

    /// Asks the brokers for a topic's partitions. Blocks up to `timeout`.
    fn metadata(&self, topic: &str, timeout: Duration) -> Result<Vec<PartitionInfo>, MetadataError>;

    /// Asks how these topics are configured; the error says why that is not known. Blocks up to `timeout`.
    fn settings(&self, topics: &[Arc<str>], _timeout: Duration) -> Vec<Result<TopicSettings, NoSettings>> {
        vec![Err(NoSettings::Unsupported); topics.len()]
    }

    /// How it packs records.
    fn packing(&self) -> Packing {
        Packing::default()
    }

    /// Whether a topic may be sent to that was not before: what it keeps of topics is bounded.
    fn has_room_for(&self, _topic: &str) -> bool {
        true
    }

    /// Nobody sends to this topic any more, for now: what is kept for that may go.
    fn forget(&self, _topic: &str) {}

    /// Asks whether any broker answers, for [`Producer::health`]; about a known topic if there is one, which is the
    /// cheaper question. Blocks up to `timeout`.
    fn probe(&self, topic: Option<&str>, timeout: Duration);

    /// Sends what lingers now, and waits until nothing is outstanding: false when `timeout` came first. Blocks.
    fn flush(&self, timeout: Duration) -> bool;

    /// Gives up what is outstanding: every ticket is completed, `failed` where that is certain, else `unknown`. Blocks
    /// shortly.
    fn purge(&self);

    /// How the brokers are doing.
    fn health(&self) -> Health;
}

/// The hand-over of one request's records. It may hold on to the producer of its generation, so it is not kept for long.
pub trait Sender: Send {
    /// Hands a record over, without waiting. Records handed over by one thread for one partition are written in that
    /// order. The ticket is completed exactly once: at once when the record is refused, or when the sender's generation is no
    /// longer the one of now, else by the brokers' answer.
    fn send(&mut self, record: &Record, partition: u32, ticket: Ticket);
}

/// Why a topic's partitions are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The brokers do not know it.
    #[error("the brokers do not know the topic")]
    UnknownTopic,
    /// The principal may not see or write it.
    #[error("the brokers do not let this principal use the topic")]
    Unauthorized,
    /// No answer, for now.
    #[error("{0}")]
    Unavailable(String),
}

/// Why it is not known how a topic is configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSettings {
    /// There are no brokers that could say it.
    #[error("these brokers have no settings")]
    Unsupported,
    /// No right to, or no answer.
    #[error("{0}")]
    Refused(String),
}

/// What the producer knows of the brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Nothing heard yet.
    Starting,
    /// The last thing heard was good.
    Up,
    /// No broker can be reached.
    Down(String),
    /// The producer met a fatal error, and a new one is being made.
    Renewing(String),
}
