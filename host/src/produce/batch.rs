//! The records of one request, from the decision about their partitions to the answer.
//!
//! A [`Batch`] has one slot for each record. Each record that goes to the producer carries a [`Ticket`]. Whatever happens to
//! the ticket, it ends in [`Ticket::complete`] or in its drop, so each slot is filled exactly once. When the last slot is
//! filled, [`Batch::done`] returns. The tickets keep the batch alive, so a client that goes away changes nothing.
//!
//! A record's room in the producer's queue is given back with its own outcome, not with the last outcome of the request. So a
//! record that waits for a slow partition does not keep the room of records for other partitions.

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

/// One record in so many is timed, the first of each request among them: the clock and the histogram cost more than all other
/// work on a delivery report.
const TIMED_ONE_IN: usize = 16;

/// Memory of one record's slot.
pub const SLOT_BYTES: usize = size_of::<Slot>();

/// Who waits for the outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckMode {
    /// `ack=all`: the reply carries every outcome.
    Waited,
    /// `ack=none`: nobody waits. Outcomes after the hand-over are only counted.
    Unwaited,
    /// A stream: each outcome is sent to the client as soon as it is known.
    Streamed,
}

/// What a batch belongs to, and what it uses.
#[derive(Debug)]
pub struct Purpose {
    /// The producer's generation when the hand-over began. A request never spans two generations.
    pub generation: u32,
    /// Who waits for the outcomes.
    pub ack: AckMode,
    /// Counts the outcomes.
    pub metrics: Arc<Metrics>,
    /// Takes back the records' room in the producer's queue.
    pub admission: Arc<Admission>,
    /// What [`Queued::hand_on`](crate::admission::Queued::hand_on) returned for this room.
    pub fence: u64,
    /// Memory for the slots. It is held until the last outcome, whether or not somebody waits for it.
    pub slots: Option<Reservation>,
}

/// One request's records. See the [module](self).
#[derive(Debug)]
pub struct Batch {
    /// One slot for each record. They never move, because the client library keeps their addresses.
    slots: Box<[Slot]>,
    /// The request's topics, which destinations refer to by index.
    topics: Vec<TopicView>,
    purpose: Purpose,
    /// Number of unfilled slots, plus one until the hand-over has ended.
    open: AtomicUsize,
    /// Notified when the last slot is filled; for a stream, when any slot is filled.
    done: Notify,
    /// When the hand-over began.
    started: Instant,
    /// When the hand-over began, ms since 1970.
    handed_over_ms: i64,
}

/// The place of one record in its batch.
#[derive(Debug)]
pub struct Slot {
    /// `None` if the record was refused before it got a destination.
    destination: Option<Destination>,
    outcome: OnceLock<Outcome>,
    /// Whether its outcome decides about opening a closed topic.
    probe: AtomicBool,
    /// The batch of this slot. Only the slot's address goes through the client library with the record, so the way back to the
    /// batch is here.
    owner: AtomicPtr<Batch>,
}

impl Slot {
    /// The batch of this slot, as `Arc::as_ptr` gave it.
    pub fn owner(&self) -> *const Batch {
        self.owner.load(Ordering::Relaxed)
    }
}

impl Batch {
    /// A batch of empty slots, for records that have room in the producer's queue. It cannot be done before
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

    /// The index of a slot of this batch.
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

    /// Refuses a record that never got a ticket. It counts for `topic`, if that is known.
    pub fn refuse(&self, index: usize, topic: Option<&Topic>, error: RecordError) {
        let outcome = Outcome::from(error);
        match topic {
            Some(topic) => topic.count(outcome.kind()),
            None => self.purpose.metrics.count_without_topic(outcome.kind()),
        }
        if let Some(destination) = self.slots[index].destination {
            self.release(destination);
        }
        self.fill(index, outcome);
    }

    /// Must be called once all records have been handed over or refused.
    pub fn handed_over(&self) {
        self.close_one();
    }

    /// Waits until every slot is filled. Only one task may wait.
    pub async fn done(&self) {
        self.done.notified().await;
    }

    /// Waits until another slot has been filled since the last call. Only one task may wait, and only with
    /// [`AckMode::Streamed`].
    pub async fn progress(&self) {
        self.done.notified().await;
    }

    /// The outcome of a record, if it has one yet.
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
        let Purpose { admission, fence, .. } = &self.purpose;
        admission.release(*fence, self.quota(destination), destination.held as usize);
    }

    /// Counts the outcome that the producer reported, tells the topic about it, and fills the slot.
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
            match kind {
                Kind::Acked => {
                    topic.took(destination);
                    self.quota(destination).note_acked(self.purpose.generation);
                }
                Kind::Unknown => {
                    self.quota(destination).note_unknown(self.purpose.generation);
                }
                Kind::Rejected | Kind::Failed => {}
            }
            if (probe || kind == Kind::Failed)
                && topic.heard(&outcome, destination, probe)
                && admission.queued_records() > 1
            {
                metrics.pause.begin();
            }
            // Last, because others take an empty queue as the sign that every outcome has been counted.
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
        // Release publishes this slot's outcome. Acquire lets the last one see all the others.
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }
}

impl Drop for Batch {
    /// Normally every slot is filled by now. If a bug in the hand-over left some unfilled, their room must not be lost.
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

/// The right to fill one record's slot. It goes through the producer with the record.
#[derive(Debug)]
pub struct Ticket {
    /// `None` once the slot is filled.
    batch: Option<Arc<Batch>>,
    index: u32,
}

impl Ticket {
    /// A ticket for the record `index` of the batch, which must have a destination. `probe`: the record decides about opening a
    /// closed topic.
    pub fn new(batch: &Arc<Batch>, index: usize, probe: bool) -> Self {
        debug_assert!(batch.slots[index].destination.is_some(), "record {index} has room");
        if probe {
            batch.slots[index].probe.store(true, Ordering::Relaxed);
        }
        Self::from_parts(Arc::clone(batch), index)
    }

    /// Makes a ticket from the parts that [`Ticket::into_parts`] gave.
    pub fn from_parts(batch: Arc<Batch>, index: usize) -> Self {
        Self {
            batch: Some(batch),
            // `limits.max_records` is far below 2^32.
            index: index as u32,
        }
    }

    /// Takes the ticket apart into its batch and its record's index. The slot stays unfilled until they are a ticket again.
    pub fn into_parts(mut self) -> (Arc<Batch>, usize) {
        match self.batch.take() {
            Some(batch) => (batch, self.index as usize),
            // Only `complete` and `into_parts` take it, and both consume the ticket.
            None => unreachable!("a ticket is used once"),
        }
    }

    /// The record's topic and destination.
    pub fn destination(&self) -> Option<(&Arc<Topic>, Destination)> {
        let batch = self.batch.as_ref()?;
        let destination = batch.slots[self.index as usize].destination?;
        Some((batch.topic(destination), destination))
    }

    /// The record's own time, or the time of its hand-over if it has none, ms since 1970.
    pub fn timestamp(&self) -> Option<i64> {
        let batch = self.batch.as_ref()?;
        let own = batch.slots[self.index as usize].destination?.timestamp;
        Some(own.unwrap_or(batch.handed_over_ms))
    }

    /// A second ticket for the same slot, which is an error: for a test that checks that it is found.
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
    /// The producer lost the ticket, so nobody knows whether the record is written.
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            let lost = RecordError::new(
                Code::ProducerFatal,
                "the producer ended without reporting on the record; it may or may not be written",
            );
            batch.complete(self.index as usize, Outcome::Unknown(lost));
        }
    }
}
