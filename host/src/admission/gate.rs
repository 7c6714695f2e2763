//! Who may take what, and in which turn.
//!
//! Everything that a request needs is taken at once or not at all, under one lock that is held for a look at some numbers. What
//! is given back is only subtracted, without a lock. Whoever finds no room stands in line; while anybody does, a task looks each
//! millisecond who has room now, in the order of their coming: who is short of something is overtaken only by those who do not
//! need that.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::{
    line::{Lack, Line, Short, Waiter},
    partition_quota::{PartitionLoad, PartitionQuota},
    readers::Readers,
    wants::{Bounds, For, SMALL, Wants},
};

/// A request of no more records has few.
const FEW_RECORDS: usize = 100;
/// Between two looks at the line.
const TICK: Duration = Duration::from_millis(1);
/// To look through everybody who reads costs more than a look at the line.
const LOOKS_BETWEEN_WAYS: u64 = 32;

/// No room within the wait.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no room for {what} within {waited} ms: {bound} is full; send less at once, or retry later", waited = waited.as_millis())]
pub struct Busy {
    /// What there was no room for.
    pub what: &'static str,
    /// The limit that was met.
    pub bound: String,
    /// How long was waited.
    pub waited: Duration,
    /// The partition that holds all that it may, where that was the reason.
    pub quota: Option<Arc<PartitionQuota>>,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Gate {
    bounds: Bounds,
    reading: AtomicUsize,
    /// Bytes of requests: bodies, what became of them, replies.
    requests: AtomicUsize,
    /// Bytes of records in the producer's queue.
    queued: AtomicUsize,
    records: AtomicUsize,
    line: Mutex<Line>,
    readers: Arc<Readers>,
}

impl Gate {
    pub(super) fn new(bounds: Bounds) -> Self {
        let mut line = Line::default();
        // A quota that nobody was ever short of says 0.
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

    /// Bytes of a request that are needed no longer.
    pub(super) fn give_back_bytes(&self, bytes: usize) {
        self.requests.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes of a request that are there, whatever the bounds say.
    pub(super) fn take_anyway(&self, bytes: usize) {
        self.requests.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The same as a body's, where there is room at once.
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

    /// What [`Gate::free`] has said is there is taken, unless somebody else has taken it meanwhile.
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

    /// What whoever is whole may take now: much, unless others wait for that.
    pub(super) fn free(&self) -> usize {
        let little = self.bounds.bytes.saturating_sub(self.bytes()).min(SMALL);
        match self.line().waiters.is_empty() {
            true => self.bounds.much.saturating_sub(self.bytes()).max(little),
            false => little,
        }
    }

    /// Bytes that no longer count among what is being read.
    pub(super) fn read(&self, bytes: usize) {
        self.reading.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        let line = self.line();
        line.waiters.iter().filter(|waiter| !waiter.has_left()).count()
    }

    pub(super) fn records(&self) -> usize {
        // Acquire: whoever sees the last record gone sees what became of it.
        self.records.load(Ordering::Acquire)
    }

    pub(super) fn release(&self, quota: &PartitionQuota, records: usize, bytes: usize) {
        quota.sub(records, bytes);
        self.queued.fetch_sub(bytes, Ordering::Relaxed);
        self.records.fetch_sub(records, Ordering::Release);
    }

    /// Takes all of it, now or when it is there.
    pub(super) async fn take(self: &Arc<Self>, wants: Wants, patience: Duration) -> Result<Wants, Busy> {
        match self.ask(wants)? {
            Asked::Taken(wants) => Ok(wants),
            Asked::Waits(waiting) => waiting.wait(patience).await,
        }
    }

    fn ask(self: &Arc<Self>, wants: Wants) -> Result<Asked, Busy> {
        let mut line = self.line();
        if line.waiters.is_empty() {
            // Nobody is short of anything.
            line.short = Short::after(&line.short);
        }
        let lack = self.lack(&wants, &line.short);
        if !lack.anything() {
            self.add(&wants);
            return Ok(Asked::Taken(wants));
        }
        if lack.partition.is_some() && line.waiting_bytes + wants.held > self.bounds.waiting {
            return Err(self.busy(&wants, &lack, Duration::ZERO));
        }
        lack.mark(&wants, &mut line.short);
        let waiter = Arc::new(Waiter {
            for_partition: lack.partition.is_some(),
            wants,
            taken: AtomicBool::new(false),
            left: AtomicBool::new(false),
            bell: Notify::new(),
        });
        line.enter(&waiter);
        if !mem::replace(&mut line.looked_after, true) {
            tokio::spawn(look_after(Arc::clone(self)));
        }
        Ok(Asked::Waits(Waiting {
            gate: Arc::clone(self),
            waiter,
        }))
    }

    /// Lets in whoever has room now. False once nobody waits.
    fn look(&self) -> bool {
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
                self.add(&waiter.wants);
                waiter.taken.store(true, Ordering::Relaxed);
                waiter.bell.notify_one();
            }
        }
        line.looked_after = !line.waiters.is_empty();
        let (goes_on, round) = (line.looked_after, line.short.round);
        drop(line);
        if missing > 0 && round.is_multiple_of(LOOKS_BETWEEN_WAYS) {
            self.readers.make_way(missing);
        }
        goes_on
    }

    /// What there is not enough of, or what others before are short of.
    fn lack(&self, wants: &Wants, short: &Short) -> Lack {
        let bytes = self.bounds.bytes.saturating_sub(self.bytes()) + wants.held;
        // Who has few records finds some room that others cannot take, and waits behind nobody who has many.
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
            // There is something left for those who want little, and they wait behind nobody who wants much.
            For::Whole { little: true } => wants.bytes > bytes,
            For::Whole { little: false } => short.bytes || self.bytes() + wants.bytes > self.bounds.much,
            // What becomes records only changes its name; were it to wait, all could wait for one another.
            For::Queue => wants.held == 0 && wants.bytes > 0 && (short.bytes || wants.bytes > bytes),
            For::Body { .. } => false,
        };
        Lack {
            large,
            small,
            bytes: is_short,
            records: wants.records > 0 && (!few && short.records || wants.records > records),
            partition: wants.loads.iter().position(full),
            room: (records, bytes),
        }
    }

    /// Whether so much more may not be read, where this is the room beyond that of large bodies.
    fn is_over(&self, bytes: usize, more: usize) -> bool {
        let reading = self.reading.load(Ordering::Relaxed) + bytes;
        let in_all = if more > 0 {
            self.bounds.bytes
        } else {
            self.bounds.growing
        };
        reading > self.bounds.reading + more || self.bytes() + bytes > in_all
    }

    fn add(&self, wants: &Wants) {
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
            load.quota.add(load.records, load.bytes);
        }
    }

    fn give_back(&self, wants: &Wants) {
        match wants.what {
            For::Queue => {}
            For::Whole { .. } => self.give_back_bytes(wants.bytes),
            For::Body { .. } => {
                self.read(wants.bytes);
                self.give_back_bytes(wants.bytes);
            }
        }
        for load in &wants.loads {
            self.release(&load.quota, load.records, load.bytes);
        }
    }

    fn busy(&self, wants: &Wants, lack: &Lack, waited: Duration) -> Busy {
        let bound = if lack.large || lack.small {
            "what limits.max_buffered_bytes leaves for bodies that are being read"
        } else if lack.bytes {
            "limits.max_buffered_bytes"
        } else if lack.records {
            "the producer's queue"
        } else {
            "what one partition may have of the producer's queue"
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

    // A std mutex: it is held for a look at some numbers, never over an await.
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends when nobody waits any more.
async fn look_after(gate: Arc<Gate>) {
    loop {
        tokio::time::sleep(TICK).await;
        if !gate.look() {
            return;
        }
    }
}

enum Asked {
    Taken(Wants),
    Waits(Waiting),
}

/// A place in the line. What was let in while nobody looked is given back.
struct Waiting {
    gate: Arc<Gate>,
    waiter: Arc<Waiter>,
}

impl Waiting {
    async fn wait(self, patience: Duration) -> Result<Wants, Busy> {
        let rung = tokio::time::timeout(patience, self.waiter.bell.notified()).await;
        let mut line = self.gate.line();
        // Whatever comes first, the bell or the end of the patience.
        if self.waiter.taken.load(Ordering::Relaxed) {
            // It is the caller's from here on, and no longer this one's to give back.
            self.waiter.taken.store(false, Ordering::Relaxed);
            self.waiter.left.store(true, Ordering::Relaxed);
            return Ok(self.waiter.wants.clone());
        }
        debug_assert!(rung.is_err(), "the bell is rung for those who were let in");
        line.leave(&self.waiter);
        let mut lack = self.gate.lack(&self.waiter.wants, &line.short);
        if !lack.anything() {
            // There is room in this moment, and it did not get its turn.
            lack.records = true;
        }
        Err(self.gate.busy(&self.waiter.wants, &lack, patience))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut line = self.gate.line();
        line.leave(&self.waiter);
        if self.waiter.taken.load(Ordering::Relaxed) {
            self.gate.give_back(&self.waiter.wants);
        }
    }
}
