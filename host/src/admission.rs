//! Room for what clients make the process hold: bytes, records, and each partition's share of them. What does not fit in time is
//! told 503, with nothing taken.
//!
//! | bound | what it holds for |
//! |---|---|
//! | `limits.max_buffered_bytes` | everything that requests and queued records take, each at what it really takes |
//! | 7/8 of it | the same, where large bodies ask for more: what is whole must be able to become records and replies |
//! | 15/16 of it | the same, where what is whole asks for more than a little |
//! | half of it | bodies that are still being read, and lines of streams that are not whole |
//! | an eighth more | of those, the small ones: large ones must not leave them nothing |
//! | [`Admission::most_for_request`] | what one request may take in all |
//! | [`Admission::queue_records`] | records handed over and not yet answered; some of that only for requests of few records |
//! | [`PartitionQuota`] | what one partition may have of the producer's queue: as much as is free, so that one that nobody takes anything from leaves room for the others, however many there are like it |
//! | a quarter of the bytes | requests that wait for such a partition |
//!
//! What a request holds, from the first byte of its body to the last byte of its reply, is a [`Reservation`]: the body as it comes
//! ([`Room`]), what reading makes of it, a slot for each record, the reply. A body that stands still while others need its room
//! [gives way](Room::gives_way).

mod gate;
mod line;
mod partition_quota;
mod readers;
mod reservation;
mod room;
mod wants;

use std::{sync::Arc, time::Duration};

pub use self::{
    gate::Busy,
    partition_quota::{PartitionLoad, PartitionQuota},
    readers::Standing,
    reservation::Reservation,
    room::Room,
    wants::SMALL,
};
use self::{
    gate::Gate,
    wants::{Bounds, SPARE_RECORDS, Wants},
};
use crate::config::Limits;

/// Records that the producer holds at once for one partition, if no other one holds any: half of what it holds in all.
/// librdkafka was faster and cheaper with a queue of this size than with one ten times as long.
const QUEUE_RECORDS: usize = 20_000;

/// The bounds that all requests share.
#[derive(Debug)]
pub struct Admission {
    gate: Arc<Gate>,
    max_wait: Duration,
    /// `limits.max_buffered_bytes`.
    bytes: usize,
}

impl Admission {
    /// Everything free.
    pub fn new(limits: &Limits) -> Self {
        let bytes = limits.max_buffered_bytes;
        Self {
            gate: Arc::new(Gate::new(Bounds::of(bytes, Self::queue_records(limits)))),
            max_wait: limits.max_wait(),
            bytes,
        }
    }

    /// How many records the producer's queue must hold: the largest request finds room also beside some partitions that hold all
    /// that they may.
    pub fn queue_records(limits: &Limits) -> usize {
        QUEUE_RECORDS.max(limits.max_records) * 2 + SPARE_RECORDS
    }

    /// Bytes of requests and queued records now.
    pub fn buffered(&self) -> usize {
        self.gate.bytes()
    }

    /// Records in the producer's queue now, and those about to be handed over.
    pub fn queued_records(&self) -> usize {
        self.gate.records()
    }

    /// Their bytes.
    pub fn queued_bytes(&self) -> usize {
        self.gate.queued()
    }

    /// What one request may take at most: its records must find room beside it.
    pub fn most_for_request(&self) -> usize {
        self.bytes / 4 * 3
    }

    /// What may be taken now, without anybody else's turn being taken.
    pub fn free(&self) -> usize {
        self.gate.free()
    }

    /// Room for a request's records, for which it gives back what it holds for its body. [`Admission::release`] gives it back, record
    /// by record.
    pub async fn queue(&self, loads: Vec<PartitionLoad>, body: &mut Option<Reservation>) -> Result<Queued, Busy> {
        let wants = Wants::queue(loads, body.as_ref().map_or(0, Reservation::bytes));
        let wants = self.gate.take(wants, self.max_wait).await?;
        *body = None;
        Ok(Queued {
            gate: Arc::clone(&self.gate),
            loads: wants.into_loads(),
        })
    }

    /// A record that [`Admission::queue`] made room for needs it no longer.
    pub fn release(&self, quota: &PartitionQuota, bytes: usize) {
        self.gate.release(quota, 1, bytes);
    }

    /// Nothing yet: what a request holds is taken as it comes.
    pub fn reservation(&self) -> Reservation {
        Reservation::none(&self.gate, self.max_wait)
    }

    /// Nothing yet: what a body holds is taken as it comes.
    pub fn body(&self) -> Room {
        Room::new(self.reservation())
    }

    /// Room that is there at once, for what is there already.
    pub fn at_once(&self, bytes: usize) -> Result<Reservation, Busy> {
        self.gate.take_at_once(bytes)?;
        let mut held = self.reservation();
        held.add(bytes);
        Ok(held)
    }

    /// A reply of so many bytes that waits to be read: it has to give way where it stands still while others need its room.
    pub fn standing(&self, bytes: usize) -> Standing {
        Standing::new(self.gate.readers(), bytes)
    }

    /// The answer to something else that a request waits for; none when it takes longer than the wait for room may.
    pub async fn in_time<T>(&self, waiting: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(self.max_wait, waiting).await.ok()
    }
}

/// Room for a request's records that nobody has been handed yet: given back when this is dropped.
#[derive(Debug)]
pub struct Queued {
    gate: Arc<Gate>,
    loads: Vec<PartitionLoad>,
}

impl Queued {
    /// From here on, each record gives its room back by itself.
    pub fn hand_on(mut self) {
        self.loads.clear();
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        for load in &self.loads {
            self.gate.release(&load.quota, load.records, load.bytes);
        }
    }
}

#[cfg(test)]
mod tests;
