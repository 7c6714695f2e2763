//! A producer that keeps records in memory: for tests and benchmarks of everything but the brokers.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{Health, MetadataError, Producer, Sender};
use crate::{
    base::{
        outcome::{Ack, Code, Outcome, RecordError},
        record::Record,
    },
    produce::batch::Ticket,
    topic::PartitionInfo,
};

/// The outcome that a test plans for a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlannedOutcome {
    /// The record is written and acknowledged.
    Acked,
    /// The record is not written, and the producer knows that.
    Failed,
    /// The producer does not know whether the record is written.
    Unknown {
        /// Whether the record is really written.
        written: bool,
    },
}

/// Plans the outcome of a record. The number counts all records that were sent, from 0.
type Decide = Box<dyn FnMut(usize, &Record) -> PlannedOutcome + Send>;

/// A producer in memory. It acknowledges every record at once, unless a test plans another outcome or holds the answers.
#[derive(Default)]
pub struct MemoryProducer {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Known topics, with their number of partitions.
    topics: HashMap<String, u32>,
    /// Topics that the principal may not use.
    forbidden: HashSet<String>,
    /// Written records with their partitions, in order.
    log: Vec<(u32, Record)>,
    /// The next offset of each topic and partition.
    offsets: HashMap<(String, u32), i64>,
    /// Answers that wait; `None` while none are held.
    held: Option<Vec<(Ticket, Outcome)>>,
    /// The only partition whose answers are held; `None` for all partitions.
    held_partition: Option<u32>,
    /// Number of records sent so far.
    sent: usize,
    decide: Option<Decide>,
}

impl MemoryProducer {
    /// Makes a topic known.
    pub fn create_topic(&self, name: &str, partitions: u32) {
        self.state().topics.insert(name.to_owned(), partitions);
    }

    /// Makes a topic one that this principal may not use.
    pub fn forbid_topic(&self, name: &str) {
        self.state().forbidden.insert(name.to_owned());
    }

    /// From now on, `decide` plans the outcome of each record.
    pub fn decide(&self, decide: impl FnMut(usize, &Record) -> PlannedOutcome + Send + 'static) {
        self.state().decide = Some(Box::new(decide));
    }

    /// From now on, answers wait for [`Self::release`].
    pub fn hold(&self) {
        self.state().held.get_or_insert_default();
    }

    /// From now on, answers about one partition wait for [`Self::release`].
    pub fn hold_partition(&self, partition: u32) {
        self.hold();
        self.state().held_partition = Some(partition);
    }

    /// Gives the answers that were held.
    pub fn release(&self) {
        let held = self.state().held.take();
        for (ticket, outcome) in held.unwrap_or_default() {
            ticket.complete(outcome);
        }
    }

    /// The written records with their partitions, in order.
    pub fn log(&self) -> Vec<(u32, Record)> {
        self.state().log.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn write(&mut self, record: &Record, partition: u32) -> Ack {
        let offset = self.offsets.entry((record.topic.to_string(), partition)).or_default();
        let ack = Ack {
            partition,
            offset: Some(*offset),
            timestamp: record.timestamp,
        };
        *offset += 1;
        self.log.push((partition, record.clone()));
        ack
    }

    fn outcome(&mut self, record: &Record, partition: u32) -> Outcome {
        let number = self.sent;
        self.sent += 1;
        let planned = self
            .decide
            .as_mut()
            .map_or(PlannedOutcome::Acked, |decide| decide(number, record));
        match planned {
            PlannedOutcome::Acked => Outcome::Acked(self.write(record, partition)),
            PlannedOutcome::Failed => Outcome::Failed(RecordError::new(Code::NotQueued, "as decided")),
            PlannedOutcome::Unknown { written } => {
                if written {
                    self.write(record, partition);
                }
                Outcome::Unknown(RecordError::new(Code::TimedOut, "as decided"))
            }
        }
    }
}

impl Sender for &MemoryProducer {
    fn send(&mut self, record: Record, partition: u32, ticket: Ticket) {
        let record = &record;
        let mut state = self.state();
        let outcome = state.outcome(record, partition);
        let waits = state.held_partition.is_none_or(|held| held == partition);
        match &mut state.held {
            Some(held) if waits => held.push((ticket, outcome)),
            _ => {
                drop(state);
                ticket.complete(outcome);
            }
        }
    }
}

impl Producer for MemoryProducer {
    fn generation(&self) -> u32 {
        1
    }

    fn sender(&self, _generation: u32) -> Box<dyn Sender + '_> {
        Box::new(self)
    }

    fn metadata(&self, topic: &str, _timeout: Duration) -> Result<Vec<PartitionInfo>, MetadataError> {
        let state = self.state();
        if state.forbidden.contains(topic) {
            return Err(MetadataError::Unauthorized);
        }
        let partitions = *state.topics.get(topic).ok_or(MetadataError::UnknownTopic)?;
        Ok(vec![PartitionInfo { has_leader: true }; partitions as usize])
    }

    fn probe(&self, _topic: Option<&str>, _timeout: Duration) {}

    fn flush(&self, _timeout: Duration) -> bool {
        self.state().held.as_ref().is_none_or(Vec::is_empty)
    }

    fn purge(&self) {
        let held = self.state().held.take();
        for (ticket, _) in held.unwrap_or_default() {
            ticket.complete(Outcome::Unknown(RecordError::new(
                Code::DrainExpired,
                "given up while it was held",
            )));
        }
    }

    fn health(&self) -> Health {
        Health::Up
    }
}
