//! Room for what clients send: bytes, records, and each partition's share of them. What does not fit in time is told 503, with
//! nothing taken.
//!
//! | bound | what it holds for |
//! |---|---|
//! | `limits.max_buffered_bytes` | bodies and queued records together |
//! | half of it | bodies that are still being read: slow ones must not starve whole ones |
//! | [`Admission::queue_records`] | records handed over and not yet answered |
//! | [`Lane`] | what one partition may have of the last two: as much as is free, so that one that nobody takes anything from leaves room for the others, however many there are like it |
//! | a quarter of the bytes | bodies of requests that wait for such a partition |

mod gate;
mod held;
mod lane;

use std::{sync::Arc, time::Duration};

use self::gate::{Bounds, Gate, Wants};
pub use self::{
    gate::Busy,
    held::Held,
    lane::{Lane, Load},
};
use crate::config::Limits;

/// A body whose length is not known in advance reserves this much at a time.
const STEP: usize = 1 << 20;
/// Records that the producer holds at once for one partition, if no other one holds any: half of what it holds in all.
/// librdkafka was faster and cheaper with a queue of this size than with one ten times as long.
const QUEUE_RECORDS: usize = 20_000;

/// The bounds that all requests share.
#[derive(Debug)]
pub struct Admission {
    gate: Arc<Gate>,
    max_wait: Duration,
}

impl Admission {
    /// Everything free.
    pub fn new(limits: &Limits) -> Self {
        let bytes = limits.max_buffered_bytes;
        Self {
            gate: Arc::new(Gate::new(Bounds {
                bytes,
                reading: bytes / 2,
                records: Self::queue_records(limits),
                waiting: bytes / 4,
            })),
            max_wait: limits.max_wait(),
        }
    }

    /// How many records the producer's queue must hold: the largest request finds room also beside some partitions that hold all
    /// that they may.
    pub fn queue_records(limits: &Limits) -> usize {
        QUEUE_RECORDS.max(limits.max_records) * 2
    }

    /// Bytes of bodies and queued records now.
    pub fn buffered(&self) -> usize {
        self.gate.bytes()
    }

    /// Records in the producer's queue now, and those about to be handed over.
    pub fn queued_records(&self) -> usize {
        self.gate.records()
    }

    /// Their bytes, as `message.max.bytes` counts them.
    pub fn queued_bytes(&self) -> usize {
        self.gate.queued()
    }

    /// Room for a request's records, whose body's bytes become theirs. [`Admission::release`] gives it back, record by record.
    pub async fn queue(&self, loads: Vec<Load>, body: &mut Option<Held>) -> Result<Queued, Busy> {
        let wants = Wants::queue(loads, body.as_ref().map_or(0, Held::bytes));
        let wants = self.gate.take(wants, self.max_wait).await?;
        *body = None;
        Ok(Queued {
            gate: Arc::clone(&self.gate),
            loads: wants.into_loads(),
        })
    }

    /// A record that [`Admission::queue`] made room for needs it no longer.
    pub fn release(&self, lane: &Lane, bytes: usize) {
        self.gate.release(lane, 1, bytes);
    }

    /// Room for a body of which `bytes` are known to come; for one of unknown length, [`Room::grow`] as it comes.
    pub async fn body(&self, bytes: Option<usize>) -> Result<Room, Busy> {
        let mut room = Room {
            max_wait: self.max_wait,
            reading: Held::none(&self.gate),
            buffered: Held::none(&self.gate),
        };
        room.take(bytes.unwrap_or(STEP)).await?;
        Ok(room)
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
    loads: Vec<Load>,
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
            self.gate.release(&load.lane, load.records, load.bytes);
        }
    }
}

/// What a body being read holds.
#[derive(Debug)]
pub struct Room {
    max_wait: Duration,
    reading: Held,
    buffered: Held,
}

impl Room {
    /// Sees to it that `bytes` in all are held.
    pub async fn grow(&mut self, bytes: usize) -> Result<(), Busy> {
        while self.buffered.bytes() < bytes {
            self.take(STEP.max(bytes - self.buffered.bytes())).await?;
        }
        Ok(())
    }

    /// The body is whole: it no longer counts among those being read.
    pub fn whole(self) -> Held {
        self.buffered
    }

    async fn take(&mut self, bytes: usize) -> Result<(), Busy> {
        let gate = Arc::clone(self.buffered.gate());
        gate.take(Wants::body(bytes), self.max_wait).await?;
        self.reading.add_reading(bytes);
        self.buffered.add(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
