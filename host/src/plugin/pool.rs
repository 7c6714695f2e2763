//! The instances that one route uses.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::{CallError, Code, Decision, Limits, instance::Instance};
use crate::{
    metrics::{Metrics, PluginMetrics},
    record::Record,
    topics::Partitions,
};

/// A plugin with one route's config, and its idle instances.
pub struct Pool {
    code: Arc<Code>,
    /// The route's config as JSON.
    config: String,
    limits: Limits,
    metrics: PluginMetrics,
    /// Never more than ran at once: an instance is never held over an await, so never more than there are worker threads.
    idle: Mutex<Vec<Instance>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("plugin", &self.code.name)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// Makes the first instance, so that a config that the plugin refuses, or a plugin that cannot decide for a plain
    /// record, is known at once.
    pub fn new(code: Arc<Code>, config: String, limits: Limits, metrics: &Metrics) -> Result<Self, CallError> {
        let pool = Self {
            metrics: metrics.plugin(&code.name, &code.digest),
            idle: Mutex::default(),
            code,
            config,
            limits,
        };
        let mut first = pool.make()?;
        let partitions = Arc::new(Partitions {
            leaderless: Vec::new(),
            queued: vec![Arc::default()],
        });
        first
            .partition(&pool.code, &pool.limits, &pool.metrics, smoke_record(), &partitions)
            .1?;
        pool.idle().push(first);
        Ok(pool)
    }

    /// The plugin's name.
    pub fn name(&self) -> &str {
        &self.code.name
    }

    /// The SHA-256 of its file.
    pub fn digest(&self) -> &str {
        &self.code.digest
    }

    /// The size of its file, bytes.
    pub fn bytes(&self) -> usize {
        self.code.bytes
    }

    /// An instance on loan, an idle one or none yet.
    pub fn lease(self: &Arc<Self>) -> Lease {
        Lease {
            instance: self.idle().pop(),
            pool: Arc::clone(self),
        }
    }

    /// Milliseconds by the engine's coarse clock.
    pub fn coarse_ms(&self) -> u64 {
        self.code.engine.coarse_ms()
    }

    fn make(&self) -> Result<Instance, CallError> {
        Instance::new(&self.code, &self.limits, &self.config)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Instance>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn smoke_record() -> Record {
    Record {
        topic: Arc::from("pointsman-smoke"),
        key: Some(Bytes::from_static(b"key")),
        value: Some(Bytes::from_static(b"{}")),
        headers: Vec::new(),
        partition: None,
        timestamp: None,
    }
}

/// An instance on loan. It goes back when this is dropped; one that trapped does not.
pub struct Lease {
    instance: Option<Instance>,
    pool: Arc<Pool>,
}

impl Lease {
    /// Asks the plugin for a decision; the record comes back with it.
    pub fn partition(&mut self, record: Record, partitions: &Arc<Partitions>) -> (Record, Result<Decision, CallError>) {
        let pool = &self.pool;
        let instance = match &mut self.instance {
            Some(instance) => instance,
            none => match pool.make() {
                Ok(instance) => none.insert(instance),
                Err(error) => {
                    pool.metrics.unavailable.inc();
                    return (record, Err(error));
                }
            },
        };
        let (record, answer) = instance.partition(&pool.code, &pool.limits, &pool.metrics, record, partitions);
        if let Err(error) = &answer {
            // A trap poisons the whole store.
            self.instance = None;
            tracing::debug!(plugin = pool.name(), %error, "plugin call failed");
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
