//! The records of one request between "handed over" and "answered".
//!
//! A [`Batch`] has one slot for each record. Each record that goes to the producer carries a [`Ticket`]; whatever
//! happens to it ends in [`Ticket::complete`], or in its drop, so that a slot is filled exactly once. When the last slot
//! is filled, [`Batch::done`] returns. The batch lives as long as its last ticket: a client that goes away changes nothing.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::{
    metrics::Metrics,
    outcome::{Code, Kind, Outcome, RecordError},
    topics::Topic,
};

/// What a request holds of the process's bounds until its last record has its outcome.
#[derive(Debug, Default)]
pub struct Reservation {
    /// Bytes of the body, then of the queued records.
    pub bytes: Option<OwnedSemaphorePermit>,
    /// Records of the producer's queue.
    pub records: Option<OwnedSemaphorePermit>,
}

/// Whether somebody waits for the outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// `ack=all`: the reply carries every outcome.
    Waited,
    /// `ack=none`: what is lost after the hand-over is only counted.
    Unwaited,
    /// A stream: each outcome is told as soon as it can be.
    Streamed,
}

/// One request's records. See the [module](self).
#[derive(Debug)]
pub struct Batch {
    slots: Box<[OnceLock<Outcome>]>,
    /// The producer's, when the hand-over began: a request never spans two.
    generation: u32,
    /// Unfilled slots, and one for the hand-over itself.
    open: AtomicUsize,
    /// Rung once, by whoever fills the last slot; for a stream, by whoever fills any.
    done: Notify,
    answer: Answer,
    started: Instant,
    metrics: Arc<Metrics>,
    /// Given back when the batch is dropped.
    _reservation: Reservation,
}

impl Batch {
    /// A batch of `records` empty slots. It is open until [`Batch::handed_over`] is called.
    pub fn new(
        records: usize,
        generation: u32,
        answer: Answer,
        reservation: Reservation,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            slots: (0..records).map(|_| OnceLock::new()).collect(),
            open: AtomicUsize::new(records + 1),
            done: Notify::new(),
            generation,
            answer,
            started: Instant::now(),
            metrics,
            _reservation: reservation,
        })
    }

    /// The producer generation that its records were handed to.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Fills a slot whose record never got a ticket.
    pub fn refuse(&self, index: usize, topic: Option<&Topic>, error: RecordError) {
        let outcome = Outcome::Rejected(error);
        match topic {
            Some(topic) => topic.count(outcome.kind()),
            None => self.metrics.count_without_topic(outcome.kind()),
        }
        self.fill(index, outcome);
    }

    /// The last record has been handed over or refused.
    pub fn handed_over(&self) {
        self.close_one();
    }

    /// Waits until every slot is filled. For one waiter.
    pub async fn done(&self) {
        self.done.notified().await;
    }

    /// Waits until some slot was filled since the last time. For one waiter, and for [`Answer::Streamed`] only.
    pub async fn progress(&self) {
        self.done.notified().await;
    }

    /// The outcome of a record, once it has one.
    pub fn outcome(&self, index: usize) -> Option<&Outcome> {
        self.slots[index].get()
    }

    fn fill(&self, index: usize, outcome: Outcome) {
        let first = self.slots[index].set(outcome).is_ok();
        debug_assert!(first, "record {index} got a second outcome");
        if first {
            if self.answer == Answer::Streamed {
                self.done.notify_one();
            }
            self.close_one();
        }
    }

    fn close_one(&self) {
        // Release: the slot's content; acquire by the last one: everybody's.
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }
}

/// A record's claim on its slot, carried through the producer.
#[derive(Debug)]
pub struct Ticket {
    batch: Arc<Batch>,
    index: u32,
    /// What the record adds to its partition's queued bytes.
    bytes: u64,
    queued: Arc<AtomicU64>,
    topic: Arc<Topic>,
    /// Whether its outcome decides that a closed topic is open again.
    probe: bool,
    completed: bool,
}

impl Ticket {
    /// A ticket for the batch's record `index`, which adds `bytes` to what is `queued` for its partition.
    pub fn new(batch: &Arc<Batch>, index: usize, topic: &Arc<Topic>, queued: &Arc<AtomicU64>, bytes: usize) -> Self {
        let bytes = bytes as u64;
        queued.fetch_add(bytes, Ordering::Relaxed);
        batch.metrics.queued(1, bytes as i64);
        Self {
            batch: Arc::clone(batch),
            // A request's record count is bounded far below by `limits.max_records`.
            index: index as u32,
            bytes,
            queued: Arc::clone(queued),
            topic: Arc::clone(topic),
            probe: false,
            completed: false,
        }
    }

    /// Makes it the one that finds out whether a closed topic can be used again.
    pub fn as_probe(mut self, probe: bool) -> Self {
        self.probe = probe;
        self
    }

    /// Fills the record's slot.
    pub fn complete(mut self, outcome: Outcome) {
        self.finish(outcome);
    }

    fn finish(&mut self, outcome: Outcome) {
        self.completed = true;
        self.queued.fetch_sub(self.bytes, Ordering::Relaxed);
        let batch = &self.batch;
        let kind = outcome.kind();
        batch.metrics.queued(-1, -(self.bytes as i64));
        batch.metrics.delivered(kind, batch.started.elapsed());
        if batch.answer == Answer::Unwaited {
            batch.metrics.unwaited(kind);
        }
        self.topic.count(kind);
        if self.probe || kind == Kind::Failed {
            self.topic.heard(&outcome, self.probe);
        }
        batch.fill(self.index as usize, outcome);
    }
}

impl Drop for Ticket {
    /// A record whose producer forgot it may be anywhere.
    fn drop(&mut self) {
        if !self.completed {
            self.finish(Outcome::Unknown(RecordError::new(
                Code::ProducerFatal,
                "the producer ended without a word about the record; it may or may not be written",
            )));
        }
    }
}
