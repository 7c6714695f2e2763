//! Instances on loan: a permit gives a lease, and a lease calls the plugin.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::OwnedSemaphorePermit;

use super::Pool;
use crate::{
    base::{back_off::Permission, record::Record},
    plugin::{CallError, Choice, Decision, Footprint, StatedValue, instance::Instance},
    topic::Partitions,
};

impl Pool {
    /// Waits for a permit. Permits are given in the order of the calls.
    pub async fn permit(self: &Arc<Self>) -> InstancePermit {
        InstancePermit {
            pool: Arc::clone(self),
            // The semaphore is never closed.
            permit: Arc::clone(&self.permits).acquire_owned().await.ok(),
        }
    }

    /// Lends an instance, for a caller that uses no others at the same time.
    pub fn lease_blocking(self: &Arc<Self>) -> Result<Lease, CallError> {
        let permit = InstancePermit {
            pool: Arc::clone(self),
            permit: Arc::clone(&self.permits).try_acquire_owned().ok(),
        };
        let probe = self.admit()?;
        let instance = self.pop().map_or_else(|| self.make(), Ok);
        permit.lend(probe, instance)
    }
}

/// The right to borrow one instance of the pool.
pub struct InstancePermit {
    pub(super) pool: Arc<Pool>,
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

impl InstancePermit {
    /// Lends an idle instance, or makes one. Making it runs the plugin's `configure`, which may take long, so this happens on a
    /// thread that may block.
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

    pub(super) fn lend(self, probe: bool, instance: Result<Instance, CallError>) -> Result<Lease, CallError> {
        match instance {
            Ok(instance) => Ok(Lease {
                instance: Some(instance),
                probe,
                batch_probe: false,
                pool: self.pool,
                _permit: self.permit,
            }),
            Err(error) => {
                self.pool.metrics.unavailable.inc();
                self.pool.failed(probe, &error, Duration::ZERO);
                Err(error)
            }
        }
    }
}

/// An instance on loan. It goes back to the pool when the lease is dropped, unless a call failed.
pub struct Lease {
    /// `None` after a failed call, because the instance's state is unknown then.
    instance: Option<Instance>,
    /// Whether the next call decides about resuming a suspended plugin.
    probe: bool,
    /// Whether the next batch decides about asking in batches again.
    batch_probe: bool,
    /// The pool that the instance goes back to.
    pool: Arc<Pool>,
    /// Given back with the lease.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Lease {
    /// The pool that the instance belongs to.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Whether the instance was lost in a failed call, so that a new lease is needed.
    pub fn is_spent(&self) -> bool {
        self.instance.is_none()
    }

    /// The memory that the instance takes.
    pub fn footprint(&self) -> Footprint {
        self.instance.as_ref().map(Instance::footprint).unwrap_or_default()
    }

    /// How many records to ask about in one call; 1 means one by one.
    pub fn batch_size(&mut self) -> usize {
        let size = match &self.instance {
            // A probe of a suspended plugin risks only one record.
            Some(instance) if !self.probe => instance.batch_size(),
            _ => 1,
        };
        if size == 1 || self.batch_probe {
            return size;
        }
        match self.pool.batches.admit(Instant::now) {
            Permission::Open => size,
            Permission::Probe => {
                self.batch_probe = true;
                size
            }
            Permission::Suspended(_) => 1,
        }
    }

    /// Asks the plugin about records of one topic, at most [`Lease::batch_size`] of them. The records come back with the
    /// choices. `None` if the call failed: the instance is lost, and the caller must ask about the records one by one, so that
    /// only the record that causes the error suffers.
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
        let probe = std::mem::take(&mut self.batch_probe);
        match answer {
            Ok(decisions) => {
                if probe {
                    pool.batch_succeeded_after_all();
                }
                (records, Some(decisions))
            }
            Err(error) => {
                let took = instance.since_begun(&pool.code);
                self.instance = None;
                pool.batch_failed(probe, &error, took);
                (records, None)
            }
        }
    }

    /// Asks the plugin about one record, which comes back with the decision.
    pub fn partition(&mut self, record: Record, partitions: &Arc<Partitions>) -> (Record, Result<Decision, CallError>) {
        self.partition_stated(record, None, partitions)
    }

    /// [`Lease::partition`] for tests: what is stated about the record's value stands in place of a schema.
    pub fn partition_stated(
        &mut self,
        record: Record,
        stated: Option<StatedValue>,
        partitions: &Arc<Partitions>,
    ) -> (Record, Result<Decision, CallError>) {
        let pool = &self.pool;
        let Some(instance) = &mut self.instance else {
            let error = CallError::Unavailable {
                plugin: pool.name().to_owned(),
                reason: "its instance was lost in the call for the record before".to_owned(),
            };
            return (record, Err(error));
        };
        let (record, answer) = instance.partition(&pool.code, &pool.limits, &pool.metrics, record, stated, partitions);
        match &answer {
            Ok(_) if self.probe => {
                self.probe = false;
                pool.succeeded_after_all();
            }
            Ok(_) => {}
            Err(error) => {
                let took = instance.since_begun(&pool.code);
                self.instance = None;
                pool.failed(self.probe, error, took);
                tracing::warn!(
                    plugin = pool.name(),
                    digest = pool.digest(),
                    %error,
                    trace = error.trace(),
                    "a call of the plugin failed; its record follows on_error"
                );
            }
        }
        (record, answer)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.take() {
            self.pool.give_back(instance);
        }
    }
}
