//! One request's way from parsed records to the producer: topics, room, then record by record the partition and the
//! hand-over, in the order of the request.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::OwnedSemaphorePermit;

use crate::{
    admission::{Admission, Busy},
    batch::{Answer, Batch, Reservation, Ticket},
    metrics::Metrics,
    outcome::{Code, RecordError},
    plugin::{Lease, Pool},
    produce::{Health, Producer},
    record::Record,
    route,
    topics::{Partitions, Topic, TopicError, Topics},
};

/// Records handed over before the task lets others run, where no plugin does so earlier.
const RECORDS_BETWEEN_YIELDS: usize = 512;
/// Plugin time after which it lets others run, ms.
const PLUGIN_MS_BETWEEN_YIELDS: u64 = 1;

/// A record as it was read, or why it could not be.
pub type Parsed = Result<Record, RecordError>;

/// Everything between a parsed request and its batch. Built once.
pub struct Pipeline {
    /// Where records go.
    pub producer: Arc<dyn Producer>,
    /// What is known of topics.
    pub topics: Topics,
    /// Room for bodies and records.
    pub admission: Arc<Admission>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// `message.max.bytes`.
    pub max_record_bytes: usize,
    /// `limits.max_plugin_ms`.
    pub max_plugin_ms: u64,
    /// Requests that are being handed over; a drain waits for them, whether or not their clients do.
    pub open: AtomicUsize,
}

/// A request that was handed over.
pub struct Submitted {
    /// Its slots.
    pub batch: Arc<Batch>,
    /// By record, the plugin that was asked; empty unless a trace was wanted.
    pub trace: Vec<Option<Arc<Pool>>>,
}

/// Why nothing of a request was taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// No room within the wait.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// Kafka, or the producer, cannot be used now.
    #[error("{0}")]
    Unavailable(String),
}

impl NotTaken {
    /// Kafka cannot say what partitions a topic has.
    pub fn without_partitions(topic: &str, reason: &str) -> Self {
        Self::Unavailable(format!(
            "the partitions of topic \"{topic}\" cannot be had from Kafka: {reason}"
        ))
    }
}

/// How a request wants its records handled.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    /// Whether outcomes are waited for.
    pub answer: Answer,
    /// Whether the reply says which plugin was asked.
    pub trace: bool,
}

impl Pipeline {
    /// Takes the whole request or nothing of it. Must not be cancelled half-way: run it as a task of its own.
    pub async fn submit(
        &self,
        records: Vec<Parsed>,
        bytes: Option<OwnedSemaphorePermit>,
        mode: Mode,
    ) -> Result<Submitted, NotTaken> {
        let _open = Open::begin(&self.open);
        if let Health::Fatal(reason) = self.producer.health() {
            return Err(NotTaken::Unavailable(format!(
                "the producer met an error that it cannot go on from: {reason}; restart the process"
            )));
        }
        let topics = self
            .admission
            .in_time(self.resolve(&records))
            .await
            .unwrap_or_else(|| {
                Err(NotTaken::Unavailable(
                    "the partitions of the request's topics could not be had from Kafka within limits.max_wait_ms"
                        .to_owned(),
                ))
            })?;
        let reservation = Reservation {
            bytes,
            records: Some(self.admission.records(records.len()).await?),
        };
        let batch = Batch::new(records.len(), mode.answer, reservation, Arc::clone(&self.metrics));
        let mut trace = Vec::with_capacity(if mode.trace { records.len() } else { 0 });
        let mut turn = Turn::new(self.max_plugin_ms);
        for (index, parsed) in records.into_iter().enumerate() {
            let asked = self.hand_over(&batch, index, parsed, &topics, &mut turn);
            if mode.trace {
                trace.push(asked.cloned());
            }
            if turn.is_over() || index % RECORDS_BETWEEN_YIELDS == RECORDS_BETWEEN_YIELDS - 1 {
                turn.pause();
                tokio::task::yield_now().await;
            }
        }
        drop(turn);
        batch.handed_over();
        Ok(Submitted { batch, trace })
    }

    /// Every topic of the request, before the first record is handed over: what is unavailable refuses the whole request.
    async fn resolve(&self, records: &[Parsed]) -> Result<Resolved, NotTaken> {
        let mut resolved = Resolved::default();
        for record in records.iter().flatten() {
            if resolved.contains_key(&record.topic) {
                continue;
            }
            let found = match self.topics.get(&record.topic).await {
                Ok(topic) => Ok(topic),
                Err(TopicError::Refused(error)) => Err(error),
                Err(TopicError::Unavailable(reason)) => {
                    return Err(NotTaken::without_partitions(&record.topic, &reason));
                }
            };
            resolved.insert(Arc::clone(&record.topic), found);
        }
        Ok(resolved)
    }

    /// Decides and hands over one record, or refuses it. Returns the plugin that was asked.
    fn hand_over<'t>(
        &self,
        batch: &Arc<Batch>,
        index: usize,
        parsed: Parsed,
        topics: &'t Resolved,
        turn: &mut Turn,
    ) -> Option<&'t Arc<Pool>> {
        let record = match parsed {
            Ok(record) => record,
            Err(error) => {
                batch.refuse(index, None, error);
                return None;
            }
        };
        let topic = match topics.get(&record.topic) {
            Some(Ok(topic)) => topic,
            Some(Err(error)) => {
                batch.refuse(index, None, error.clone());
                return None;
            }
            // `resolve` has seen every record.
            None => unreachable!("topic {} was resolved before", record.topic),
        };
        let size = record.wire_size();
        if size > self.max_record_bytes {
            batch.refuse(index, Some(topic), self.too_large(size));
            return None;
        }
        let partitions = topic.partitions();
        let (asked, record, decided) = match record.partition {
            Some(partition) => (None, record, route::explicit(partition, topic, &partitions)),
            None => {
                let (record, decided) = turn.decide(record, topic, &partitions);
                (topic.route.plugin.as_ref(), record, decided)
            }
        };
        match decided {
            Ok(partition) => {
                let queued = &partitions.queued[partition as usize];
                let ticket = Ticket::new(batch, index, topic, queued, size);
                self.producer.send(&record, partition, ticket);
            }
            Err(error) => batch.refuse(index, Some(topic), error),
        }
        asked
    }

    fn too_large(&self, size: usize) -> RecordError {
        RecordError::new(
            Code::RecordTooLarge,
            format!(
                "the record takes {size} bytes, over message.max.bytes ({}); make it smaller, or raise that",
                self.max_record_bytes
            ),
        )
    }
}

/// A request being handed over, until this is dropped.
struct Open<'a>(&'a AtomicUsize);

impl<'a> Open<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A request's topics by name, each found or refused.
type Resolved = HashMap<Arc<str>, Result<Arc<Topic>, RecordError>>;

/// A request's use of plugins: one instance on loan at a time, given back whenever others may run, and a budget.
struct Turn {
    lease: Option<(Arc<Pool>, Lease)>,
    /// The coarse clock when the loan began.
    begun_ms: u64,
    spent_ms: u64,
    budget_ms: u64,
}

impl Turn {
    fn new(budget_ms: u64) -> Self {
        Self {
            lease: None,
            begun_ms: 0,
            spent_ms: 0,
            budget_ms,
        }
    }

    fn decide(
        &mut self,
        record: Record,
        topic: &Arc<Topic>,
        partitions: &Arc<Partitions>,
    ) -> (Record, Result<u32, RecordError>) {
        let route = &topic.route;
        let Some(pool) = &route.plugin else {
            return route.decide(None, record, topic, partitions);
        };
        if self.spent_ms + self.elapsed() >= self.budget_ms {
            let error = self.spent(pool);
            let decided = route.without_plugin(error, &record, topic, partitions);
            return (record, decided);
        }
        if self.lease.as_ref().is_none_or(|(leased, _)| !Arc::ptr_eq(leased, pool)) {
            self.pause();
            self.begun_ms = pool.coarse_ms();
            self.lease = Some((Arc::clone(pool), pool.lease()));
        }
        let lease = self.lease.as_mut().map(|(_, lease)| lease);
        route.decide(lease, record, topic, partitions)
    }

    fn elapsed(&self) -> u64 {
        match &self.lease {
            Some((pool, _)) => pool.coarse_ms().saturating_sub(self.begun_ms),
            None => 0,
        }
    }

    fn is_over(&self) -> bool {
        self.elapsed() >= PLUGIN_MS_BETWEEN_YIELDS
    }

    fn pause(&mut self) {
        self.spent_ms += self.elapsed();
        self.lease = None;
    }

    fn spent(&self, pool: &Pool) -> RecordError {
        RecordError::new(
            Code::PluginBudgetSpent,
            format!(
                "the request has used its {} ms of plugin time before this record; make plugin \"{}\" faster, send \
                 smaller requests, or raise limits.max_plugin_ms",
                self.budget_ms,
                pool.name()
            ),
        )
    }
}

#[cfg(test)]
mod tests;
