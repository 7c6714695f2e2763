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
    topic::Partitions,
};

/// What one failure may cost, the instance in place of the lost one included. For as much more it counts once more: what keeps failing
/// takes a tenth of a core at most before it is suspended.
const FAILURE_COST: Duration = Duration::from_millis(50);
/// After a batch failed, records are asked about one by one for this long; it doubles while batches go on failing.
const BATCH_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_BATCH_PAUSE: Duration = Duration::from_secs(60);

/// One version of a plugin with one config, and its instances.
pub struct Pool {
    code: Arc<Code>,
    /// The route's config as JSON.
    config: String,
    limits: Limits,
    metrics: PluginMetrics,
    /// Instances that nobody has on loan.
    idle: Mutex<Vec<Instance>>,
    /// As many as instances may be there at once, on loan or being made.
    places: Arc<Semaphore>,
    suspension: Suspension,
    /// Of asking in batches alone.
    batches: Suspension,
    /// CPU time that making the last instance took, µs.
    making_us: AtomicU64,
    /// What the instance that was last given back took.
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
    /// Makes the first instance, so that a config that the plugin refuses, or a plugin that cannot decide for a plain
    /// record, is known at once.
    pub fn new(code: Arc<Code>, config: String, limits: Limits, metrics: &Metrics) -> Result<Self, CallError> {
        let pool = Self::untried(code, config, limits, metrics);
        let mut first = pool.make()?;
        for record in smoke_records() {
            let partitions = Arc::new(Partitions::of(SMOKE_PARTITIONS));
            first
                .partition(&pool.code, &pool.limits, &pool.metrics, record, &partitions)
                .1?;
        }
        pool.give_back(first);
        Ok(pool)
    }

    /// Without an instance yet: for tools that do what [`Pool::new`] does step by step, to say at which it fails.
    pub fn untried(code: Arc<Code>, config: String, limits: Limits, metrics: &Metrics) -> Self {
        Self {
            metrics: metrics.plugin(&code.name),
            idle: Mutex::default(),
            places: Arc::new(Semaphore::new(limits.instances)),
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

    /// The SHA-256 of its file.
    pub fn digest(&self) -> &str {
        &self.code.digest
    }

    /// Whether it failed so often that it is left alone for a while.
    pub fn is_suspended(&self) -> bool {
        self.suspension.is_suspended()
    }

    /// Whether a batch failed shortly, so that its records are asked about one by one for a while.
    pub fn is_batch_paused(&self) -> bool {
        self.batches.is_suspended()
    }

    /// What an instance takes, as the last that was given back did.
    pub fn footprint(&self) -> Footprint {
        *self.footprint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds by the engine's coarse clock.
    pub fn coarse_ms(&self) -> u64 {
        self.code.engine.coarse_ms()
    }

    /// Whether the next call is one that finds out whether a suspended plugin is well again.
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

    /// How often a failure counts that took so long itself.
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
        let verdict = self.suspension.failed(probe, self.weight(took), Instant::now());
        if let FailureEffect::Suspended { pause, was_open } = verdict {
            self.metrics.suspensions.inc();
            if was_open {
                self.metrics.suspended.inc();
            }
            tracing::error!(
                plugin = self.name(),
                digest = self.digest(),
                pause_ms = pause.as_millis() as u64,
                last_error = %error,
                "plugin suspended: it failed too often; its records follow on_error until a call after the pause succeeds"
            );
        }
    }

    /// A batch failed: it counts as a failed call, and for a while records are asked about one by one.
    fn batch_failed(&self, probe: bool, error: &CallError, took: Duration) {
        self.metrics.batch_failures.inc();
        if let FailureEffect::Suspended { pause, was_open } = self.batches.failed(probe, 1, Instant::now()) {
            if was_open {
                self.metrics.batch_paused.inc();
            }
            tracing::warn!(
                plugin = self.name(),
                digest = self.digest(),
                pause_ms = pause.as_millis() as u64,
                %error,
                trace = error.trace(),
                "a batch call of the plugin failed; its records are asked about one by one, and so are all others for a while"
            );
        }
        self.failed(false, error, took);
    }

    fn batch_succeeded_after_all(&self) {
        if self.batches.resume(Instant::now()) {
            self.metrics.batch_paused.dec();
            tracing::info!(
                plugin = self.name(),
                digest = self.digest(),
                "plugin is asked in batches again"
            );
        }
    }

    fn succeeded_after_all(&self) {
        if !self.suspension.resume(Instant::now()) {
            return;
        }
        self.metrics.suspended.dec();
        tracing::info!(
            plugin = self.name(),
            digest = self.digest(),
            "plugin resumed: a call succeeded after the pause"
        );
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

/// One failed batch is enough, and it is tried again soon: those who hand over few records lose nothing.
fn batch_limits(limits: &Limits) -> SuspendLimits {
    SuspendLimits {
        failures: 1,
        window: limits.suspend.window,
        first: BATCH_PAUSE,
        longest: LONGEST_BATCH_PAUSE,
    }
}

/// Partitions of the topic that smoke calls are about.
pub const SMOKE_PARTITIONS: usize = 3;

/// What any application may send first: a record with everything, and one with nothing.
pub fn smoke_records() -> [Record; 2] {
    let full = Record {
        topic: Arc::from("pointsman-smoke"),
        key: Some(Bytes::from_static(b"key")),
        value: Some(Bytes::from_static(b"{}")),
        headers: Vec::new(),
        partition: None,
        timestamp: Some(1),
    };
    let bare = Record {
        key: None,
        value: None,
        timestamp: None,
        ..full.clone()
    };
    [full, bare]
}
