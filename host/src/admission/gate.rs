//! Decides who may take room, and in which order.
//!
//! A request takes all that it needs at once, or nothing, under one lock that is held only to compare some numbers. Giving room
//! back is a subtraction without a lock. A request that finds no room waits in line. While the line is not empty, a task checks
//! it each millisecond and lets in the waiters for whom there is room, in the order in which they came. A waiter can be
//! overtaken only by one that does not need what the first one lacks.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    line::{Lack, Line, Short},
    partition_quota::{PartitionLoad, PartitionQuota},
    readers::Readers,
    wants::{Bounds, For, SMALL, Wants},
};

/// A request with at most this many records counts as one of few records.
const FEW_RECORDS: usize = 100;
/// Bodies and replies without progress are looked for only once in so many ticks, because that takes longer than to check the
/// line.
const TICKS_BETWEEN_SEARCHES: u64 = 32;

/// There was no room in time.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no room for {what} within {waited} ms: {bound} is full; send less at once, or retry later", waited = waited.as_millis())]
pub struct Busy {
    /// What there was no room for.
    pub what: &'static str,
    /// The limit that is used up.
    pub bound: String,
    /// How long the request waited.
    pub waited: Duration,
    /// The partition whose quota is used up, if that is the reason.
    pub quota: Option<Arc<PartitionQuota>>,
}

/// Why room was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// There was none in time.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// A newer table of tenants decides by now: the request must be resolved again.
    #[error("the request was resolved by an older table of tenants")]
    Outdated,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) bounds: Bounds,
    /// Bytes of bodies that are being read; they count in `requests`, too.
    reading: AtomicUsize,
    /// Bytes of requests: bodies, what parsing made of them, and replies.
    requests: AtomicUsize,
    /// Bytes of records in the producer's queue.
    queued: AtomicUsize,
    /// Number of records in the producer's queue.
    records: AtomicUsize,
    /// The requests that wait. [`Gate::take`] takes room only under this lock.
    line: Mutex<Line>,
    /// Bodies and replies that may have to give way.
    readers: Arc<Readers>,
}

impl Gate {
    pub(super) fn new(bounds: Bounds) -> Self {
        let mut line = Line::default();
        // Quotas begin with round 0, in which nobody was short of them.
        line.short.round = 1;
        Self {
            bounds,
            reading: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            records: AtomicUsize::new(0),
            line: Mutex::new(line),
            readers: Arc::default(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.requests.load(Ordering::Relaxed) + self.queued()
    }

    pub(super) fn readers(&self) -> &Arc<Readers> {
        &self.readers
    }

    /// Gives back bytes of a request.
    pub(super) fn give_back_bytes(&self, bytes: usize) {
        self.requests.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Takes bytes for a request even if that exceeds the limits: they are already allocated.
    pub(super) fn take_anyway(&self, bytes: usize) {
        self.requests.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes bytes for a request if there is room now, within the limit for bodies.
    pub(super) fn take_at_once(&self, bytes: usize) -> Result<(), Busy> {
        if self.bytes() + bytes > self.bounds.growing {
            return Err(Busy {
                what: "the request",
                bound: "limits.max_buffered_bytes".to_owned(),
                waited: Duration::ZERO,
                quota: None,
            });
        }
        self.take_anyway(bytes);
        Ok(())
    }

    /// Takes bytes that [`Gate::free`] reported as free. False if another request has taken them meanwhile.
    pub(super) fn take_if_free(&self, bytes: usize) -> bool {
        let most = if bytes <= SMALL {
            self.bounds.bytes
        } else {
            self.bounds.much
        };
        let fits = |requests: usize| (requests + self.queued() + bytes <= most).then_some(requests + bytes);
        let taken = self.requests.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        taken.is_ok()
    }

    /// How much a complete request may take now. It is only a little while others wait.
    pub(super) fn free(&self) -> usize {
        let little = self.bounds.bytes.saturating_sub(self.bytes()).min(SMALL);
        match self.line().waiters.is_empty() {
            true => self.bounds.much.saturating_sub(self.bytes()).max(little),
            false => little,
        }
    }

    /// Notes that bytes of a body need no longer count as being read.
    pub(super) fn read(&self, bytes: usize) {
        self.reading.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Number of waiters.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        let line = self.line();
        line.waiters.iter().filter(|waiter| !waiter.has_left()).count()
    }

    pub(super) fn records(&self) -> usize {
        // Acquire: a thread that sees the last record gone must also see its outcome.
        self.records.load(Ordering::Acquire)
    }

    /// Gives back the room of records that were admitted after this fence.
    pub(super) fn release(&self, fence: u64, quota: &PartitionQuota, records: usize, bytes: usize) {
        quota.sub(fence, records, bytes);
        self.queued.fetch_sub(bytes, Ordering::Relaxed);
        self.records.fetch_sub(records, Ordering::Release);
    }

    /// Sends back all requests that were resolved by a table before this version, those that wait too. From now on no such
    /// request is admitted. Returns the number of the last fence.
    pub(super) fn fence(&self, version: u64) -> u64 {
        let mut line = self.line();
        line.table_version = line.table_version.max(version);
        let outdated: Vec<_> = line
            .waiters
            .iter()
            .filter(|waiter| line.is_outdated(&waiter.wants))
            .cloned()
            .collect();
        for waiter in outdated {
            if !waiter.has_left() {
                line.leave(&waiter);
                waiter.sent_back.store(true, Ordering::Relaxed);
                waiter.bell.notify_one();
            }
        }
        line.fence
    }

    /// Raises a fence, and sets it as a mark in a partition's quota: what is there now is counted apart from what comes.
    /// Returns its number; `None` if what was there before an earlier mark is still there.
    pub(super) fn mark(&self, quota: &PartitionQuota) -> Option<u64> {
        let mut line = self.line();
        let number = line.fence + 1;
        quota.set_mark(number).then(|| {
            line.fence = number;
            number
        })
    }

    /// Lets in the waiters for whom there is room now. False if nobody waits any more.
    pub(super) fn look(&self) -> bool {
        let mut line = self.line();
        line.short = Short::after(&line.short);
        let mut missing = 0;
        for waiter in mem::take(&mut line.waiters) {
            if waiter.has_left() {
                continue;
            }
            let lack = self.lack(&waiter.wants, &line.short);
            if lack.anything() {
                if lack.any_bytes() {
                    missing += waiter.wants.bytes;
                }
                lack.mark(&waiter.wants, &mut line.short);
                line.waiters.push_back(waiter);
            } else {
                line.waiting_bytes -= waiter.holds();
                self.add(line.fence, &waiter.wants);
                waiter.fence.store(line.fence, Ordering::Relaxed);
                waiter.taken.store(true, Ordering::Relaxed);
                waiter.bell.notify_one();
            }
        }
        line.looked_after = !line.waiters.is_empty();
        let (goes_on, round) = (line.looked_after, line.short.round);
        drop(line);
        if missing > 0 && round.is_multiple_of(TICKS_BETWEEN_SEARCHES) {
            self.readers.make_way(missing);
        }
        goes_on
    }

    /// What is missing for `wants`: what there is not enough of, and what waiters further ahead in line are short of.
    pub(super) fn lack(&self, wants: &Wants, short: &Short) -> Lack {
        let bytes = self.bounds.bytes.saturating_sub(self.bytes()) + wants.held;
        // Requests of few records have some room of their own, and do not wait behind requests of many records.
        let few = wants.records <= FEW_RECORDS;
        let bound = self.bounds.records + if few { self.bounds.spare_records } else { 0 };
        let records = bound.saturating_sub(self.records());
        let full =
            |load: &PartitionLoad| !few && load.quota.is_short(short.round) || !load.quota.fits(load, records, bytes);
        let (large, small) = match wants.what {
            For::Body { small: true } => (false, short.small || self.is_over(wants.bytes, self.bounds.small)),
            For::Body { small: false } => (short.large || self.is_over(wants.bytes, 0), false),
            For::Whole { .. } | For::Queue => (false, false),
        };
        let is_short = match wants.what {
            // Those who want little have some room of their own, and do not wait behind those who want much.
            For::Whole { little: true } => wants.bytes > bytes,
            For::Whole { little: false } => short.bytes || self.bytes() + wants.bytes > self.bounds.much,
            // Records take over the bytes that their body already has. If they had to wait for bytes, all requests could wait for
            // one another.
            For::Queue => wants.held == 0 && wants.bytes > 0 && (short.bytes || wants.bytes > bytes),
            For::Body { .. } => false,
        };
        Lack {
            large,
            small,
            bytes: is_short,
            records: wants.records > 0 && (!few && short.records || wants.records > records),
            partition: wants.loads.iter().position(full),
            held: wants.by_table.held,
            room: (records, bytes),
        }
    }

    /// Whether this many more bytes of bodies are too much. `extra` is the room that small bodies have on top of large ones; 0 for
    /// a large body.
    fn is_over(&self, bytes: usize, extra: usize) -> bool {
        let reading = self.reading.load(Ordering::Relaxed) + bytes;
        let most = if extra > 0 {
            self.bounds.bytes
        } else {
            self.bounds.growing
        };
        reading > self.bounds.reading + extra || self.bytes() + bytes > most
    }

    pub(super) fn add(&self, fence: u64, wants: &Wants) {
        let bytes = match wants.what {
            For::Queue => &self.queued,
            For::Whole { .. } => &self.requests,
            For::Body { .. } => {
                self.reading.fetch_add(wants.bytes, Ordering::Relaxed);
                &self.requests
            }
        };
        bytes.fetch_add(wants.bytes, Ordering::Relaxed);
        self.records.fetch_add(wants.records, Ordering::Relaxed);
        for load in &wants.loads {
            load.quota.add(fence, load.records, load.bytes);
            load.quota.count(load);
        }
    }

    pub(super) fn give_back(&self, fence: u64, wants: &Wants) {
        match wants.what {
            For::Queue => {}
            For::Whole { .. } => self.give_back_bytes(wants.bytes),
            For::Body { .. } => {
                self.read(wants.bytes);
                self.give_back_bytes(wants.bytes);
            }
        }
        for load in &wants.loads {
            self.release(fence, &load.quota, load.records, load.bytes);
        }
    }

    pub(super) fn busy(&self, wants: &Wants, lack: &Lack, waited: Duration) -> Busy {
        let bound = if lack.large || lack.small {
            "the part of limits.max_buffered_bytes for bodies that are being read"
        } else if lack.bytes {
            "limits.max_buffered_bytes"
        } else if lack.records {
            "the producer's queue"
        } else {
            "one partition's share of the producer's queue"
        };
        Busy {
            what: if wants.reads() {
                "the request's body"
            } else {
                "the request's records"
            },
            bound: bound.to_owned(),
            waited,
            quota: lack
                .partition
                .filter(|_| !lack.records)
                .map(|index| Arc::clone(&wants.loads[index].quota)),
        }
    }

    // A std mutex: it is held only to compare some numbers, and never over an await.
    pub(super) fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
