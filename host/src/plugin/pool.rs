//! The instances that the routes with one plugin and one config share.

mod lease;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::Semaphore;

pub use self::lease::{InstancePermit, Lease};
use super::{CallError, Code, Footprint, Limits, instance::Instance, limits::thread_cpu_time};
use crate::{
    base::{
        back_off::{FailureEffect, Permission, SuspendLimits, Suspension},
        metrics::{Metrics, PluginMetrics},
        record::Record,
    },
    plugin::events::{BatchesPaused, BatchesResumed, Resumed, Suspended, Version},
    topic::Partitions,
};

/// A failure counts once for each started interval of this length that it cost, the making of the next instance included. So
/// a plugin that keeps failing takes at most a tenth of a core before it is suspended.
const FAILURE_COST: Duration = Duration::from_millis(50);
/// After a failed batch the plugin is asked about records one by one for this long; the pause doubles while batches keep
/// failing.
const BATCH_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_BATCH_PAUSE: Duration = Duration::from_secs(60);

/// One version of a plugin with one config, and its instances.
pub struct Pool {
    code: Arc<Code>,
    /// The route's config as JSON.
    config: String,
    limits: Limits,
    metrics: PluginMetrics,
    /// Instances that are not on loan.
    idle: Mutex<Vec<Instance>>,
    /// Bounds how many instances there are, whether on loan or being made.
    permits: Arc<Semaphore>,
    /// Suspends the plugin when it keeps failing.
    suspension: Suspension,
    /// Suspends only the asking in batches, when batches fail.
    batches: Suspension,
    /// CPU time that it took to make the last instance, µs.
    making_us: AtomicU64,
    /// The footprint of the instance that was last given back.
    footprint: Mutex<Footprint>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("plugin", &self.code.name)
            .field("digest", &self.code.digest)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// Makes the first instance and tries it on plain records. So a config that the plugin refuses, or a plugin that cannot
    /// decide about a plain record, is an error at once.
    pub fn new(code: Arc<Code>, config: String, limits: Limits, metrics: &Metrics) -> Result<Self, CallError> {
        let pool = Self::untried(code, config, limits, metrics);
        let mut first = pool.make()?;
        for record in smoke_records() {
            let partitions = Arc::new(Partitions::of(SMOKE_PARTITIONS));
            first
                .partition(&pool.code, &pool.limits, &pool.metrics, record, None, &partitions)
                .1?;
        }
        pool.give_back(first);
        Ok(pool)
    }

    /// A pool without an instance: for tools that take the steps of [`Pool::new`] one by one, to say which of them fails.
    pub fn untried(code: Arc<Code>, config: String, limits: Limits, metrics: &Metrics) -> Self {
        Self {
            metrics: metrics.plugin(&code.name),
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(limits.instances)),
            suspension: Suspension::new(limits.suspend, Instant::now()),
            batches: Suspension::new(batch_limits(&limits), Instant::now()),
            making_us: AtomicU64::new(0),
            footprint: Mutex::default(),
            code,
            config,
            limits,
        }
    }

    /// The compiled component.
    pub fn code(&self) -> &Arc<Code> {
        &self.code
    }

    /// The route's config as JSON.
    pub fn config(&self) -> &str {
        &self.config
    }

    /// The plugin's name.
    pub fn name(&self) -> &str {
        &self.code.name
    }

    /// The SHA-256 of the plugin's file.
    pub fn digest(&self) -> &str {
        &self.code.digest
    }

    /// Whether the plugin failed so often that it is not called for a while.
    pub fn is_suspended(&self) -> bool {
        self.suspension.is_suspended()
    }

    /// Whether a batch failed a short time ago, so that the plugin is asked about records one by one for a while.
    pub fn is_batch_paused(&self) -> bool {
        self.batches.is_suspended()
    }

    /// What an instance takes: the footprint of the last one that was given back.
    pub fn footprint(&self) -> Footprint {
        *self.footprint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds by the engine's coarse clock.
    pub fn coarse_ms(&self) -> u64 {
        self.code.engine.coarse_ms()
    }

    /// Whether the next call is a probe: the one that decides whether a suspended plugin is resumed.
    fn admit(&self) -> Result<bool, CallError> {
        match self.suspension.admit(Instant::now) {
            Permission::Open => Ok(false),
            Permission::Probe => Ok(true),
            Permission::Suspended(pause) => {
                self.metrics.while_suspended.inc();
                Err(CallError::Suspended {
                    plugin: self.name().to_owned(),
                    pause_ms: pause.as_millis() as u64,
                })
            }
        }
    }

    fn make(&self) -> Result<Instance, CallError> {
        let begun = thread_cpu_time();
        let made = Instance::new(&self.code, &self.limits, &self.config);
        let took = thread_cpu_time().saturating_sub(begun);
        self.making_us.store(took.as_micros() as u64, Ordering::Relaxed);
        self.metrics.instances.inc();
        made
    }

    fn give_back(&self, instance: Instance) {
        *self.footprint.lock().unwrap_or_else(PoisonError::into_inner) = instance.footprint();
        self.idle().push(instance);
    }

    /// How often a failure counts. `took` is how long the failed call ran.
    fn weight(&self, took: Duration) -> usize {
        let cost = took + Duration::from_micros(self.making_us.load(Ordering::Relaxed));
        1 + usize::try_from(cost.as_micros() / FAILURE_COST.as_micros()).unwrap_or(usize::MAX - 1)
    }

    fn pop(&self) -> Option<Instance> {
        self.idle().pop()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Instance>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, probe: bool, error: &CallError, took: Duration) {
        let effect = self.suspension.failed(probe, self.weight(took), Instant::now());
        if let FailureEffect::Suspended { pause, was_open } = effect {
            let suspended = Suspended {
                version: self.version(),
                pause,
                was_open,
                last_error: error,
            };
            suspended.emit(&self.metrics);
        }
    }

    /// Counts a failed batch as a failed call, and pauses batches: for a while the plugin is asked about records one by one.
    fn batch_failed(&self, probe: bool, error: &CallError, took: Duration) {
        self.metrics.batch_failures.inc();
        if let FailureEffect::Suspended { pause, was_open } = self.batches.failed(probe, 1, Instant::now()) {
            let paused = BatchesPaused {
                version: self.version(),
                pause,
                was_open,
                error,
            };
            paused.emit(&self.metrics);
        }
        self.failed(false, error, took);
    }

    fn batch_succeeded_after_all(&self) {
        if self.batches.resume(Instant::now()) {
            let version = self.version();
            BatchesResumed { version }.emit(&self.metrics);
        }
    }

    fn succeeded_after_all(&self) {
        if self.suspension.resume(Instant::now()) {
            let version = self.version();
            Resumed { version }.emit(&self.metrics);
        }
    }

    /// As events name it.
    fn version(&self) -> Version<'_> {
        Version {
            plugin: self.name(),
            digest: self.digest(),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.suspension.is_suspended() {
            self.metrics.suspended.dec();
        }
        if self.batches.is_suspended() {
            self.metrics.batch_paused.dec();
        }
    }
}

/// One failed batch is enough for a pause, but the pause is short: small requests lose nothing by it.
fn batch_limits(limits: &Limits) -> SuspendLimits {
    SuspendLimits {
        failures: 1,
        window: limits.suspend.window,
        first: BATCH_PAUSE,
        longest: LONGEST_BATCH_PAUSE,
    }
}

/// How many partitions the topic of [`smoke_records`] has.
pub const SMOKE_PARTITIONS: usize = 3;

/// Plain records that every plugin must be able to decide about: one with a key, a value and a time, and one without any.
pub fn smoke_records() -> [Record; 2] {
    let full = Record {
        topic: Arc::from("pointsman-smoke"),
        key: Some(Bytes::from_static(b"key")),
        value: Some(Bytes::from_static(b"{}")),
        headers: Vec::new(),
        partition: None,
        timestamp: Some(1),
        schema: None,
    };
    let bare = Record {
        key: None,
        value: None,
        timestamp: None,
        ..full.clone()
    };
    [full, bare]
}
