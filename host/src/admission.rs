//! Limits what clients make the process hold: bytes, records, and each partition's share of the producer's queue. A request
//! for which there is no room in time is answered with 503, and nothing of it is sent.
//!
//! | limit | what it limits |
//! |---|---|
//! | `limits.max_buffered_bytes` | all memory of requests and queued records |
//! | 7/8 of that | the same, when a large body needs more: complete requests must always find room for their records and replies |
//! | 15/16 of that | the same, when a complete request needs much more |
//! | half of that | bodies that are being read, and incomplete lines of streams |
//! | an eighth more | the same, when a small body needs more: large bodies must leave room for small ones |
//! | [`Admission::most_for_request`] | all memory of one request |
//! | [`Admission::queue_records`] | records that are handed over and not yet answered; a part is reserved for requests of few records |
//! | [`PartitionQuota`] | one partition's share of the producer's queue: as much as is free, so that a partition whose broker does not answer leaves room for the others, however many such partitions there are |
//! | a quarter of the bytes | requests that wait for a partition with a full quota |
//!
//! The memory of a request, from the first byte of its body to the last byte of its reply, is a [`Reservation`]: the body as it
//! arrives ([`Room`]), what parsing makes of it, a slot for each record, and the reply. A body that makes no progress while
//! others need its room [gives way](Room::gives_way).

mod gate;
mod line;
mod partition_quota;
mod readers;
mod reservation;
mod room;
mod waiting;
mod wants;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use self::{
    gate::Gate,
    wants::{Bounds, SPARE_RECORDS, Wants},
};
pub use self::{
    gate::{Busy, NotTaken},
    partition_quota::{PartitionLoad, PartitionQuota},
    readers::Standing,
    reservation::Reservation,
    room::Room,
    wants::{ByTable, SMALL},
};
use crate::config::Limits;

/// How many records the producer holds for one partition if no other partition has any: half of its whole queue. librdkafka was
/// faster and took less CPU time with a queue of this size than with one ten times as long.
const QUEUE_RECORDS: usize = 20_000;

/// The limits that all requests share.
#[derive(Debug)]
pub struct Admission {
    /// Counts what is taken.
    gate: Arc<Gate>,
    /// How long a request may wait for room.
    max_wait: Duration,
    /// `limits.max_buffered_bytes`.
    bytes: usize,
}

impl Admission {
    /// Nothing is taken yet.
    pub fn new(limits: &Limits) -> Self {
        let bytes = limits.max_buffered_bytes;
        Self {
            gate: Arc::new(Gate::new(Bounds::of(bytes, Self::queue_records(limits)))),
            max_wait: limits.max_wait(),
            bytes,
        }
    }

    /// How many records the producer's queue must hold, so that the largest request finds room even when another partition has
    /// used up its quota.
    pub fn queue_records(limits: &Limits) -> usize {
        QUEUE_RECORDS.max(limits.max_records) * 2 + SPARE_RECORDS
    }

    /// Bytes that requests and queued records take now.
    pub fn buffered(&self) -> usize {
        self.gate.bytes()
    }

    /// Number of records that are in the producer's queue, or about to be handed over.
    pub fn queued_records(&self) -> usize {
        self.gate.records()
    }

    /// Bytes of the records that are in the producer's queue, or about to be handed over.
    pub fn queued_bytes(&self) -> usize {
        self.gate.queued()
    }

    /// The most that one request may take, bytes. The rest is for its records in the producer's queue.
    pub fn most_for_request(&self) -> usize {
        self.bytes / 4 * 3
    }

    /// How many bytes a complete request may take now without overtaking requests that wait.
    pub fn free(&self) -> usize {
        self.gate.free()
    }

    /// Waits for room in the producer's queue for a request's records. The request gives back the room of its body in exchange.
    /// [`Admission::release`] gives the records' room back, one by one.
    ///
    /// `by_table`: the table of tenants that the loads come from. If it is held, there is no room before another table comes.
    /// `begun`: when the request began to wait.
    pub async fn queue(
        &self,
        loads: Vec<PartitionLoad>,
        body: &mut Option<Reservation>,
        by_table: ByTable,
        begun: Instant,
    ) -> Result<Queued, NotTaken> {
        let wants = Wants::queue(loads, body.as_ref().map_or(0, Reservation::bytes), by_table);
        let patience = self.max_wait.saturating_sub(begun.elapsed());
        let taken = self.gate.take(wants, patience).await.map_err(|error| match error {
            NotTaken::Busy(busy) if !busy.waited.is_zero() => NotTaken::Busy(Busy {
                waited: begun.elapsed(),
                ..busy
            }),
            error => error,
        })?;
        *body = None;
        Ok(Queued {
            gate: Arc::clone(&self.gate),
            fence: taken.fence,
            loads: taken.wants.into_loads(),
        })
    }

    /// Like [`Admission::queue`], for a request without tenants.
    #[cfg(test)]
    pub(crate) async fn queue_without_tenants(
        &self,
        loads: Vec<PartitionLoad>,
        body: &mut Option<Reservation>,
    ) -> Result<Queued, Busy> {
        let queued = self.queue(loads, body, ByTable::default(), Instant::now()).await;
        queued.map_err(|error| match error {
            NotTaken::Busy(busy) => busy,
            NotTaken::Outdated => unreachable!("no table decides"),
        })
    }

    /// Gives back the room that [`Admission::queue`] took for one record. `fence`: what [`Queued::hand_on`] returned.
    pub fn release(&self, fence: u64, quota: &PartitionQuota, bytes: usize) {
        self.gate.release(fence, quota, 1, bytes);
    }

    /// Sends back all requests that were resolved by a table of tenants before this version and have no room yet. Those that
    /// come later are sent back, too. Returns the number of the last fence: whoever gets room from now on has it by this
    /// version, or belongs to a later fence.
    pub fn fence(&self, version: u64) -> u64 {
        self.gate.fence(version)
    }

    /// From now on counts apart what gets room in this partition. Returns the number of the fence between both; `None` if
    /// records from before an earlier mark are still there. Then
    /// [`PartitionQuota::records_before_mark`] says how many there are from before the fence.
    pub fn mark(&self, quota: &PartitionQuota) -> Option<u64> {
        self.gate.mark(quota)
    }

    /// An empty reservation, which grows with what the request takes.
    pub fn reservation(&self) -> Reservation {
        Reservation::none(&self.gate, self.max_wait)
    }

    /// An empty room, which grows as the body arrives.
    pub fn body(&self) -> Room {
        Room::new(self.reservation())
    }

    /// Takes room without waiting, for bytes that are already in memory.
    pub fn at_once(&self, bytes: usize) -> Result<Reservation, Busy> {
        self.gate.take_at_once(bytes)?;
        let mut reservation = self.reservation();
        reservation.add(bytes);
        Ok(reservation)
    }

    /// Watches the progress of a reply of so many bytes. It must give way if the client does not read it while others need its
    /// room.
    pub fn standing(&self, bytes: usize) -> Standing {
        Standing::new(self.gate.readers(), bytes)
    }

    /// Waits for something other than room, for as long as a request may wait for room. `None` if that is not long enough.
    pub async fn in_time<T>(&self, waiting: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(self.max_wait, waiting).await.ok()
    }
}

/// Room in the producer's queue for the records of one request. Given back on drop, unless the records are handed on.
#[derive(Debug)]
pub struct Queued {
    gate: Arc<Gate>,
    /// The fence that it was taken after.
    fence: u64,
    loads: Vec<PartitionLoad>,
}

impl Queued {
    /// Keeps the room: from here on, it is given back record by record, with [`Admission::release`], which needs the number
    /// that is returned.
    pub fn hand_on(mut self) -> u64 {
        self.loads.clear();
        self.fence
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        for load in &self.loads {
            self.gate.release(self.fence, &load.quota, load.records, load.bytes);
        }
    }
}

#[cfg(test)]
mod tests;
