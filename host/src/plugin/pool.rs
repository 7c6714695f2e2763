//! The instances that the routes with one plugin and one config share.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{CallError, Choice, Code, Decision, Limits, instance::Instance};
use crate::{
    metrics::{Metrics, PluginMetrics},
    record::Record,
    suspension::{Permission, Suspension, Verdict},
    topics::Partitions,
};

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
        pool.idle().push(first);
        Ok(pool)
    }

    /// Without an instance yet: for tools that do what [`Pool::new`] does step by step, to say at which it fails.
    pub fn untried(code: Arc<Code>, config: String, limits: Limits, metrics: &Metrics) -> Self {
        Self {
            metrics: metrics.plugin(&code.name),
            idle: Mutex::default(),
            places: Arc::new(Semaphore::new(limits.instances)),
            suspension: Suspension::new(limits.suspend, Instant::now()),
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

    /// Milliseconds by the engine's coarse clock.
    pub fn coarse_ms(&self) -> u64 {
        self.code.engine.coarse_ms()
    }

    /// A place for an instance; waits while all are taken. Those who wait are served in turn.
    pub async fn place(self: &Arc<Self>) -> Place {
        Place {
            pool: Arc::clone(self),
            // The semaphore is never closed.
            permit: Arc::clone(&self.places).acquire_owned().await.ok(),
        }
    }

    /// An instance on loan, for programs that do one thing at a time.
    pub fn lease_blocking(self: &Arc<Self>) -> Result<Lease, CallError> {
        let place = Place {
            pool: Arc::clone(self),
            permit: Arc::clone(&self.places).try_acquire_owned().ok(),
        };
        let probe = self.admit()?;
        let instance = self.pop().map_or_else(|| self.make(), Ok);
        place.lend(probe, instance)
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
        let made = Instance::new(&self.code, &self.limits, &self.config);
        self.metrics.instances.inc();
        made
    }

    fn pop(&self) -> Option<Instance> {
        self.idle().pop()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Instance>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, probe: bool, error: &CallError) {
        if let Verdict::Suspended { pause, was_open } = self.suspension.failed(probe, Instant::now()) {
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

/// The right to one instance.
pub struct Place {
    pool: Arc<Pool>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// An instance on loan: an idle one, or one that is made now, on a thread that may block: `configure` is the plugin's own
    /// code and may take its time.
    pub async fn lease(self) -> Result<Lease, CallError> {
        let probe = self.pool.admit()?;
        if let Some(idle) = self.pool.pop() {
            return self.lend(probe, Ok(idle));
        }
        let pool = Arc::clone(&self.pool);
        let made = tokio::task::spawn_blocking(move || pool.make()).await;
        let made = made.unwrap_or_else(|error| {
            Err(CallError::Unavailable {
                plugin: self.pool.name().to_owned(),
                reason: error.to_string(),
            })
        });
        self.lend(probe, made)
    }

    fn lend(self, probe: bool, instance: Result<Instance, CallError>) -> Result<Lease, CallError> {
        match instance {
            Ok(instance) => Ok(Lease {
                instance: Some(instance),
                probe,
                pool: self.pool,
                _permit: self.permit,
            }),
            Err(error) => {
                self.pool.metrics.unavailable.inc();
                self.pool.failed(probe, &error);
                Err(error)
            }
        }
    }
}

/// An instance on loan. It goes back when this is dropped; one that trapped does not.
pub struct Lease {
    /// None after a trap, which poisons the whole store.
    instance: Option<Instance>,
    /// The next call decides whether a suspended plugin is back.
    probe: bool,
    pool: Arc<Pool>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Lease {
    /// Whose instance it is.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Whether its instance is gone: a new lease is needed.
    pub fn is_spent(&self) -> bool {
        self.instance.is_none()
    }

    /// Bytes of the instance's memories and tables.
    pub fn memory_bytes(&self) -> usize {
        self.instance.as_ref().map_or(0, Instance::memory_bytes)
    }

    /// How many records to ask about in one call; 1: one by one.
    pub fn batch_size(&self) -> usize {
        match &self.instance {
            // One record finds out whether a suspended plugin is well again.
            Some(instance) if !self.probe => instance.batch_size(),
            _ => 1,
        }
    }

    /// Asks the plugin for decisions about records of one topic, no more than [`Lease::batch_size`]; the records come back with
    /// them. None: something went wrong, the instance is gone, and the records are to be asked about one by one, so that only
    /// the guilty one suffers.
    pub fn partition_batch(
        &mut self,
        records: Vec<Record>,
        partitions: &Arc<Partitions>,
    ) -> (Vec<Record>, Option<Vec<Choice>>) {
        let pool = &self.pool;
        let Some(instance) = &mut self.instance else {
            return (records, None);
        };
        let (records, answer) = instance.partition_batch(&pool.code, &pool.limits, &pool.metrics, records, partitions);
        match answer {
            Ok(decisions) => (records, Some(decisions)),
            Err(error) => {
                self.instance = None;
                tracing::debug!(plugin = pool.name(), %error, "a batch failed; its records are asked about one by one");
                (records, None)
            }
        }
    }

    /// Asks the plugin for a decision; the record comes back with it.
    pub fn partition(&mut self, record: Record, partitions: &Arc<Partitions>) -> (Record, Result<Decision, CallError>) {
        let pool = &self.pool;
        let Some(instance) = &mut self.instance else {
            let error = CallError::Unavailable {
                plugin: pool.name().to_owned(),
                reason: "its instance was lost to the record before".to_owned(),
            };
            return (record, Err(error));
        };
        let (record, answer) = instance.partition(&pool.code, &pool.limits, &pool.metrics, record, partitions);
        match &answer {
            Ok(_) if self.probe => {
                self.probe = false;
                pool.succeeded_after_all();
            }
            Ok(_) => {}
            Err(error) => {
                self.instance = None;
                pool.failed(self.probe, error);
                tracing::debug!(plugin = pool.name(), %error, "plugin call failed");
            }
        }
        (record, answer)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.take() {
            self.pool.idle().push(instance);
        }
    }
}
