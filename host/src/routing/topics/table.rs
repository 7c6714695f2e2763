//! The known topics, up to a limit. When there are too many, the topic that has rested the longest makes room.
//!
//! It is never a topic that a request holds or that has a record without an outcome: the counts of its partitions would
//! begin anew. Nor is it a topic that was in use a moment ago: a topic may rest for as long as it has been in use, at
//! least [`SHORTEST_REST`], at most [`LONGEST_REST`]. So names that were sent to once go soon, and a client that sends
//! many such names cannot push out the topics that are really used.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    admission::PartitionQuota,
    topic::{Partitions, Topic},
};

const SHORTEST_REST: Duration = Duration::from_secs(10);
const LONGEST_REST: Duration = Duration::from_secs(600);
/// After a search that found no topic to remove: time until the next search, since a search looks at all topics.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// The known topics; see the [module](self).
pub(super) struct TopicTable {
    /// Most topics at once.
    most: usize,
    /// All times here are ms since this one.
    begun: Instant,
    topics: RwLock<HashMap<Arc<str>, Known>>,
    /// The quotas of topics that are no longer known, while anybody has them, or their records are under way or may still be
    /// written. A topic that is found again gets them back, so that nothing under way is lost sight of.
    left: Mutex<HashMap<Arc<str>, Arc<Partitions>>>,
    /// Until this time no topic can be removed, as the last search has found.
    full_until_ms: AtomicU64,
}

struct Known {
    topic: Arc<Topic>,
    /// When it was added.
    since_ms: u64,
    /// When it was last used.
    used_ms: AtomicU64,
}

impl Known {
    /// How long the topic has rested, if that is long enough to remove it.
    fn rested(&self, now_ms: u64) -> Option<u64> {
        // Any other reference is a request or a record under way. No new one can be made while the table is locked.
        if Arc::strong_count(&self.topic) > 1 {
            return None;
        }
        let used = self.used_ms.load(Ordering::Relaxed);
        let shortest = SHORTEST_REST.as_millis() as u64;
        let may_rest = (used - self.since_ms).clamp(shortest, LONGEST_REST.as_millis() as u64);
        Some(now_ms.saturating_sub(used)).filter(|rested| *rested >= may_rest)
    }
}

impl TopicTable {
    pub(super) fn new(most: usize, now: Instant) -> Self {
        Self {
            most,
            begun: now,
            topics: RwLock::default(),
            left: Mutex::default(),
            full_until_ms: AtomicU64::new(0),
        }
    }

    /// Returns the topic, and notes that it is in use now.
    pub(super) fn get(&self, name: &str, now: Instant) -> Option<Arc<Topic>> {
        let topics = self.read();
        let known = topics.get(name)?;
        known.used_ms.fetch_max(self.ms(now), Ordering::Relaxed);
        Some(Arc::clone(&known.topic))
    }

    /// Returns the topic without noting a use.
    pub(super) fn peek(&self, name: &str) -> Option<Arc<Topic>> {
        Some(Arc::clone(&self.read().get(name)?.topic))
    }

    /// The names of all topics.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.read().keys().cloned().collect()
    }

    /// All topics.
    pub(super) fn all(&self) -> Vec<Arc<Topic>> {
        self.read().values().map(|known| Arc::clone(&known.topic)).collect()
    }

    /// The name of any topic.
    pub(super) fn any(&self) -> Option<Arc<str>> {
        self.read().keys().next().cloned()
    }

    /// Whether there is room for one more topic.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        let now_ms = self.ms(now);
        let topics = self.read();
        if topics.len() < self.most {
            return true;
        }
        if now_ms < self.full_until_ms.load(Ordering::Relaxed) {
            return false;
        }
        let found = topics.values().any(|known| known.rested(now_ms).is_some());
        if !found {
            let until = now_ms + BETWEEN_LOOKS.as_millis() as u64;
            self.full_until_ms.store(until, Ordering::Relaxed);
        }
        found
    }

    /// Adds a topic, unless another task has added it already or there is no room. Also returns the name of the topic
    /// that was removed for it.
    pub(super) fn insert(&self, topic: Arc<Topic>, now: Instant) -> Result<(Arc<Topic>, Option<Arc<str>>), Full> {
        let now_ms = self.ms(now);
        let mut topics = self.write();
        let gone = match topics.contains_key(&topic.name) || topics.len() < self.most {
            true => None,
            false => {
                let gone = make_room(&mut topics, now_ms).ok_or(Full)?;
                self.leave(&gone);
                Some(Arc::clone(&gone.name))
            }
        };
        let known = match topics.entry(Arc::clone(&topic.name)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                self.left().remove(place.key());
                place.insert(Known {
                    topic,
                    since_ms: now_ms,
                    used_ms: AtomicU64::new(now_ms),
                })
            }
        };
        Ok((Arc::clone(&known.topic), gone))
    }

    /// Removes a topic.
    pub(super) fn remove(&self, name: &str) {
        let mut topics = self.write();
        if let Some(known) = topics.remove(name) {
            self.leave(&known.topic);
        }
    }

    /// Keeps the quotas of a topic that is removed, under the table's lock.
    fn leave(&self, topic: &Topic) {
        let mut left = self.left();
        left.retain(|_, partitions| Arc::strong_count(partitions) > 1 || partitions.is_in_use());
        left.insert(Arc::clone(&topic.name), topic.partitions());
    }

    /// The partitions that a topic had when it was known before.
    pub(super) fn before(&self, name: &str) -> Option<Arc<Partitions>> {
        self.left().get(name).map(Arc::clone)
    }

    /// The quota of a partition, also of a topic that is no longer known.
    pub(super) fn quota(&self, name: &str, partition: u32) -> Option<Arc<PartitionQuota>> {
        let topics = self.read();
        let partitions = match topics.get(name) {
            Some(known) => known.topic.partitions(),
            None => Arc::clone(self.left().get(name)?),
        };
        partitions.quotas.get(partition as usize).map(Arc::clone)
    }

    /// A bug that is planted on purpose.
    #[cfg(test)]
    pub(super) fn forget_left(&self) {
        self.left().clear();
    }

    fn left(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Partitions>>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<Arc<str>, Known>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Arc<str>, Known>> {
        self.topics.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn ms(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.begun).as_millis() as u64
    }
}

/// There is no room: every known topic is in use.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

fn make_room(topics: &mut HashMap<Arc<str>, Known>, now_ms: u64) -> Option<Arc<Topic>> {
    let longest = topics
        .iter()
        .filter_map(|(name, known)| Some((known.rested(now_ms)?, name)))
        .max_by_key(|(rested, _)| *rested)
        .map(|(_, name)| Arc::clone(name))?;
    topics.remove(&longest).map(|known| known.topic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::metrics::Metrics, topic::Rules};

    struct Bench {
        metrics: Metrics,
        table: TopicTable,
        start: Instant,
    }

    impl Bench {
        fn new(most: usize) -> Self {
            let start = Instant::now();
            Self {
                metrics: Metrics::new().expect("metrics"),
                table: TopicTable::new(most, start),
                start,
            }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        /// Adds a topic, and returns the name of the topic that was removed for it.
        fn insert(&self, name: &str, second: u64) -> Result<Option<String>, Full> {
            let topic = Arc::new(Topic::new(Arc::from(name), &[], Rules::default(), &self.metrics));
            let (_, gone) = self.table.insert(topic, self.at(second))?;
            Ok(gone.map(|name| name.to_string()))
        }

        fn touch(&self, name: &str, second: u64) -> bool {
            self.table.get(name, self.at(second)).is_some()
        }
    }

    #[test]
    fn the_topic_that_has_rested_the_longest_makes_room_and_its_labels_go_with_it() {
        let bench = Bench::new(2);
        assert_eq!(bench.insert("a", 0), Ok(None));
        assert_eq!(bench.insert("b", 1), Ok(None));
        assert!(!bench.table.has_room(bench.at(5)), "both were in use a moment ago");
        assert_eq!(bench.insert("c", 5), Err(Full));
        assert!(bench.table.has_room(bench.at(11)));
        assert_eq!(bench.insert("c", 11), Ok(Some("a".to_owned())));
        let shown = String::from_utf8(bench.metrics.render()).expect("text");
        assert!(
            !shown.contains("topic=\"a\"") && shown.contains("topic=\"c\""),
            "{shown}"
        );
    }

    #[test]
    fn a_topic_that_somebody_holds_is_never_pushed_out() {
        let bench = Bench::new(1);
        bench.insert("a", 0).expect("room");
        let held = bench.table.get("a", bench.at(0));
        assert_eq!(bench.insert("b", 1_000), Err(Full));
        drop(held);
        assert_eq!(bench.insert("b", 1_000), Ok(Some("a".to_owned())));
    }

    #[test]
    fn names_that_were_sent_to_once_do_not_push_out_what_has_been_in_use_for_long() {
        let bench = Bench::new(3);
        bench.insert("old", 0).expect("room");
        // Used once a minute, for ten minutes.
        for minute in 1..=10 {
            assert!(bench.touch("old", 60 * minute));
        }
        bench.insert("x0", 600).expect("room");
        bench.insert("x1", 600).expect("room");
        for number in 2..50 {
            let gone = bench.insert(&format!("x{number}"), 600 + 11 * number);
            assert!(
                gone.is_ok_and(|gone| gone.is_some_and(|gone| gone != "old")),
                "{number}"
            );
        }
        assert!(bench.touch("old", 1_199));
        assert!(bench.table.has_room(bench.at(3_600)), "but it does not stay for ever");
    }
}
