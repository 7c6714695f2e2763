//! One topic that can be sent to.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;

use super::{
    closure::{Change, Closure},
    refusals::Refusals,
    sticky::Sticky,
    terms::{Learned, Rules, Terms},
};
use crate::{
    admission::Lane,
    batch::{Place, now_ms},
    metrics::{Metrics, TopicCounters},
    outcome::{Code, Kind, Outcome, RecordError},
    produce::{PartitionInfo, TopicSettings},
    record::Record,
    route::Table,
};

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
    /// What it takes.
    terms: Terms,
    refusals: Refusals,
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
    pub fn new(name: Arc<str>, infos: &[PartitionInfo], rules: Rules, metrics: &Metrics) -> Self {
        Self {
            counters: metrics.topic(&name),
            name,
            place: AtomicU64::new(PLACE_UNKNOWN),
            partitions: ArcSwap::from_pointee(Partitions::default().refreshed(infos)),
            sticky: Mutex::new(Sticky::default()),
            closure: Closure::default(),
            terms: Terms::new(rules),
            refusals: Refusals::default(),
        }
    }

    /// The brokers have said how it is configured.
    pub(super) fn configure(&self, settings: TopicSettings, batch_bytes: usize) {
        let changed = self.terms.configure(settings);
        self.bound_lanes(&self.partitions());
        if let Some(most) = settings.max_batch_bytes.filter(|most| changed && *most < batch_bytes) {
            tracing::warn!(
                topic = %self.name,
                max_message_bytes = most,
                batch_bytes,
                "the topic's max.message.bytes is below what the producer packs into a batch, so each of its partitions may have \
                 no more than that in the producer's queue at once; raise max.message.bytes, or lower batch.size in \
                 [kafka.properties] to it"
            );
        }
    }

    /// No partition may have more in the producer's queue than its topic takes as one batch, where that is less than a batch of
    /// the producer's: what is in no queue is in no batch.
    fn bound_lanes(&self, partitions: &Partitions) {
        let most = self.terms.lane_bytes();
        for lane in &partitions.lanes {
            lane.bound(most);
        }
    }

    /// Whether a record may go to the producer; true: as the one that finds out whether the topic can be used again.
    pub fn admit(&self, record: &Record, place: Place) -> Result<bool, RecordError> {
        if let Some(refused) = self.terms.refuse(&self.name, record, place.bytes as usize) {
            self.refusals.note(&self.name, &refused, Instant::now());
            return Err(refused);
        }
        if let Some(refused) = self.too_much(place) {
            self.refusals.note(&self.name, &refused, Instant::now());
            return Err(refused);
        }
        self.closure.admit(&self.name)
    }

    /// A partition holds more than its bound only when one request alone brings it. What is too much of it goes nowhere, until the
    /// rest is no larger than a batch may be.
    fn too_much(&self, place: Place) -> Option<RecordError> {
        let most = self.terms.lane_bytes();
        if most == usize::MAX {
            return None;
        }
        let partitions = self.partitions.load();
        let lane = partitions.lanes.get(place.partition as usize)?;
        let (records, bytes) = (lane.records(), lane.bytes());
        (records > 1 && bytes > most).then(|| {
            RecordError::new(
                Code::BatchTooLarge,
                format!(
                    "the request brings {bytes} bytes for one partition, and topic \"{}\" takes at most {most} at once; send fewer \
                     records in a request, or raise the topic's max.message.bytes",
                    self.name
                ),
            )
        })
    }

    /// Which records of a refused batch are to blame, by their places; none: there is no telling.
    pub fn blame(&self, code: Code, places: &[Place]) -> Vec<usize> {
        self.terms.blame(code, places, now_ms())
    }

    /// A record that went to this place was written.
    pub fn took(&self, place: Place) {
        self.terms.took(place);
    }

    /// What the brokers said of a record that went to this place; `probe` as [`Topic::admit`] said. True: a refusal that stops the
    /// producer for a moment, and that others need not meet any more.
    pub fn heard(&self, outcome: &Outcome, place: Place, probe: bool) -> bool {
        match self.learn(outcome, place) {
            Learned::New => return true,
            // Why is known, and the rest of the topic stays open.
            Learned::Known => return false,
            Learned::Nothing => {}
        }
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
                true
            }
            Some(Change::Opened) => {
                self.counters.opened();
                tracing::info!(topic = %self.name, "topic open again: a record got through");
                false
            }
            None => false,
        }
    }

    fn learn(&self, outcome: &Outcome, place: Place) -> Learned {
        let Outcome::Failed(refusal) = outcome else {
            return Learned::Nothing;
        };
        let is_content = matches!(
            refusal.code,
            Code::RecordTooLarge
                | Code::BatchTooLarge
                | Code::InvalidRecord
                | Code::TimestampOutOfRange
                | Code::BatchRefused
        );
        if !is_content {
            return Learned::Nothing;
        }
        let now = Instant::now();
        self.refusals.note(&self.name, refusal, now);
        let learned = self.terms.learn(refusal.code, place, now, now_ms());
        if learned == Learned::New {
            self.bound_lanes(&self.partitions());
        }
        learned
    }

    /// Says what has been refused and not yet told.
    pub(super) fn tell_refusals(&self) {
        self.refusals.tell(&self.name, Instant::now());
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

    /// A partition for a record that may go anywhere: sticky, see [`super::sticky`].
    pub fn any(&self, partitions: &Partitions, bytes: usize) -> u32 {
        let mut sticky = self.sticky.lock().unwrap_or_else(PoisonError::into_inner);
        sticky.pick(partitions, bytes, Instant::now())
    }

    /// Outcomes so far, by kind.
    pub(super) fn counts(&self) -> [u64; 4] {
        self.counters.counts()
    }

    /// Counts an outcome.
    pub fn count(&self, kind: Kind) {
        self.counters.count(kind);
    }

    pub(super) fn refresh(&self, infos: &[PartitionInfo]) {
        let next = self.partitions.load().refreshed(infos);
        self.bound_lanes(&next);
        self.partitions.store(Arc::new(next));
    }
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
        let topic = Topic::new(Arc::from("b"), &[], Rules::default(), &metrics);
        let (old, new, without) = (table(0, &["a", "b"]), table(1, &["b", "a"]), table(2, &["a"]));
        for _ in 0..2 {
            assert_eq!(topic.route(&old), Some(1));
            assert_eq!(topic.route(&new), Some(0));
            assert_eq!(topic.route(&without), None);
            assert_eq!(topic.route(&without), None, "also from memory");
        }
    }
}
