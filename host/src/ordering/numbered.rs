//! Numbered requests on their way: each waits for its turn, is handed over, and is remembered with its outcomes.
//!
//! [`crate::ordering::sequence`] decides what may be done when; this module waits and sends. A [`SendPermit`] is the
//! right to hand over, and a [`HandedOver`] waits for the outcomes. However they end (the request is taken, it is refused,
//! its task is lost), the next request gets its turn, and a request that was taken is remembered with one outcome for each
//! record.

mod begin;
mod permit;

use std::{
    hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, watch};

pub use self::{
    begin::{Begun, NotBegun, UnderWay},
    permit::{HandedOver, Produced, SendPermit},
};
use crate::{
    base::metrics::Metrics,
    ordering::sequence::{Bounds, Content, Name, Number, Sequences, Settled},
    pipeline::Parsed,
};

/// How many bells there are. A waiting request listens to the bell of its client's hash. The bells are few enough to
/// need no upkeep, and enough that clients seldom wake each other.
const BELLS: usize = 64;

/// Gives the outcomes of a request that is under way, once they are known.
type Coming = watch::Receiver<Option<Arc<Settled>>>;

/// All clients with numbered requests. Built once, shared by all connections.
pub struct Numbered {
    /// Decides about each request. Locked for one look at a time.
    sequences: Mutex<Sequences<Coming>>,
    /// Wake the requests that wait, see [`BELLS`].
    bells: [Notify; BELLS],
    /// Keyed for this process only, so that nobody can make two bodies with the same digest.
    hashes: RandomState,
    /// `limits.max_wait_ms`.
    max_wait: Duration,
    metrics: Arc<Metrics>,
}

impl Numbered {
    /// With nothing remembered.
    pub fn new(bounds: Bounds, max_wait: Duration, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            sequences: Mutex::new(Sequences::new(bounds)),
            bells: std::array::from_fn(|_| Notify::new()),
            hashes: RandomState::new(),
            max_wait,
            metrics,
        })
    }

    /// What a repeat must have in common with this request: every record, but not how the body spells it.
    pub fn content(&self, records: &[Parsed]) -> Content {
        let mut hasher = self.hashes.build_hasher();
        for record in records {
            match record {
                Ok(record) => record.hash(&mut hasher),
                Err(error) => error.code.hash(&mut hasher),
            }
        }
        Content {
            records: records.len(),
            digest: hasher.finish(),
        }
    }

    /// The next new sequence of this client in this epoch. It comes after all that were taken, that have the turn and that
    /// wait for it. None if nothing is known of the epoch, or if the epoch is over. With it, a protocol whose sequences begin
    /// anew after the largest one can tell how often they have.
    pub fn expected(&self, name: &Name, epoch: u64) -> Option<u64> {
        self.sequences().expected(name, epoch)
    }

    /// Whether a client that hears of its requests in their order may hear that this one is written: every request before
    /// it in its epoch that is remembered has its outcomes, and none of them is `failed` or `unknown`. True for an epoch
    /// that is not the client's current one.
    pub fn may_acknowledge(&self, number: &Number) -> bool {
        self.sequences().may_acknowledge(number)
    }

    /// Changes what is known of a client, and wakes its waiting requests, which then ask again.
    fn change(&self, name: &Name, change: impl FnOnce(&mut Sequences<Coming>)) {
        change(&mut self.sequences());
        self.bell(name).notify_waiters();
    }

    fn bell(&self, name: &Name) -> &Notify {
        &self.bells[(self.hashes.hash_one(name) % BELLS as u64) as usize]
    }

    // A std mutex: it is held for one look at a table, never across an await.
    fn sequences(&self) -> MutexGuard<'_, Sequences<Coming>> {
        self.sequences.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
