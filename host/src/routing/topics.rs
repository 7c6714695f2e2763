//! Every known topic: its partitions, the index of its route, what is queued for it.
//!
//! A topic is looked up when its first record arrives, and refreshed in the background after that. All tasks that wait
//! for one topic share one look-up. A topic that does not exist is remembered as such for a second.

mod table;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{OnceCell, Semaphore};

use self::table::{Full, TopicTable};
use crate::{
    admission::PartitionQuota,
    base::{
        metrics::Metrics,
        outcome::{Code, RecordError},
    },
    produce::{MetadataError, NoSettings, Producer},
    routing::route::Routes,
    topic::{PartitionInfo, Partitions, Rules, Topic, TopicSettings},
};

/// How long the absence of a topic is remembered.
const NEGATIVE_TTL: Duration = Duration::from_secs(1);
/// A broker that creates topics by itself first answers "unknown", and knows the topic a moment later.
const CREATION_GRACE: Duration = Duration::from_millis(1_500);
const CREATION_POLL: Duration = Duration::from_millis(100);
/// Look-ups that may ask the brokers at once, each on a thread of its own.
const CONCURRENT_LOOKUPS: usize = 4;
/// How long the first record of a topic waits for the topic's settings, after its partitions are known. If they do not
/// come, the next refresh asks again.
const SETTINGS_WAIT: Duration = Duration::from_secs(1);
/// Topics whose settings are asked for in one call.
const SETTINGS_AT_ONCE: usize = 100;

/// Why no record can be sent to a topic.
#[derive(Debug, Clone)]
pub enum TopicError {
    /// The record is at fault; this stays so until somebody changes something.
    Refused(RecordError),
    /// The topic cannot be used now, and nothing may be taken.
    Unavailable(String),
}

type Lookup = Arc<OnceCell<Result<Arc<Topic>, TopicError>>>;
/// By topic: the look-up that all callers share, and, once it has become a refusal, the time until which that is
/// remembered.
type Pending = HashMap<Arc<str>, (Option<Instant>, Lookup)>;

/// Limits on known topics and on look-ups.
#[derive(Debug, Clone, Copy)]
pub struct TopicLimits {
    /// `limits.max_topics`: most topics at once.
    pub max_topics: usize,
    /// Longest time of a look-up.
    pub timeout: Duration,
    /// Rules that all records are checked against.
    pub rules: Rules,
}

/// Every known topic.
pub struct Topics {
    producer: Arc<dyn Producer>,
    routes: Arc<Routes>,
    metrics: Arc<Metrics>,
    limits: TopicLimits,
    known: TopicTable,
    /// Look-ups under way, and remembered refusals. At most `max_topics`.
    pending: Mutex<Pending>,
    /// [`CONCURRENT_LOOKUPS`] permits.
    lookups: Semaphore,
}

impl Topics {
    /// Begins without any topic.
    pub fn new(producer: Arc<dyn Producer>, routes: Arc<Routes>, metrics: Arc<Metrics>, limits: TopicLimits) -> Self {
        Self {
            producer,
            routes,
            metrics,
            limits,
            known: TopicTable::new(limits.max_topics, Instant::now()),
            pending: Mutex::default(),
            lookups: Semaphore::new(CONCURRENT_LOOKUPS),
        }
    }

    /// The table of routes.
    pub fn routes(&self) -> &Arc<Routes> {
        &self.routes
    }

    /// The name of any known topic.
    pub fn any_known(&self) -> Option<Arc<str>> {
        self.known.any()
    }

    /// The names of all known topics.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.known.names()
    }

    /// What is under way in a partition, also if its topic is no longer known. `None`: nothing is, or the partition is not
    /// there.
    pub fn quota(&self, topic: &str, partition: u32) -> Option<Arc<PartitionQuota>> {
        self.known.quota(topic, partition)
    }

    /// The partitions of a topic, if it is known. That is no use of the topic.
    pub fn partitions(&self, topic: &str) -> Option<Arc<Partitions>> {
        Some(self.known.peek(topic)?.partitions())
    }

    /// Forgets a topic and finds it again at once. `keeps`: what is under way there is kept, as it should be.
    #[cfg(test)]
    pub(crate) fn make_anew(&self, name: &str, keeps: bool) {
        let name = Arc::from(name);
        self.known.remove(&name);
        if !keeps {
            self.known.forget_left();
        }
        let infos = self.producer.metadata(&name, self.limits.timeout).expect("partitions");
        self.take_in(self.found(&name, &infos, Vec::new())).expect("room");
    }

    /// Counts of outcomes so far, by topic and kind.
    pub fn counts(&self) -> HashMap<Arc<str>, [u64; 4]> {
        let known = self.known.all().into_iter();
        known.map(|topic| (Arc::clone(&topic.name), topic.counts())).collect()
    }

    /// Returns the topic, from memory or from the brokers. The caller has checked the name.
    pub async fn get(&self, name: &Arc<str>) -> Result<Arc<Topic>, TopicError> {
        let table = self.routes.table();
        let known = self.known.get(name, Instant::now());
        let has_route = match &known {
            Some(topic) => table.place_of(topic).is_some(),
            None => table.find(name).is_some(),
        };
        if !has_route {
            return Err(TopicError::Refused(no_route(name)));
        }
        if let Some(topic) = known {
            return Ok(topic);
        }
        let lookup = self.lookup(name)?;
        // If this caller gives up, another caller that waits for the same topic takes over.
        let asking = lookup.get_or_init(|| self.ask(name));
        let result = match tokio::time::timeout(self.limits.timeout + CREATION_GRACE, asking).await {
            Ok(result) => result.clone(),
            Err(_) => Err(TopicError::Unavailable("no answer in time".to_owned())),
        };
        let mut pending = self.pending();
        match (&result, pending.get_mut(name)) {
            // A refusal stays for a while, and answers all who ask in that time.
            (Err(TopicError::Refused(_)), Some((until, _))) => {
                until.get_or_insert_with(|| Instant::now() + NEGATIVE_TTL);
            }
            (Ok(_), _) => {
                pending.remove(name);
            }
            // Only this caller gave up on the look-up; it goes on for the others.
            (_, Some((_, same))) if Arc::ptr_eq(same, &lookup) && lookup.initialized() => {
                pending.remove(name);
            }
            _ => {}
        }
        drop(pending);
        result
    }

    /// Asks the brokers again about every known topic. Blocks the thread.
    pub fn refresh(&self) {
        // Goes by names: a topic that is held here could not make room for another one.
        for name in self.known.names() {
            let asked = Instant::now();
            match self.producer.metadata(&name, self.limits.timeout) {
                Ok(infos) => {
                    if let Some(topic) = self.known.peek(&name) {
                        topic.refresh(&infos);
                    }
                }
                Err(MetadataError::UnknownTopic | MetadataError::Unauthorized) => {
                    tracing::warn!(topic = %name, "the brokers no longer know the topic, or hide it");
                    self.known.remove(&name);
                    self.producer.forget(&name);
                }
                // No broker answers, so asking about the other topics is of no use now. The next refresh asks again.
                Err(MetadataError::Unavailable(_)) if asked.elapsed() >= self.limits.timeout / 2 => return,
                // Only this topic has trouble, such as an election.
                Err(MetadataError::Unavailable(_)) => {}
            }
        }
        self.refresh_settings();
    }

    fn refresh_settings(&self) {
        for names in self.known.names().chunks(SETTINGS_AT_ONCE) {
            let told = self.producer.settings(names, self.limits.timeout);
            for (name, settings) in names.iter().zip(told) {
                let Some(topic) = self.known.peek(name) else {
                    continue;
                };
                // Settings that cannot be read now stay as they were.
                if let Ok(settings) = settings {
                    topic.configure(settings, self.limits.rules.packing.batch_bytes);
                }
                topic.tell_refusals();
            }
        }
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lookup(&self, name: &Arc<str>) -> Result<Lookup, TopicError> {
        let mut pending = self.pending();
        let now = Instant::now();
        // A look-up that nobody waits for any more (its client went away) must not occupy a place.
        pending.retain(|_, (until, lookup)| match until {
            Some(until) => now < *until,
            None => Arc::strong_count(lookup) > 1,
        });
        if let Some((_, lookup)) = pending.get(name) {
            return Ok(Arc::clone(lookup));
        }
        // This check comes before the brokers are asked, since some brokers create a topic when asked.
        if !self.known.has_room(now) || !self.producer.has_room_for(name) {
            return Err(self.too_many(name));
        }
        if pending.len() >= self.limits.max_topics {
            return Err(TopicError::Unavailable(
                "too many unknown topics are being looked up".to_owned(),
            ));
        }
        let lookup = Lookup::default();
        pending.insert(Arc::clone(name), (None, Arc::clone(&lookup)));
        Ok(lookup)
    }

    fn too_many(&self, name: &str) -> TopicError {
        refused(
            Code::TooManyTopics,
            format!(
                "{} topics are known already, and all have been in use shortly; send to \"{name}\" later, or raise \
                 limits.max_topics",
                self.limits.max_topics
            ),
        )
    }

    /// Adds a topic to the table. If the table is full, a topic that has rested for long goes.
    fn take_in(&self, topic: Topic) -> Result<Arc<Topic>, TopicError> {
        let name = Arc::clone(&topic.name);
        let taken = self.known.insert(Arc::new(topic), Instant::now());
        let (topic, gone) = taken.map_err(|Full| self.too_many(&name))?;
        if let Some(gone) = gone {
            tracing::debug!(topic = %gone, instead = %name, "a topic that nobody has sent to for a while is no longer known");
            self.producer.forget(&gone);
        }
        Ok(topic)
    }

    fn found(
        &self,
        name: &Arc<str>,
        infos: &[PartitionInfo],
        settings: Vec<Result<TopicSettings, NoSettings>>,
    ) -> Topic {
        let rules = self.limits.rules;
        let topic = Topic::new(Arc::clone(name), infos, rules, &self.metrics);
        if let Some(before) = self.known.before(name) {
            topic.goes_on_from(&before, infos);
        }
        match settings.into_iter().next() {
            Some(Ok(settings)) => topic.configure(settings, rules.packing.batch_bytes),
            Some(Err(reason @ NoSettings::Refused(_))) => tracing::info!(
                topic = %name,
                %reason,
                "the topic's settings cannot be read, so what its brokers refuse is found out by their refusals; grant \
                 DESCRIBE_CONFIGS on the topic"
            ),
            Some(Err(NoSettings::Unsupported)) | None => {}
        }
        topic
    }

    async fn ask(&self, name: &Arc<str>) -> Result<Arc<Topic>, TopicError> {
        let begun = Instant::now();
        loop {
            // Each question takes its own permit: a topic that has to be waited for must not hold up the others.
            // The semaphore is never closed.
            let turn = self.lookups.acquire().await;
            let (producer, topic, timeout) = (Arc::clone(&self.producer), Arc::clone(name), self.limits.timeout);
            let asked = tokio::task::spawn_blocking(move || {
                let infos = producer.metadata(&topic, timeout)?;
                let settings = producer.settings(std::slice::from_ref(&topic), SETTINGS_WAIT.min(timeout));
                Ok((infos, settings))
            });
            let asked = asked.await;
            drop(turn);
            match asked {
                Ok(Ok((infos, settings))) => {
                    return self.take_in(self.found(name, &infos, settings));
                }
                // A topic that is just being created has no leaders at first.
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

/// The error of a record whose topic matches no route.
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
