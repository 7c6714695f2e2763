//! A producer that keeps what it is given: for tests and benchmarks of everything before the brokers.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{Health, MetadataError, PartitionInfo, Producer};
use crate::{
    batch::Ticket,
    outcome::{Ack, Code, Outcome, RecordError},
    record::Record,
};

/// Takes every record, in order, and acknowledges at once, or when told.
#[derive(Default)]
pub struct MemoryProducer {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    topics: HashMap<String, u32>,
    log: Vec<(u32, Record)>,
    offsets: HashMap<(String, u32), i64>,
    held: Option<Vec<(Ticket, Ack)>>,
}

impl MemoryProducer {
    /// Makes a topic known.
    pub fn create_topic(&self, name: &str, partitions: u32) {
        self.state().topics.insert(name.to_owned(), partitions);
    }

    /// From now on, acknowledgements wait for [`Self::release`].
    pub fn hold(&self) {
        self.state().held.get_or_insert_default();
    }

    /// Acknowledges what was held.
    pub fn release(&self) {
        let held = self.state().held.take();
        for (ticket, ack) in held.unwrap_or_default() {
            ticket.complete(Outcome::Acked(ack));
        }
    }

    /// What was sent, in order: partition and record.
    pub fn log(&self) -> Vec<(u32, Record)> {
        self.state().log.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Producer for MemoryProducer {
    fn generation(&self) -> u32 {
        1
    }

    fn send(&self, _generation: u32, record: &Record, partition: u32, ticket: Ticket) {
        let mut state = self.state();
        let offset = state.offsets.entry((record.topic.to_string(), partition)).or_default();
        let ack = Ack {
            partition,
            offset: Some(*offset),
            timestamp: record.timestamp,
        };
        *offset += 1;
        state.log.push((partition, record.clone()));
        match &mut state.held {
            Some(held) => held.push((ticket, ack)),
            None => {
                drop(state);
                ticket.complete(Outcome::Acked(ack));
            }
        }
    }

    fn metadata(&self, topic: &str, _timeout: Duration) -> Result<Vec<PartitionInfo>, MetadataError> {
        let partitions = *self.state().topics.get(topic).ok_or(MetadataError::UnknownTopic)?;
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
