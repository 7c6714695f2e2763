//! The records of one request between "decided" and "answered".
//!
//! A [`Batch`] has one slot for each record. Each record that goes to the producer carries a [`Ticket`]; whatever
//! happens to it ends in [`Ticket::complete`], or in its drop, so that a slot is filled exactly once. When the last slot
//! is filled, [`Batch::done`] returns. The batch lives as long as its last ticket: a client that goes away changes nothing.
//!
//! The room that a record has in the producer's queue is given back with its outcome, not with the last one of its request: a
//! record that waits for one partition must not hold the room of those for others.

use std::{
    ptr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::sync::Notify;

use crate::{
    admission::{Admission, PartitionQuota, Reservation},
    base::{
        clock::now_ms,
        metrics::Metrics,
        outcome::{Code, Kind, Outcome, RecordError},
    },
    topic::{Destination, Topic, TopicView},
};

/// Of a request's records the first one is timed, and one in so many: the clock and the histogram cost more than all else that
/// is done for a delivery report.
const TIMED_ONE_IN: usize = 16;

/// What a record's slot takes.
pub const SLOT_BYTES: usize = size_of::<Slot>();

/// Whether somebody waits for the outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckMode {
    /// `ack=all`: the reply carries every outcome.
    Waited,
    /// `ack=none`: what is lost after the hand-over is only counted.
    Unwaited,
    /// A stream: each outcome is told as soon as it can be.
    Streamed,
}

/// What a batch is for.
#[derive(Debug)]
pub struct Purpose {
    /// The producer's, when the hand-over began: a request never spans two.
    pub generation: u32,
    /// Who waits.
    pub ack: AckMode,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Where room is given back.
    pub admission: Arc<Admission>,
    /// What the slots take: they are there until the last outcome is, whether or not somebody waits for it.
    pub slots: Option<Reservation>,
}

/// One request's records. See the [module](self).
#[derive(Debug)]
pub struct Batch {
    slots: Box<[Slot]>,
    topics: Vec<TopicView>,
    purpose: Purpose,
    /// Unfilled slots, and one for the hand-over itself.
    open: AtomicUsize,
    /// Rung once, by whoever fills the last slot; for a stream, by whoever fills any.
    done: Notify,
    started: Instant,
    /// The same, as records have it.
    handed_over_ms: i64,
}

/// One record's.
#[derive(Debug)]
pub struct Slot {
    /// None: the record was refused before it got one.
    destination: Option<Destination>,
    outcome: OnceLock<Outcome>,
    /// Whether its outcome decides that a closed topic is open again.
    probe: AtomicBool,
    /// The batch that it is in: all that goes with a record through the client library is the address of its slot.
    owner: AtomicPtr<Batch>,
}

impl Slot {
    /// As `Arc::as_ptr` gives it.
    pub fn owner(&self) -> *const Batch {
        self.owner.load(Ordering::Relaxed)
    }
}

impl Batch {
    /// A batch of empty slots, for records that have room at these destinations of these topics. It is open until
    /// [`Batch::handed_over`] is called.
    pub fn new(
        destinations: impl ExactSizeIterator<Item = Option<Destination>>,
        topics: Vec<TopicView>,
        purpose: Purpose,
    ) -> Arc<Self> {
        let batch = Arc::new(Self {
            open: AtomicUsize::new(destinations.len() + 1),
            slots: destinations
                .map(|destination| Slot {
                    destination,
                    outcome: OnceLock::new(),
                    probe: AtomicBool::new(false),
                    owner: AtomicPtr::default(),
                })
                .collect(),
            topics,
            purpose,
            done: Notify::new(),
            started: Instant::now(),
            handed_over_ms: now_ms(),
        });
        for slot in &batch.slots {
            slot.owner.store(Arc::as_ptr(&batch).cast_mut(), Ordering::Relaxed);
        }
        batch
    }

    /// A record's slot.
    pub fn slot(&self, index: usize) -> &Slot {
        &self.slots[index]
    }

    /// Which record's slot this one of the batch's is.
    pub fn index_of(&self, slot: &Slot) -> usize {
        (ptr::from_ref(slot).addr() - self.slots.as_ptr().addr()) / size_of::<Slot>()
    }

    /// The producer generation that its records were handed to.
    pub fn generation(&self) -> u32 {
        self.purpose.generation
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Fills a slot whose record never got a ticket; `topic` is the one that it counts for, where that is known.
    pub fn refuse(&self, index: usize, topic: Option<&Topic>, error: RecordError) {
        let outcome = Outcome::Rejected(error);
        match topic {
            Some(topic) => topic.count(outcome.kind()),
            None => self.purpose.metrics.count_without_topic(outcome.kind()),
        }
        if let Some(destination) = self.slots[index].destination {
            self.release(destination);
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

    /// Waits until some slot was filled since the last time. For one waiter, and for [`AckMode::Streamed`] only.
    pub async fn progress(&self) {
        self.done.notified().await;
    }

    /// The outcome of a record, once it has one.
    pub fn outcome(&self, index: usize) -> Option<&Outcome> {
        self.slots[index].outcome.get()
    }

    /// The topic of a destination.
    pub fn topic(&self, destination: Destination) -> &Arc<Topic> {
        &self.topics[destination.topic as usize].topic
    }

    fn quota(&self, destination: Destination) -> &PartitionQuota {
        &self.topics[destination.topic as usize].partitions.quotas[destination.partition as usize]
    }

    fn release(&self, destination: Destination) {
        self.purpose
            .admission
            .release(self.quota(destination), destination.held as usize);
    }

    /// What the producer says of a record.
    fn complete(&self, index: usize, outcome: Outcome) {
        let Purpose {
            metrics,
            ack,
            admission,
            ..
        } = &self.purpose;
        let (slot, kind) = (&self.slots[index], outcome.kind());
        metrics.delivered(kind);
        if index.is_multiple_of(TIMED_ONE_IN) {
            metrics.ack_seconds.observe(self.started.elapsed().as_secs_f64());
        }
        if *ack == AckMode::Unwaited {
            metrics.unwaited(kind);
        }
        if let Some(destination) = slot.destination {
            let topic = self.topic(destination);
            topic.count(kind);
            let probe = slot.probe.load(Ordering::Relaxed);
            if kind == Kind::Acked {
                topic.took(destination);
            }
            if (probe || kind == Kind::Failed)
                && topic.heard(&outcome, destination, probe)
                && admission.queued_records() > 1
            {
                metrics.pause.begin();
            }
            // After all that is counted: an empty queue is the sign that everything has been.
            self.release(destination);
        }
        self.fill(index, outcome);
    }

    fn fill(&self, index: usize, outcome: Outcome) {
        let first = self.slots[index].outcome.set(outcome).is_ok();
        debug_assert!(first, "record {index} got a second outcome");
        if first {
            if self.purpose.ack == AckMode::Streamed {
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

impl Drop for Batch {
    /// Every slot is filled by now, unless the hand-over met a mistake of ours: its room must not be lost for good.
    fn drop(&mut self) {
        if *self.open.get_mut() > 0 {
            for slot in &self.slots {
                if let (Some(destination), None) = (slot.destination, slot.outcome.get()) {
                    self.release(destination);
                }
            }
        }
    }
}

/// A record's claim on its slot, carried through the producer.
#[derive(Debug)]
pub struct Ticket {
    /// None once the slot is filled.
    batch: Option<Arc<Batch>>,
    index: u32,
}

impl Ticket {
    /// A ticket for the batch's record `index`, which has a destination. `probe`: it is the one that finds out whether a closed topic
    /// can be used again.
    pub fn new(batch: &Arc<Batch>, index: usize, probe: bool) -> Self {
        debug_assert!(batch.slots[index].destination.is_some(), "record {index} has room");
        if probe {
            batch.slots[index].probe.store(true, Ordering::Relaxed);
        }
        Self::from_parts(Arc::clone(batch), index)
    }

    /// From what [`Ticket::into_parts`] gave.
    pub fn from_parts(batch: Arc<Batch>, index: usize) -> Self {
        Self {
            batch: Some(batch),
            // A request's record count is bounded far below by `limits.max_records`.
            index: index as u32,
        }
    }

    /// Its batch and its record's destination there. The slot waits until they are a ticket again.
    pub fn into_parts(mut self) -> (Arc<Batch>, usize) {
        match self.batch.take() {
            Some(batch) => (batch, self.index as usize),
            // Only `complete` and this take it, and both consume the ticket.
            None => unreachable!("a ticket is used once"),
        }
    }

    /// The record's topic, and where it goes there.
    pub fn destination(&self) -> Option<(&Arc<Topic>, Destination)> {
        let batch = self.batch.as_ref()?;
        let destination = batch.slots[self.index as usize].destination?;
        Some((batch.topic(destination), destination))
    }

    /// The record's own time, or that of its hand-over, ms since 1970.
    pub fn timestamp(&self) -> Option<i64> {
        let batch = self.batch.as_ref()?;
        let own = batch.slots[self.index as usize].destination?.timestamp;
        Some(own.unwrap_or(batch.handed_over_ms))
    }

    /// A second claim on the slot, which is a mistake: for a test that wants to see it found.
    #[cfg(test)]
    pub(crate) fn planted_double(&self) -> Self {
        Self {
            batch: self.batch.clone(),
            ..*self
        }
    }

    /// Fills the record's slot.
    pub fn complete(mut self, outcome: Outcome) {
        if let Some(batch) = self.batch.take() {
            batch.complete(self.index as usize, outcome);
        }
    }
}

impl Drop for Ticket {
    /// A record whose producer forgot it may be anywhere.
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            let lost = RecordError::new(
                Code::ProducerFatal,
                "the producer ended without a word about the record; it may or may not be written",
            );
            batch.complete(self.index as usize, Outcome::Unknown(lost));
        }
    }
}
