//! A shadow: a candidate plugin that decides too, but whose decisions are only compared.
//!
//! A share of a route's records is copied and handed, together with the real decision, to one thread of low priority
//! ([`Worker`]). When that thread's queue is full, a record is not compared. So nothing about a candidate, neither its time
//! nor its traps nor its instances, can delay a record.

mod compared;

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Instant,
};

use bytes::Bytes;

use self::compared::{Compared, Real};
use super::{CallError, Decision, Pool};
use crate::{
    base::{
        metrics::ShadowMetrics,
        record::{Header, Record},
    },
    topic::Partitions,
};

/// The most comparisons that may wait.
const QUEUE: usize = 1_024;
/// The most bytes of records that may wait.
const QUEUE_BYTES: usize = 4 << 20;
/// A larger record is not compared: copying it would cost the request that it came with.
const RECORD_BYTES: usize = 64 << 10;
/// What is added to the niceness of the worker's thread.
const NICENESS: i32 = 10;

/// A candidate beside a route's own plugin.
pub struct Shadow {
    /// The candidate's instances.
    pool: Arc<Pool>,
    /// The share of the route's records that is compared, from 0 to 1.
    share: f64,
    worker: Arc<Worker>,
    metrics: ShadowMetrics,
    counts: Counts,
}

/// The results of the comparisons so far.
#[derive(Debug, Default)]
struct Counts {
    same: AtomicU64,
    different: AtomicU64,
    /// The candidate failed.
    error: AtomicU64,
    /// The record was not compared.
    dropped: AtomicU64,
    last_difference: Mutex<Option<String>>,
}

/// One comparison that waits for the worker.
struct Job {
    shadow: Arc<Shadow>,
    record: Record,
    /// The size of the record and of what was decided, as `queued_bytes` counts it.
    bytes: usize,
    partitions: Arc<Partitions>,
    decided: Real,
}

/// The thread that asks all candidates. It starts with the first comparison.
#[derive(Default)]
pub struct Worker {
    /// Unset until the first comparison; `None` if no thread could be started.
    queue: OnceLock<Option<mpsc::SyncSender<Job>>>,
    /// Bytes of the records that wait.
    queued_bytes: AtomicUsize,
}

impl std::fmt::Debug for Shadow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shadow")
            .field("pool", &self.pool)
            .field("share", &self.share)
            .finish_non_exhaustive()
    }
}

impl Shadow {
    /// A candidate that is asked about this share of the records, from 0 to 1.
    pub fn new(pool: Arc<Pool>, share: f64, worker: &Arc<Worker>, metrics: ShadowMetrics) -> Self {
        Self {
            pool,
            share,
            worker: Arc::clone(worker),
            metrics,
            counts: Counts::default(),
        }
    }

    /// The candidate's instances, which no route uses.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The share of records that it is asked about.
    pub fn share(&self) -> f64 {
        self.share
    }

    /// Hands a record to the worker, if it is one of the share and the queue has room.
    pub fn offer(
        self: &Arc<Self>,
        record: &Record,
        partitions: &Arc<Partitions>,
        answer: &Result<Decision, CallError>,
    ) {
        if fastrand::f64() >= self.share {
            return;
        }
        let decided = Real::of(answer, &record.topic, partitions.count());
        let bytes = record.wire_size() + decided.bytes();
        let waiting = &self.worker.queued_bytes;
        if bytes > RECORD_BYTES || waiting.load(Ordering::Relaxed) + bytes > QUEUE_BYTES {
            return self.drop_one();
        }
        let Some(queue) = self.worker.queue() else {
            return self.drop_one();
        };
        waiting.fetch_add(bytes, Ordering::Relaxed);
        let job = Job {
            shadow: Arc::clone(self),
            record: detached(record),
            bytes,
            partitions: Arc::clone(partitions),
            decided,
        };
        if queue.try_send(job).is_err() {
            waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.drop_one();
        }
    }

    /// What `/plugins` shows.
    pub fn shown(&self) -> serde_json::Value {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let last = self
            .counts
            .last_difference
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        serde_json::json!({
            "name": self.pool.name(),
            "digest": self.pool.digest(),
            "share": self.share,
            "same": count(&self.counts.same),
            "different": count(&self.counts.different),
            "error": count(&self.counts.error),
            "dropped": count(&self.counts.dropped),
            "last_difference": *last,
        })
    }

    fn drop_one(&self) {
        self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        self.metrics.dropped.inc();
    }

    fn compare(&self, record: Record, partitions: &Arc<Partitions>, decided: Real) {
        let begun = Instant::now();
        let topic = Arc::clone(&record.topic);
        let answer = match self.pool.lease_blocking() {
            Ok(mut lease) => lease.partition(record, partitions).1,
            Err(error) => Err(error),
        };
        self.metrics.seconds.observe(begun.elapsed().as_secs_f64());
        let table = self.pool.code().tenants.table();
        let decided = decided.compared(table.as_deref(), &topic, partitions.count());
        let compared = Compared::of(&answer, table.as_deref(), &topic, partitions.count());
        let (count, metric) = match &compared {
            Compared::Error => (&self.counts.error, &self.metrics.error),
            compared if *compared == decided => (&self.counts.same, &self.metrics.same),
            _ => (&self.counts.different, &self.metrics.different),
        };
        count.fetch_add(1, Ordering::Relaxed);
        metric.inc();
        if compared != decided {
            let why = answer.err().map_or_else(|| compared.words(), |error| error.to_string());
            let words = format!("decided: {}; candidate: {why}", decided.words());
            *self
                .counts
                .last_difference
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(words);
        }
    }
}

impl Worker {
    /// The queue of the thread, which is started if needed; `None` if it could not be started.
    fn queue(self: &Arc<Self>) -> Option<&mpsc::SyncSender<Job>> {
        let start = || {
            let (queue, jobs) = mpsc::sync_channel::<Job>(QUEUE);
            // Weak, so that the thread ends when the worker is dropped.
            let worker = Arc::downgrade(self);
            let thread = thread::Builder::new().name("shadow".to_owned()).spawn(move || {
                let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS);
                for job in jobs {
                    if let Some(worker) = worker.upgrade() {
                        worker.queued_bytes.fetch_sub(job.bytes, Ordering::Relaxed);
                    }
                    job.shadow.compare(job.record, &job.partitions, job.decided);
                }
            });
            match thread {
                Ok(_) => Some(queue),
                Err(error) => {
                    tracing::error!(%error, "cannot start the thread for shadow plugins; nothing is compared");
                    None
                }
            }
        };
        self.queue.get_or_init(start).as_ref()
    }
}

/// A deep copy of a record: a slice of the request's body would keep the whole body in memory.
fn detached(record: &Record) -> Record {
    let copy = |bytes: &Option<Bytes>| bytes.as_deref().map(Bytes::copy_from_slice);
    Record {
        topic: Arc::clone(&record.topic),
        key: copy(&record.key),
        value: copy(&record.value),
        headers: record
            .headers
            .iter()
            .map(|header| Header {
                name: header.name.clone(),
                value: copy(&header.value),
            })
            .collect(),
        partition: None,
        timestamp: record.timestamp,
        schema: record.schema.clone(),
    }
}
