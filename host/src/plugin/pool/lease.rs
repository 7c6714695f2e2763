//! An instance on loan: the right to one, and what a request asks of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::OwnedSemaphorePermit;

use super::Pool;
use crate::{
    base::{back_off::Permission, record::Record},
    plugin::{CallError, Choice, Decision, Footprint, instance::Instance},
    topic::Partitions,
};

impl Pool {
    /// A place for an instance; waits while all are taken. Those who wait are served in turn.
    pub async fn permit(self: &Arc<Self>) -> InstancePermit {
        InstancePermit {
            pool: Arc::clone(self),
            // The semaphore is never closed.
            permit: Arc::clone(&self.places).acquire_owned().await.ok(),
        }
    }

    /// An instance on loan, for programs that do one thing at a time.
    pub fn lease_blocking(self: &Arc<Self>) -> Result<Lease, CallError> {
        let place = InstancePermit {
            pool: Arc::clone(self),
            permit: Arc::clone(&self.places).try_acquire_owned().ok(),
        };
        let probe = self.admit()?;
        let instance = self.pop().map_or_else(|| self.make(), Ok);
        place.lend(probe, instance)
    }
}

/// The right to one instance.
pub struct InstancePermit {
    pub(super) pool: Arc<Pool>,
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

impl InstancePermit {
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

/// An instance on loan. It goes back when this is dropped; one that trapped does not.
pub struct Lease {
    /// None after a trap, which poisons the whole store.
    instance: Option<Instance>,
    /// The next call decides whether a suspended plugin is back.
    probe: bool,
    /// The next batch decides whether it is asked in batches again.
    batch_probe: bool,
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

    /// What the instance takes.
    pub fn footprint(&self) -> Footprint {
        self.instance.as_ref().map(Instance::footprint).unwrap_or_default()
    }

    /// How many records to ask about in one call; 1: one by one.
    pub fn batch_size(&mut self) -> usize {
        let size = match &self.instance {
            // One record finds out whether a suspended plugin is well again.
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
