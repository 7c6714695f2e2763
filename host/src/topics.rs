//! What is known of each topic: its partitions, its place in the table of routes, what is queued for it.
//!
//! A topic is looked up once, when its first record arrives, and refreshed in the background after that. Lookups of one
//! topic are shared by everybody who waits for it; what is not there is remembered for a second.

mod closure;
pub mod sticky;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::sync::{OnceCell, Semaphore};

use self::{
    closure::{Change, Closure},
    sticky::Sticky,
};
use crate::{
    admission::Lane,
    metrics::{Metrics, TopicCounters},
    outcome::{Code, Kind, Outcome, RecordError},
    produce::{MetadataError, PartitionInfo, Producer},
    route::{Routes, Table},
};

/// How long a "not there" is remembered.
const NEGATIVE_TTL: Duration = Duration::from_secs(1);
/// A broker that creates topics by itself says "unknown" first and knows it a moment later.
const CREATION_GRACE: Duration = Duration::from_millis(1_500);
const CREATION_POLL: Duration = Duration::from_millis(100);
/// Lookups that may ask the brokers at once, each on a thread of its own.
const CONCURRENT_LOOKUPS: usize = 4;

/// Bits of a topic's cached place; the configuration allows far fewer routes than that.
const PLACE_BITS: u32 = 16;
const PLACE: u64 = (1 << PLACE_BITS) - 1;
const SHAPE: u64 = !PLACE;
/// No table has this shape: shapes count from 0.
const PLACE_UNKNOWN: u64 = u64::MAX;

/// A topic that can be sent to.
#[derive(Debug)]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// Where its route stands in the table that was last asked, with that table's shape: matching globs for each record
    /// would cost as much as the decision.
    place: AtomicU64,
    partitions: ArcSwap<Partitions>,
    sticky: Mutex<Sticky>,
    counters: TopicCounters,
    /// Whether the brokers refuse its records for good.
    closure: Closure,
}

/// A topic's partitions at one moment.
#[derive(Debug, Default)]
pub struct Partitions {
    /// Numbers of those without a leader, rising.
    pub leaderless: Vec<u32>,
    /// What the producer holds for each. They outlive a refresh.
    pub lanes: Vec<Arc<Lane>>,
}

impl Partitions {
    /// As many as this, all with leaders and nothing queued.
    pub fn of(count: usize) -> Self {
        Self {
            leaderless: Vec::new(),
            lanes: (0..count).map(|_| Arc::default()).collect(),
        }
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.lanes.len() as u32
    }

    /// Bytes queued now, by partition.
    pub fn queued_bytes(&self) -> Vec<u64> {
        self.lanes.iter().map(|lane| lane.bytes() as u64).collect()
    }

    /// The next view: what is queued stays counted where it was.
    fn refreshed(&self, infos: &[PartitionInfo]) -> Self {
        let lanes = (0..infos.len())
            .map(|index| self.lanes.get(index).cloned().unwrap_or_default())
            .collect();
        let leaderless = (0u32..)
            .zip(infos)
            .filter(|(_, info)| !info.has_leader)
            .map(|(index, _)| index)
            .collect();
        Self { leaderless, lanes }
    }
}

impl Topic {
    /// A topic as the brokers describe it.
    pub fn new(name: Arc<str>, infos: &[PartitionInfo], metrics: &Metrics) -> Self {
        Self {
            counters: metrics.topic(&name),
            name,
            place: AtomicU64::new(PLACE_UNKNOWN),
            partitions: ArcSwap::from_pointee(Partitions::default().refreshed(infos)),
            sticky: Mutex::new(Sticky::default()),
            closure: Closure::default(),
        }
    }

    /// Whether a record may go to the producer; true: as the one that finds out whether the topic can be used again.
    pub fn admit(&self) -> Result<bool, RecordError> {
        self.closure.admit(&self.name)
    }

    /// What the brokers said of a record that went to them; `probe` as [`Topic::admit`] said. True: that closed the topic.
    pub fn heard(&self, outcome: &Outcome, probe: bool) -> bool {
        match self.closure.heard(outcome, probe) {
            Some(Change::Closed(pause)) => {
                self.counters.closed();
                let reason = outcome.error().map(|error| &*error.message).unwrap_or_default();
                tracing::error!(
                    topic = %self.name,
                    pause_ms = pause.as_millis() as u64,
                    reason,
                    "topic closed: the brokers refuse its records for good; they are rejected until one gets through"
                );
                return true;
            }
            Some(Change::Opened) => {
                self.counters.opened();
                tracing::info!(topic = %self.name, "topic open again: a record got through");
            }
            None => {}
        }
        false
    }

    /// Its route in this table, by its place there.
    pub fn route(&self, table: &Table) -> Option<usize> {
        let known = self.place.load(Ordering::Relaxed);
        if known & SHAPE == table.shape() << PLACE_BITS {
            return usize::try_from(known & PLACE).ok()?.checked_sub(1);
        }
        let found = table.find(&self.name);
        let place = found.map_or(0, |place| place as u64 + 1);
        self.place.store(table.shape() << PLACE_BITS | place, Ordering::Relaxed);
        found
    }

    /// Its partitions now.
    pub fn partitions(&self) -> Arc<Partitions> {
        self.partitions.load_full()
    }

    /// A partition for a record that may go anywhere: sticky, see [`sticky`].
    pub fn any(&self, partitions: &Partitions, bytes: usize) -> u32 {
        let mut sticky = self.sticky.lock().unwrap_or_else(PoisonError::into_inner);
        sticky.pick(partitions, bytes, Instant::now())
    }

    /// Counts an outcome.
    pub fn count(&self, kind: Kind) {
        self.counters.count(kind);
    }

    fn refresh(&self, infos: &[PartitionInfo]) {
        let next = self.partitions.load().refreshed(infos);
        self.partitions.store(Arc::new(next));
    }
}

/// Why a topic cannot be sent to.
#[derive(Debug, Clone)]
pub enum TopicError {
    /// For good, until somebody changes something: the record's fault.
    Refused(RecordError),
    /// For now: nothing may be taken.
    Unavailable(String),
}

type Lookup = Arc<OnceCell<Result<Arc<Topic>, TopicError>>>;
/// By name: until when a refusal is remembered, once it is one, and the lookup that everybody shares.
type Pending = HashMap<Arc<str>, (Option<Instant>, Lookup)>;

/// Every topic that is known.
pub struct Topics {
    producer: Arc<dyn Producer>,
    routes: Arc<Routes>,
    metrics: Arc<Metrics>,
    max_topics: usize,
    /// How long a lookup may take.
    timeout: Duration,
    known: RwLock<HashMap<Arc<str>, Arc<Topic>>>,
    /// Lookups under way, and refusals with the moment until which they are remembered. Bounded by `max_topics`.
    pending: Mutex<Pending>,
    lookups: Semaphore,
}

impl Topics {
    /// None known yet.
    pub fn new(
        producer: Arc<dyn Producer>,
        routes: Arc<Routes>,
        metrics: Arc<Metrics>,
        max_topics: usize,
        timeout: Duration,
    ) -> Self {
        Self {
            producer,
            routes,
            metrics,
            max_topics,
            timeout,
            known: RwLock::default(),
            pending: Mutex::default(),
            lookups: Semaphore::new(CONCURRENT_LOOKUPS),
        }
    }

    /// Who decides for which topics.
    pub fn routes(&self) -> &Arc<Routes> {
        &self.routes
    }

    /// The name of one that is known.
    pub fn any_known(&self) -> Option<Arc<str>> {
        self.known().keys().next().cloned()
    }

    /// Outcomes so far, by topic and kind.
    pub fn counts(&self) -> HashMap<Arc<str>, [u64; 4]> {
        let known = self.known();
        known
            .iter()
            .map(|(name, topic)| (Arc::clone(name), topic.counters.counts()))
            .collect()
    }

    /// The topic, from memory or from the brokers. The name has been checked.
    pub async fn get(&self, name: &Arc<str>) -> Result<Arc<Topic>, TopicError> {
        let table = self.routes.table();
        let known = self.known().get(name).cloned();
        let has_route = match &known {
            Some(topic) => topic.route(&table).is_some(),
            None => table.find(name).is_some(),
        };
        if !has_route {
            return Err(TopicError::Refused(no_route(name)));
        }
        if let Some(topic) = known {
            return Ok(topic);
        }
        let lookup = self.lookup(name)?;
        // When this gives up, whoever waits for the same topic takes over.
        let asking = lookup.get_or_init(|| self.ask(name));
        let result = match tokio::time::timeout(self.timeout + CREATION_GRACE, asking).await {
            Ok(result) => result.clone(),
            Err(_) => Err(TopicError::Unavailable("no answer in time".to_owned())),
        };
        let mut pending = self.pending();
        match (&result, pending.get_mut(name)) {
            // A refusal stays for a while and answers everybody who asks meanwhile.
            (Err(TopicError::Refused(_)), Some((until, _))) => {
                until.get_or_insert_with(|| Instant::now() + NEGATIVE_TTL);
            }
            (Ok(_), _) => {
                pending.remove(name);
            }
            // A lookup that only this caller gave up on goes on for the others.
            (_, Some((_, same))) if Arc::ptr_eq(same, &lookup) && lookup.initialized() => {
                pending.remove(name);
            }
            _ => {}
        }
        drop(pending);
        result
    }

    /// Asks the brokers again about every known topic. Blocks.
    pub fn refresh(&self) {
        let known: Vec<Arc<Topic>> = self.known().values().cloned().collect();
        for topic in known {
            let asked = Instant::now();
            match self.producer.metadata(&topic.name, self.timeout) {
                Ok(infos) => topic.refresh(&infos),
                Err(MetadataError::UnknownTopic | MetadataError::Unauthorized) => {
                    tracing::warn!(topic = %topic.name, "the brokers no longer know the topic, or hide it");
                    self.known
                        .write()
                        .unwrap_or_else(PoisonError::into_inner)
                        .remove(&topic.name);
                }
                // Nobody answers, so there is no use in asking about the others; the next round will.
                Err(MetadataError::Unavailable(_)) if asked.elapsed() >= self.timeout / 2 => return,
                // This topic's own trouble, such as an election.
                Err(MetadataError::Unavailable(_)) => {}
            }
        }
    }

    fn known(&self) -> std::sync::RwLockReadGuard<'_, HashMap<Arc<str>, Arc<Topic>>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lookup(&self, name: &Arc<str>) -> Result<Lookup, TopicError> {
        let mut pending = self.pending();
        let now = Instant::now();
        // A lookup that nobody waits for any more (its client went away) must not hold a place.
        pending.retain(|_, (until, lookup)| match until {
            Some(until) => now < *until,
            None => Arc::strong_count(lookup) > 1,
        });
        if let Some((_, lookup)) = pending.get(name) {
            return Ok(Arc::clone(lookup));
        }
        if self.known().len() >= self.max_topics {
            return Err(refused(
                Code::TooManyTopics,
                format!(
                    "{} topics are known already; raise limits.max_topics to send to \"{name}\"",
                    self.max_topics
                ),
            ));
        }
        if pending.len() >= self.max_topics {
            return Err(TopicError::Unavailable(
                "too many unknown topics are being looked up".to_owned(),
            ));
        }
        let lookup = Lookup::default();
        pending.insert(Arc::clone(name), (None, Arc::clone(&lookup)));
        Ok(lookup)
    }

    async fn ask(&self, name: &Arc<str>) -> Result<Arc<Topic>, TopicError> {
        let begun = Instant::now();
        loop {
            // One question at a time: a topic that is waited for must not hold up the others. Never closed.
            let turn = self.lookups.acquire().await;
            let (producer, topic, timeout) = (Arc::clone(&self.producer), Arc::clone(name), self.timeout);
            let asked = tokio::task::spawn_blocking(move || producer.metadata(&topic, timeout)).await;
            drop(turn);
            match asked {
                Ok(Ok(infos)) => {
                    let topic = Arc::new(Topic::new(Arc::clone(name), &infos, &self.metrics));
                    let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
                    return Ok(Arc::clone(known.entry(Arc::clone(name)).or_insert(topic)));
                }
                // A topic that is just being made has no leaders at first.
                Ok(Err(MetadataError::UnknownTopic | MetadataError::Unavailable(_)))
                    if begun.elapsed() < CREATION_GRACE =>
                {
                    tokio::time::sleep(CREATION_POLL).await;
                }
                Ok(Err(error)) => return Err(explain(error, name)),
                Err(join) => return Err(TopicError::Unavailable(join.to_string())),
            }
        }
    }
}

/// Why a record of a topic that no route matches is refused.
pub fn no_route(topic: &str) -> RecordError {
    RecordError::new(
        Code::NoRoute,
        format!("no [[route]] matches topic \"{topic}\"; add one to the configuration"),
    )
}

fn explain(error: MetadataError, name: &str) -> TopicError {
    match error {
        MetadataError::UnknownTopic => refused(
            Code::UnknownTopic,
            format!("the brokers do not know topic \"{name}\" and do not create it; create it, or correct the name"),
        ),
        MetadataError::Unauthorized => refused(
            Code::TopicUnauthorized,
            format!("the brokers do not let this principal use topic \"{name}\"; grant it DESCRIBE and WRITE"),
        ),
        MetadataError::Unavailable(reason) => TopicError::Unavailable(reason),
    }
}

fn refused(code: Code, message: String) -> TopicError {
    TopicError::Refused(RecordError::new(code, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config,
        route::{Decider, Route},
    };

    fn table(shape: u64, topics: &[&str]) -> Table {
        let routes = topics.iter().map(|&topic| {
            let config = config::Route {
                topics: vec![topic.to_owned()],
                ..config::Route::everything()
            };
            Arc::new(Route::new(&config, Decider::KeyHash, None).expect("a route"))
        });
        Table::new(shape, routes.collect())
    }

    #[test]
    fn a_topic_does_not_keep_the_route_that_another_table_gave_it() {
        let metrics = Metrics::new().expect("metrics");
        let topic = Topic::new(Arc::from("b"), &[], &metrics);
        let (old, new, without) = (table(0, &["a", "b"]), table(1, &["b", "a"]), table(2, &["a"]));
        for _ in 0..2 {
            assert_eq!(topic.route(&old), Some(1));
            assert_eq!(topic.route(&new), Some(0));
            assert_eq!(topic.route(&without), None);
            assert_eq!(topic.route(&without), None, "also from memory");
        }
    }
}
