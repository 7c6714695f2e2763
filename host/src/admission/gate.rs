//! Who may take what, and in which turn.
//!
//! Everything that a request needs is taken at once or not at all, under one lock that is held for a look at some numbers. What
//! is given back is only subtracted, without a lock. Whoever finds no room stands in line; while anybody does, a task looks each
//! millisecond who has room now, in the order of their coming: who is short of something is overtaken only by those who do not
//! need that.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::lane::{Lane, Load};

/// Between two looks at the line.
const TICK: Duration = Duration::from_millis(1);

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
    pub lane: Option<Arc<Lane>>,
}

/// What there is in all.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) bytes: usize,
    /// Of `bytes`, for bodies being read.
    pub(super) reading: usize,
    pub(super) records: usize,
    /// Of `bytes`, for those who wait for a partition.
    pub(super) waiting: usize,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Wants {
    reading: usize,
    bytes: usize,
    /// Of `bytes`, what the asker holds already, and gives back for it.
    held: usize,
    records: usize,
    loads: Vec<Load>,
}

impl Wants {
    pub(super) fn body(bytes: usize) -> Self {
        Self {
            reading: bytes,
            bytes,
            held: 0,
            records: 0,
            loads: Vec::new(),
        }
    }

    pub(super) fn queue(loads: Vec<Load>, held: usize) -> Self {
        Self {
            reading: 0,
            bytes: loads.iter().map(|load| load.bytes).sum(),
            held,
            records: loads.iter().map(|load| load.records).sum(),
            loads,
        }
    }

    pub(super) fn into_loads(self) -> Vec<Load> {
        self.loads
    }
}

/// What those before have been short of, in this round.
#[derive(Debug, Default)]
struct Short {
    round: u64,
    reading: bool,
    bytes: bool,
    records: bool,
}

#[derive(Debug, Default)]
struct Line {
    waiters: VecDeque<Arc<Waiter>>,
    short: Short,
    /// Held by those who wait for a partition.
    waiting_bytes: usize,
    /// Whether somebody looks after the line.
    looked_after: bool,
}

#[derive(Debug)]
struct Waiter {
    wants: Wants,
    for_partition: bool,
    taken: AtomicBool,
    bell: Notify,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Gate {
    bounds: Bounds,
    reading: AtomicUsize,
    /// Bytes of bodies.
    bodies: AtomicUsize,
    /// Bytes of records in the producer's queue.
    queued: AtomicUsize,
    records: AtomicUsize,
    line: Mutex<Line>,
}

impl Gate {
    pub(super) fn new(bounds: Bounds) -> Self {
        let mut line = Line::default();
        // A lane that nobody was ever short of says 0.
        line.short.round = 1;
        Self {
            bounds,
            reading: AtomicUsize::new(0),
            bodies: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            records: AtomicUsize::new(0),
            line: Mutex::new(line),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bodies.load(Ordering::Relaxed) + self.queued()
    }

    /// Bytes of a body that are needed no longer, and those of them that counted among what is being read.
    pub(super) fn release_body(&self, bytes: usize, reading: usize) {
        self.bodies.fetch_sub(bytes, Ordering::Relaxed);
        self.reading.fetch_sub(reading, Ordering::Relaxed);
    }

    pub(super) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.line().waiters.len()
    }

    pub(super) fn records(&self) -> usize {
        // Acquire: whoever sees the last record gone sees what became of it.
        self.records.load(Ordering::Acquire)
    }

    pub(super) fn release(&self, lane: &Lane, records: usize, bytes: usize) {
        lane.sub(records, bytes);
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
        for waiter in mem::take(&mut line.waiters) {
            let lack = self.lack(&waiter.wants, &line.short);
            if lack.anything() {
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
        line.looked_after
    }

    /// What there is not enough of, or what others before are short of.
    fn lack(&self, wants: &Wants, short: &Short) -> Lack {
        let bytes = self.bounds.bytes.saturating_sub(self.bytes()) + wants.held;
        let records = self.bounds.records.saturating_sub(self.records());
        let reading = self.bounds.reading.saturating_sub(self.reading.load(Ordering::Relaxed));
        let full = |load: &Load| load.lane.is_short(short.round) || !load.lane.fits(load, records, bytes);
        Lack {
            reading: wants.reading > 0 && (short.reading || wants.reading > reading),
            // A body that becomes records only changes its name; were it to wait, all could wait for one another.
            bytes: wants.held == 0 && wants.bytes > 0 && (short.bytes || wants.bytes > bytes),
            records: wants.records > 0 && (short.records || wants.records > records),
            partition: wants.loads.iter().position(full),
            room: (records, bytes),
        }
    }

    fn add(&self, wants: &Wants) {
        self.reading.fetch_add(wants.reading, Ordering::Relaxed);
        let bytes = if wants.loads.is_empty() {
            &self.bodies
        } else {
            &self.queued
        };
        bytes.fetch_add(wants.bytes, Ordering::Relaxed);
        self.records.fetch_add(wants.records, Ordering::Relaxed);
        for load in &wants.loads {
            load.lane.add(load.records, load.bytes);
        }
    }

    fn give_back(&self, wants: &Wants) {
        self.reading.fetch_sub(wants.reading, Ordering::Relaxed);
        if wants.loads.is_empty() {
            self.bodies.fetch_sub(wants.bytes, Ordering::Relaxed);
        }
        for load in &wants.loads {
            self.release(&load.lane, load.records, load.bytes);
        }
    }

    fn busy(&self, wants: &Wants, lack: &Lack, waited: Duration) -> Busy {
        let body = wants.loads.is_empty();
        let bound = if lack.reading {
            "half of limits.max_buffered_bytes"
        } else if lack.bytes {
            "limits.max_buffered_bytes"
        } else if lack.records {
            "the producer's queue"
        } else {
            "what one partition may have of the producer's queue"
        };
        Busy {
            what: if body {
                "the request's body"
            } else {
                "the request's records"
            },
            bound: bound.to_owned(),
            waited,
            lane: lack
                .partition
                .filter(|_| !lack.records)
                .map(|index| Arc::clone(&wants.loads[index].lane)),
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

impl Short {
    /// Of another round: nobody is short of anything yet.
    fn after(before: &Self) -> Self {
        Self {
            round: before.round + 1,
            ..Self::default()
        }
    }
}

struct Lack {
    reading: bool,
    bytes: bool,
    records: bool,
    /// The first load whose partition may not hold it.
    partition: Option<usize>,
    /// Free records and bytes that this was found with.
    room: (usize, usize),
}

impl Lack {
    fn anything(&self) -> bool {
        self.reading || self.bytes || self.records || self.partition.is_some()
    }

    /// Those who come later and want the same stand behind this one.
    fn mark(&self, wants: &Wants, short: &mut Short) {
        short.reading |= self.reading;
        short.bytes |= self.bytes;
        short.records |= self.records;
        for load in &wants.loads {
            if !load.lane.fits(load, self.room.0, self.room.1) {
                load.lane.mark_short(short.round);
            }
        }
    }
}

impl Line {
    fn enter(&mut self, waiter: &Arc<Waiter>) {
        self.waiting_bytes += waiter.holds();
        self.waiters.push_back(Arc::clone(waiter));
    }

    fn leave(&mut self, waiter: &Arc<Waiter>) {
        let before = self.waiters.len();
        self.waiters.retain(|other| !Arc::ptr_eq(other, waiter));
        if self.waiters.len() < before {
            self.waiting_bytes -= waiter.holds();
        }
    }
}

impl Waiter {
    /// What counts for the bound of those who wait for a partition.
    fn holds(&self) -> usize {
        match self.for_partition {
            true => self.wants.held,
            false => 0,
        }
    }
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
        if self.waiter.taken.swap(false, Ordering::Relaxed) {
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
