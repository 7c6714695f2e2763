//! Who loads what: records and bytes by tenant and by partition.
//!
//! A worker counts the tenants of a request when the request is taken, in a [`Sketch`] of its own. Once a second a thread
//! takes the sketches away, and makes rates of them ([`rates`]), series for Prometheus ([`series`]), and what `/routes` shows
//! ([`report`]). Partitions are counted where they get room ([`partitions`]).

mod cut;
mod partitions;
mod rates;
mod report;
mod series;
mod sketch;

use std::{
    cell::Cell,
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use pointsman_routing::Hashing;

pub use self::report::Report;
use self::{
    cut::Cut,
    partitions::PartitionRates,
    rates::{Rate, Rates, Round},
    series::Series,
    sketch::{Load, Sketch},
};
use crate::{base::metrics::Metrics, topic::Partitions};

/// The most topics whose rates are kept.
const MOST_TOPICS: usize = 1_000;
/// So many tenants that send at the same time are counted exactly.
const EXACT: usize = 10_000;

/// See the [module](self).
#[derive(Debug)]
pub struct Observer {
    hashing: Hashing,
    /// One for each worker, so that no worker waits for another.
    sketches: Box<[Mutex<Sketch>]>,
    gathered: Mutex<Gathered>,
}

/// What the rounds so far have brought.
#[derive(Debug)]
struct Gathered {
    last: Instant,
    tenants: Rates,
    /// By topic: what all its tenants send.
    topics: HashMap<Arc<str>, Rate>,
    partitions: PartitionRates,
    series: Series,
    /// How many tenants have series.
    most_series: usize,
    /// Empty sketches, which take the place of the full ones.
    spare: Vec<Sketch>,
}

impl Observer {
    /// Has counted nothing. `most_series`: so many tenants have series among the metrics.
    pub fn new(hashing: &Hashing, most_series: usize) -> Self {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let sketches = || (0..workers).map(|_| Sketch::new(EXACT));
        Self {
            hashing: hashing.clone(),
            sketches: sketches().map(Mutex::new).collect(),
            gathered: Mutex::new(Gathered {
                last: Instant::now(),
                tenants: Rates::new(EXACT),
                topics: HashMap::new(),
                partitions: PartitionRates::default(),
                series: Series::new(most_series),
                most_series,
                spare: sketches().collect(),
            }),
        }
    }

    /// Begins to count the tenants of a request.
    pub fn count(&self) -> Counting<'_> {
        let sketch = &self.sketches[worker() % self.sketches.len()];
        Counting {
            sketch: sketch.lock().unwrap_or_else(PoisonError::into_inner),
            hashing: &self.hashing,
            topic: None,
        }
    }

    /// Ends a round: makes rates and series of what was counted since the last one. `topics`: those of the routing table.
    pub fn gather(&self, topics: Vec<(Arc<str>, Arc<Partitions>)>, metrics: &Metrics, now: Instant) {
        let mut gathered = self.gathered();
        let mut sketches = std::mem::take(&mut gathered.spare);
        for (spare, sketch) in sketches.iter_mut().zip(&self.sketches) {
            let mut sketch = sketch.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(spare, &mut *sketch);
        }
        let round = Round::of(now.duration_since(gathered.last));
        gathered.last = now;
        gathered.take_in(&sketches, round, now, metrics);
        gathered.partitions.round(topics, round, &metrics.load);
        for sketch in &mut sketches {
            sketch.shrink();
            sketch.clear();
        }
        gathered.spare = sketches;
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathered {
    fn take_in(&mut self, sketches: &[Sketch], round: Round, now: Instant, metrics: &Metrics) {
        self.tenants.fade(round);
        sketches.iter().for_each(|sketch| self.tenants.add(sketch, round));
        for rate in self.topics.values_mut() {
            rate.fade(round);
        }
        for (topic, load) in sketches.iter().flat_map(Sketch::topics) {
            self.topics.entry(Arc::clone(topic)).or_default().add(*load, round);
        }
        self.topics.retain(|_, rate| rate.bytes >= rates::QUIET);
        let rates = self.topics.values().map(|rate| rate.bytes);
        if let Some(mut cut) = Cut::of(rates, MOST_TOPICS, f64::total_cmp) {
            self.topics.retain(|_, rate| cut.stays(&rate.bytes));
        }
        let hottest = self.tenants.hottest(self.most_series);
        self.series.round(sketches, &hottest, now, &metrics.load);
    }
}

/// The tenants of one request, as they are counted.
#[derive(Debug)]
pub struct Counting<'a> {
    sketch: MutexGuard<'a, Sketch>,
    hashing: &'a Hashing,
    /// The last topic: its number in the sketch, and its hash.
    topic: Option<(u32, u64)>,
}

impl Counting<'_> {
    /// The topic of the tenants that follow.
    pub fn topic(&mut self, name: &Arc<str>) {
        let hash = self.hashing.of(name).rotate_left(32);
        self.topic = Some((self.sketch.topic(name), hash));
    }

    /// Counts records of a tenant, whose name has this hash.
    #[inline]
    pub fn tenant(&mut self, name: &str, hash: u64, records: u64, bytes: u64) {
        if let Some((number, of_topic)) = &self.topic {
            self.sketch.add(*number, hash ^ of_topic, name, Load { records, bytes });
        }
    }
}

/// A number of this thread's own.
fn worker() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static WORKER: Cell<Option<usize>> = const { Cell::new(None) };
    }
    WORKER.with(|worker| match worker.get() {
        Some(number) => number,
        None => {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            worker.set(Some(number));
            number
        }
    })
}
