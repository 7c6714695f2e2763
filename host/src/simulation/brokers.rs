//! Simulates the brokers and the client library in one: a record waits in its partition's queue until a step decides
//! about it.

use std::{
    collections::VecDeque,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use fastrand::Rng;

use super::PARTITIONS;
use crate::{
    base::{
        outcome::{Ack, Code, Outcome, RecordError},
        record::Record,
    },
    produce::{Health, MetadataError, Producer, Sender, batch::Ticket},
    topic::PartitionInfo,
};

/// A bug that is planted on purpose, to see that the checker finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    /// A record that is tried again goes behind the records that came after it.
    RetryOutOfTurn,
    /// A record is `acked` as soon as it is taken.
    AckBeforeDelivery,
    /// A record gets two outcomes.
    DoubleOutcome,
    /// Records of a request that began before a fatal error are taken after it.
    GenerationMixed,
    /// A request that an older table resolved gets room by it.
    NoFence,
    /// A hold is clear although records on the old partition have no outcome.
    ClearBeforeOutcomes,
    /// A record whose outcome is `unknown` counts as one that cannot be written any more.
    UnknownIsDefinite,
    /// Part of a request keeps the partitions that an older table gave it.
    PartByOlderTable,
    /// What is under way on a partition is forgotten with its topic.
    LanesForgotten,
}

/// A record in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) key: Option<Bytes>,
    pub(super) value: Bytes,
    pub(super) generation: u32,
}

/// The simulated brokers, with the client library before them.
pub(super) struct Brokers {
    state: Mutex<State>,
    /// The bug that is planted, if any.
    bug: Option<Bug>,
}

/// What changes with each step.
struct State {
    rng: Rng,
    /// The generation of the current client.
    generation: u32,
    /// How many steps are left until there is a client again after a fatal error.
    renewing: usize,
    partitions: Vec<Partition>,
    /// How many fatal errors there were.
    fatal_errors: usize,
}

/// One partition: what is on its way to it, and what is written.
#[derive(Default)]
struct Partition {
    /// Records on their way, in the order sent.
    queue: VecDeque<Sent>,
    log: Vec<Written>,
    /// For how many more steps the partition answers nothing.
    stalled: usize,
    /// Records whose outcome is `unknown` and that may still be written, but only before the next one is: the broker checks
    /// sequence numbers.
    late: VecDeque<Sent>,
}

/// A record on its way.
struct Sent {
    /// Gets the outcome. None after an early acknowledgement, which is a planted bug.
    ticket: Option<Ticket>,
    key: Option<Bytes>,
    value: Bytes,
    generation: u32,
    /// The record's offset, if it is in the log already and only its answer was lost.
    written: Option<i64>,
}

type Answers = Vec<(Ticket, Outcome)>;

impl Brokers {
    pub(super) fn new(rng: Rng, bug: Option<Bug>) -> Self {
        let partitions = (0..PARTITIONS).map(|_| Partition::default()).collect();
        Self {
            state: Mutex::new(State {
                rng,
                generation: 1,
                renewing: 0,
                partitions,
                fatal_errors: 0,
            }),
            bug,
        }
    }

    /// The written records of each partition.
    pub(super) fn log(&self) -> Vec<Vec<Written>> {
        self.state()
            .partitions
            .iter()
            .map(|partition| partition.log.clone())
            .collect()
    }

    /// How many records are written in a partition.
    pub(super) fn written(&self, partition: u32) -> usize {
        self.state().partitions[partition as usize].log.len()
    }

    pub(super) fn fatal_errors(&self) -> usize {
        self.state().fatal_errors
    }

    /// Lets one thing happen: a delivery, a loss, a stall, an error.
    pub(super) fn step(&self) {
        let mut state = self.state();
        let answers = state.step(self.bug);
        drop(state);
        for (ticket, outcome) in answers {
            if self.bug == Some(Bug::DoubleOutcome) {
                ticket.planted_double().complete(outcome.clone());
            }
            ticket.complete(outcome);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn step(&mut self, bug: Option<Bug>) -> Answers {
        if self.renewing > 0 {
            self.renewing -= 1;
            self.generation += u32::from(self.renewing == 0);
            return Vec::new();
        }
        let mut answers = Vec::new();
        let number = self.rng.usize(0..self.partitions.len());
        let partition = &mut self.partitions[number];
        if partition.stalled > 0 {
            partition.stalled -= 1;
            return answers;
        }
        match self.rng.u8(0..100) {
            0 => return self.fatal(),
            1..=4 => partition.stalled = self.rng.usize(0..80),
            5..=12 => partition.lose_an_answer(bug),
            13..=14 => partition.write_late(),
            15..=18 => answers.extend(partition.time_out(self.rng.u8(0..3))),
            19..=22 => answers.extend(partition.refuse()),
            _ => {
                for _ in 0..self.rng.usize(1..6) {
                    answers.extend(partition.deliver(number as u32));
                }
            }
        }
        answers
    }

    /// A fatal error. Some of the records on their way are still written, in order, and some of those are still
    /// answered. The rest was never sent.
    fn fatal(&mut self) -> Answers {
        let mut answers = Vec::new();
        for (number, partition) in self.partitions.iter_mut().enumerate() {
            if self.rng.bool() {
                partition.write_late();
            }
            partition.late.clear();
            for _ in 0..self.rng.usize(0..3) {
                answers.extend(partition.deliver(number as u32));
            }
            let mut under_way = self.rng.usize(0..4);
            for mut sent in mem::take(&mut partition.queue) {
                let may_be_there = sent.written.is_some() || under_way > 0;
                if under_way > 0 && self.rng.bool() {
                    partition.write(&mut sent);
                } else {
                    under_way = 0;
                }
                under_way = under_way.saturating_sub(1);
                let outcome = match may_be_there {
                    true => unknown(Code::ProducerFatal),
                    false => failed(Code::NotQueued),
                };
                answers.extend(sent.ticket.map(|ticket| (ticket, outcome)));
            }
        }
        self.fatal_errors += 1;
        self.renewing = self.rng.usize(1..6);
        answers
    }
}

impl Partition {
    fn write(&mut self, sent: &mut Sent) -> Option<i64> {
        if sent.written.is_some() {
            // The broker knows the record's sequence: it writes nothing, and does not tell the offset.
            return None;
        }
        let offset = self.log.len() as i64;
        self.log.push(Written {
            key: sent.key.clone(),
            value: sent.value.clone(),
            generation: sent.generation,
        });
        sent.written = Some(offset);
        Some(offset)
    }

    /// Writes what was given up long ago.
    fn write_late(&mut self) {
        for mut sent in mem::take(&mut self.late) {
            self.write(&mut sent);
        }
    }

    fn deliver(&mut self, number: u32) -> Option<(Ticket, Outcome)> {
        let mut sent = self.queue.pop_front()?;
        // In the order of their sequence numbers.
        self.write_late();
        let offset = self.write(&mut sent);
        let outcome = Outcome::Acked(Ack {
            partition: number,
            offset,
            timestamp: None,
        });
        Some((sent.ticket?, outcome))
    }

    /// The first record is written, but its answer is lost, so it is tried again.
    fn lose_an_answer(&mut self, bug: Option<Bug>) {
        let Some(mut sent) = self.queue.pop_front() else {
            return;
        };
        self.write_late();
        if bug == Some(Bug::RetryOutOfTurn) {
            self.queue.push_back(sent);
            return;
        }
        self.write(&mut sent);
        self.queue.push_front(sent);
    }

    /// Gives up the first record: it is written, is not, or may be later.
    fn time_out(&mut self, written: u8) -> Option<(Ticket, Outcome)> {
        let mut sent = self.queue.pop_front()?;
        let ticket = sent.ticket.take()?;
        match written {
            0 => {}
            1 => {
                self.write_late();
                self.write(&mut sent);
            }
            _ => self.late.push_back(sent),
        }
        Some((ticket, unknown(Code::TimedOut)))
    }

    /// Refuses the first record. It must certainly not be written, so it must not have been sent yet.
    fn refuse(&mut self) -> Option<(Ticket, Outcome)> {
        if self.queue.front()?.written.is_some() {
            return None;
        }
        let sent = self.queue.pop_front()?;
        Some((sent.ticket?, failed(Code::NotQueued)))
    }
}

fn failed(code: Code) -> Outcome {
    Outcome::Failed(RecordError::new(code, "as drawn"))
}

fn unknown(code: Code) -> Outcome {
    Outcome::Unknown(RecordError::new(code, "as drawn"))
}

/// A sender for requests that began in this generation.
struct OfGeneration<'a> {
    brokers: &'a Brokers,
    generation: u32,
}

impl Sender for OfGeneration<'_> {
    fn send(&mut self, record: Record, partition: u32, ticket: Ticket) {
        let record = &record;
        let mut state = self.brokers.state();
        let may_mix = self.brokers.bug == Some(Bug::GenerationMixed);
        if (state.renewing > 0 || state.generation != self.generation) && !may_mix {
            drop(state);
            return ticket.complete(failed(Code::GenerationChanged));
        }
        let mut sent = Sent {
            ticket: Some(ticket),
            key: record.key.clone(),
            value: record.value.clone().expect("a value"),
            generation: state.generation,
            written: None,
        };
        let queue = &mut state.partitions[partition as usize];
        let offset = queue.log.len() + queue.queue.len();
        let early = match self.brokers.bug {
            Some(Bug::AckBeforeDelivery) => sent.ticket.take(),
            _ => None,
        };
        queue.queue.push_back(sent);
        drop(state);
        if let Some(ticket) = early {
            ticket.complete(Outcome::Acked(Ack {
                partition,
                offset: Some(offset as i64),
                timestamp: None,
            }));
        }
    }
}

impl Producer for Brokers {
    fn generation(&self) -> u32 {
        self.state().generation
    }

    fn sender(&self, generation: u32) -> Box<dyn Sender + '_> {
        Box::new(OfGeneration {
            brokers: self,
            generation,
        })
    }

    fn metadata(&self, _topic: &str, _timeout: Duration) -> Result<Vec<PartitionInfo>, MetadataError> {
        Ok(vec![PartitionInfo { has_leader: true }; PARTITIONS as usize])
    }

    fn probe(&self, _topic: Option<&str>, _timeout: Duration) {}

    fn flush(&self, _timeout: Duration) -> bool {
        self.state()
            .partitions
            .iter()
            .all(|partition| partition.queue.is_empty())
    }

    fn purge(&self) {
        let mut state = self.state();
        let mut answers = Vec::new();
        for partition in &mut state.partitions {
            for sent in mem::take(&mut partition.queue) {
                let outcome = match sent.written {
                    Some(_) => unknown(Code::DrainExpired),
                    None => failed(Code::NotQueued),
                };
                answers.extend(sent.ticket.map(|ticket| (ticket, outcome)));
            }
        }
        drop(state);
        for (ticket, outcome) in answers {
            ticket.complete(outcome);
        }
    }

    fn health(&self) -> Health {
        match self.state().renewing {
            0 => Health::Up,
            _ => Health::Renewing("a fatal error".to_owned()),
        }
    }
}
