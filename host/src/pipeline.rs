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
    plugin::{CallError, Lease, Pool},
    produce::{Health, Producer},
    record::Record,
    route::{self, Decider, Route, Routes, Table},
    topics::{Partitions, Topic, TopicError, Topics, no_route},
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
        let room = self.make_room(&records, bytes).await?;
        Ok(self.hand_over_all(records, room, mode).await)
    }

    /// Everything that may still refuse the request, so that after it the request is taken as a whole.
    pub async fn make_room(
        &self,
        records: &[Parsed],
        bytes: Option<OwnedSemaphorePermit>,
    ) -> Result<Room<'_>, NotTaken> {
        let open = Open::begin(&self.open);
        if let Health::Renewing(reason) = self.producer.health() {
            return Err(NotTaken::Unavailable(format!(
                "the producer is being renewed after a fatal error ({reason}); send it again in a moment"
            )));
        }
        let topics = self.admission.in_time(self.resolve(records)).await.unwrap_or_else(|| {
            Err(NotTaken::Unavailable(
                "the partitions of the request's topics could not be had from Kafka within limits.max_wait_ms"
                    .to_owned(),
            ))
        })?;
        let reservation = Reservation {
            bytes,
            records: Some(self.admission.records(records.len()).await?),
        };
        Ok(Room {
            topics,
            reservation,
            _open: open,
        })
    }

    /// Decides and hands over, record by record, in their order. Must not be cancelled half-way.
    pub async fn hand_over_all(&self, records: Vec<Parsed>, room: Room<'_>, mode: Mode) -> Submitted {
        let Room {
            topics,
            reservation,
            _open,
        } = room;
        let generation = self.producer.generation();
        let batch = Batch::new(
            records.len(),
            generation,
            mode.answer,
            reservation,
            Arc::clone(&self.metrics),
        );
        let mut trace = Vec::with_capacity(if mode.trace { records.len() } else { 0 });
        let mut turn = Turn::new(self.topics.routes(), self.max_plugin_ms);
        for (index, parsed) in records.into_iter().enumerate() {
            let sendable = self.sendable(parsed, &topics);
            if let Ok((record, topic, _)) = &sendable
                && let Some(pool) = turn.wants_lease(record, topic)
            {
                turn.lease(pool).await;
            }
            if mode.trace {
                let asked = sendable
                    .as_ref()
                    .ok()
                    .and_then(|(record, topic, _)| turn.asks(record, topic));
                trace.push(asked.cloned());
            }
            self.hand_over(&batch, index, sendable, &mut turn);
            if turn.is_over() || index % RECORDS_BETWEEN_YIELDS == RECORDS_BETWEEN_YIELDS - 1 {
                turn.pause();
                tokio::task::yield_now().await;
                turn.resume();
            }
        }
        drop(turn);
        batch.handed_over();
        Submitted { batch, trace }
    }

    /// Whether no record waits for its outcome, and none is about to.
    pub fn is_empty(&self) -> bool {
        self.open.load(Ordering::SeqCst) == 0 && self.metrics.queue_messages() == 0
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

    /// A record with its topic and its size, or why it goes nowhere, and what that counts for.
    fn sendable<'t>(&self, parsed: Parsed, topics: &'t Resolved) -> Result<Sendable<'t>, Refusal<'t>> {
        let record = parsed.map_err(|error| (None, error))?;
        let topic = match topics.get(&record.topic) {
            Some(Ok(topic)) => topic,
            Some(Err(error)) => return Err((None, error.clone())),
            // `resolve` has seen every record.
            None => unreachable!("topic {} was resolved before", record.topic),
        };
        let size = record.wire_size();
        if size > self.max_record_bytes {
            return Err((Some(topic), self.too_large(size)));
        }
        Ok((record, topic, size))
    }

    /// Decides and hands over one record, or refuses it.
    fn hand_over(
        &self,
        batch: &Arc<Batch>,
        index: usize,
        sendable: Result<Sendable<'_>, Refusal<'_>>,
        turn: &mut Turn<'_>,
    ) {
        let (record, topic, size) = match sendable {
            Ok(sendable) => sendable,
            Err((topic, error)) => return batch.refuse(index, topic.map(|topic| &**topic), error),
        };
        let partitions = topic.partitions();
        let (record, decided) = match record.partition {
            Some(partition) => (record, route::explicit(partition, topic, &partitions)),
            None => turn.decide(record, topic, &partitions),
        };
        let admitted = decided.and_then(|partition| Ok((partition, topic.admit()?)));
        match admitted {
            Ok((partition, probe)) => {
                let queued = &partitions.queued[partition as usize];
                let ticket = Ticket::new(batch, index, topic, queued, size).as_probe(probe);
                self.producer.send(batch.generation(), &record, partition, ticket);
            }
            Err(error) => batch.refuse(index, Some(topic), error),
        }
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

/// What a request needs before its first record is handed over.
pub struct Room<'a> {
    topics: Resolved,
    reservation: Reservation,
    _open: Open<'a>,
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

/// A record that may be decided, its topic, and its size as `message.max.bytes` counts it.
type Sendable<'t> = (Record, &'t Arc<Topic>, usize);

/// What is refused before it is decided, and the topic that it counts for where that is known.
type Refusal<'t> = (Option<&'t Arc<Topic>>, RecordError);

/// A request's use of plugins: a table of routes and one instance on loan, both given back whenever others may run, and a
/// budget.
struct Turn<'r> {
    routes: &'r Routes,
    /// Taken anew after each pause: what was swapped in meanwhile decides from then on, and never what was before.
    table: Arc<Table>,
    lease: Option<Lease>,
    /// Why the plugin that the next record wants cannot be asked.
    refused: Option<CallError>,
    /// Whose clock counts, and what it said when the loan began.
    begun: Option<(Arc<Pool>, u64)>,
    spent_ms: u64,
    budget_ms: u64,
}

impl<'r> Turn<'r> {
    fn new(routes: &'r Routes, budget_ms: u64) -> Self {
        Self {
            routes,
            table: routes.table(),
            lease: None,
            refused: None,
            begun: None,
            spent_ms: 0,
            budget_ms,
        }
    }

    /// The plugin that decides for a record, if one does.
    fn asks(&self, record: &Record, topic: &Topic) -> Option<&Arc<Pool>> {
        match record.partition {
            Some(_) => None,
            None => route_of(&self.table, topic)?.plugin(),
        }
    }

    /// The plugin of which an instance must be had before this record can be decided.
    fn wants_lease(&self, record: &Record, topic: &Topic) -> Option<Arc<Pool>> {
        let pool = self.asks(record, topic)?;
        let fits = |lease: &Lease| Arc::ptr_eq(lease.pool(), pool) && !lease.is_spent();
        let has = self.lease.as_ref().is_some_and(fits);
        (!has && !self.is_spent()).then(|| Arc::clone(pool))
    }

    /// Gets an instance. Waiting for one that others use is not this request's doing; making one is.
    async fn lease(&mut self, pool: Arc<Pool>) {
        self.pause();
        let place = pool.place().await;
        self.begun = Some((Arc::clone(&pool), pool.coarse_ms()));
        match place.lease().await {
            Ok(lease) => self.lease = Some(lease),
            Err(error) => self.refused = Some(error),
        }
    }

    /// Decides a record after [`Turn::wants_lease`] has been asked about it.
    fn decide(
        &mut self,
        record: Record,
        topic: &Topic,
        partitions: &Arc<Partitions>,
    ) -> (Record, Result<u32, RecordError>) {
        let Some(route) = route_of(&self.table, topic) else {
            return (record, Err(no_route(&topic.name)));
        };
        let error = match (&route.decider, &mut self.lease) {
            (Decider::KeyHash, _) => {
                let decided = route.by_key_hash(&record, topic, partitions);
                return (record, Ok(decided));
            }
            (Decider::Missing, _) => missing(route),
            (Decider::Plugin(pool), lease) => match (self.refused.take(), lease) {
                (Some(error), _) => error.into(),
                (None, Some(lease)) if Arc::ptr_eq(lease.pool(), pool) && !lease.is_spent() => {
                    return route.decide(lease, record, topic, partitions);
                }
                (None, _) => self.spent(pool),
            },
        };
        let decided = route.without_plugin(error, &record, topic, partitions);
        (record, decided)
    }

    fn is_spent(&self) -> bool {
        self.spent_ms + self.elapsed() >= self.budget_ms
    }

    fn elapsed(&self) -> u64 {
        match &self.begun {
            Some((pool, begun_ms)) => pool.coarse_ms().saturating_sub(*begun_ms),
            None => 0,
        }
    }

    fn is_over(&self) -> bool {
        self.elapsed() >= PLUGIN_MS_BETWEEN_YIELDS
    }

    fn pause(&mut self) {
        self.spent_ms += self.elapsed();
        self.begun = None;
        self.lease = None;
    }

    fn resume(&mut self) {
        self.table = self.routes.table();
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

fn route_of<'t>(table: &'t Table, topic: &Topic) -> Option<&'t Arc<Route>> {
    table.routes().get(topic.route(table)?)
}

fn missing(route: &Route) -> RecordError {
    let name = route.config.plugin.as_deref().unwrap_or_default();
    RecordError::new(
        Code::PluginUnavailable,
        format!("plugin \"{name}\" has not been there yet; put {name}.wasm into the folder of plugins.dir"),
    )
}

#[cfg(test)]
pub(crate) mod tests;
