//! One topic: its partitions, which records it takes, and whether it is closed.

mod closure;
mod destination;
mod events;
mod partitions;
mod refusals;
pub(crate) mod settings;
pub mod sticky;
mod terms;

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Instant,
};

use arc_swap::ArcSwap;

use self::{
    closure::{Change, Closure},
    events::{TopicClosed, TopicOpened},
    refusals::Refusals,
    sticky::{Sticky, StickyTenants},
    terms::{Learned, Terms},
};
pub use self::{
    destination::Destination,
    partitions::{PartitionInfo, Partitions},
    settings::{Packing, TopicSettings},
    terms::Rules,
};
use crate::base::{
    clock::now_ms,
    metrics::{Metrics, TopicCounters},
    outcome::{Code, Kind, Outcome, RecordError},
    record::Record,
};

/// The value of [`Topic::route_memo`] before the topic's route was looked up.
pub const NO_ROUTE_MEMO: u64 = u64::MAX;

/// A topic that records can be sent to.
#[derive(Debug)]
pub struct Topic {
    /// The topic's name.
    pub name: Arc<str>,
    /// Belongs to the table of routes, which remembers here where it found the topic's route: see
    /// `routing::route::Table::place_of`.
    pub route_memo: AtomicU64,
    /// Replaced as a whole with each refresh of the metadata.
    partitions: ArcSwap<Partitions>,
    /// The partition for records that may go to any.
    sticky: Mutex<Sticky>,
    /// The partitions for tenants whose records may go to any of several.
    sticky_tenants: Mutex<StickyTenants>,
    /// Counts the outcomes of its records.
    counters: TopicCounters,
    /// Closes the topic while the brokers refuse its records.
    closure: Closure,
    /// Which records the topic takes.
    terms: Terms,
    /// Refusals for the log.
    refusals: Refusals,
}

/// A topic as one request sees it: with the partitions of the moment when its records are decided.
#[derive(Debug, Clone)]
pub struct TopicView {
    /// The topic.
    pub topic: Arc<Topic>,
    /// The topic's partitions at that moment.
    pub partitions: Arc<Partitions>,
}

impl Topic {
    /// A topic as the brokers describe it.
    pub fn new(name: Arc<str>, infos: &[PartitionInfo], rules: Rules, metrics: &Metrics) -> Self {
        Self {
            counters: metrics.topic(&name),
            name,
            route_memo: AtomicU64::new(NO_ROUTE_MEMO),
            partitions: ArcSwap::from_pointee(Partitions::default().refreshed(infos)),
            sticky: Mutex::default(),
            sticky_tenants: Mutex::default(),
            closure: Closure::default(),
            terms: Terms::new(rules),
            refusals: Refusals::default(),
        }
    }

    /// Goes on with the quotas that the topic had when it was known before.
    pub(crate) fn goes_on_from(&self, before: &Partitions, infos: &[PartitionInfo]) {
        self.partitions.store(Arc::new(before.refreshed(infos)));
    }

    /// Takes over the configuration that the brokers gave.
    pub(crate) fn configure(&self, settings: TopicSettings, batch_bytes: usize) {
        let changed = self.terms.configure(settings);
        self.bound_quotas(&self.partitions());
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

    /// Limits each partition's quota to what the topic takes as one batch, where that is less than the producer packs into a
    /// batch: a batch cannot be larger than the queue that it is made from.
    fn bound_quotas(&self, partitions: &Partitions) {
        let most = self.terms.quota_bytes();
        for quota in &partitions.quotas {
            quota.bound(most);
        }
    }

    /// Checks whether a record may go to the producer. True if the record is a probe, which decides about opening a closed topic.
    pub fn admit(&self, record: &Record, destination: Destination) -> Result<bool, RecordError> {
        if let Some(refused) = self.terms.refuse(&self.name, record, destination.bytes as usize) {
            self.refusals.note(&self.name, &refused, Instant::now());
            return Err(refused);
        }
        if let Some(refused) = self.too_much(destination) {
            self.refusals.note(&self.name, &refused, Instant::now());
            return Err(refused);
        }
        self.closure.admit(&self.name)
    }

    /// Why the topic takes no such record now, if it does not. Unlike [`Topic::admit`], this changes nothing.
    pub fn objects(&self, record: &Record, destination: Destination) -> Option<RecordError> {
        self.terms
            .refuse(&self.name, record, destination.bytes as usize)
            .or_else(|| self.too_much(destination))
            .or_else(|| self.closure.objects(&self.name))
    }

    /// Refuses a record while its partition's queue holds more than the topic takes as one batch. Only one request alone can
    /// bring that much to a partition, so some of its records are refused until the others fit.
    fn too_much(&self, destination: Destination) -> Option<RecordError> {
        let most = self.terms.quota_bytes();
        if most == usize::MAX {
            return None;
        }
        let partitions = self.partitions.load();
        let quota = partitions.quotas.get(destination.partition as usize)?;
        let (records, bytes) = (quota.records(), quota.bytes());
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

    /// The indexes of the records that made a broker refuse their batch. Empty if they are not known.
    pub fn blame(&self, code: Code, destinations: &[Destination]) -> Vec<usize> {
        self.terms.blame(code, destinations, now_ms())
    }

    /// Notes that a record with this destination was written.
    pub fn took(&self, destination: Destination) {
        self.terms.took(destination);
    }

    /// Learns from the outcome of a record with this destination. `probe` is what [`Topic::admit`] returned. True if this is a new
    /// refusal, which makes librdkafka pause for a moment, and which similar records will not meet again.
    pub fn heard(&self, outcome: &Outcome, destination: Destination, probe: bool) -> bool {
        match self.learn(outcome, destination) {
            Learned::New => return true,
            // The reason is already known, and the topic stays open for other records.
            Learned::Known => return false,
            Learned::Nothing => {}
        }
        match self.closure.heard(outcome, probe) {
            Some(Change::Closed(pause)) => {
                let reason = outcome.error().map(|error| &*error.message).unwrap_or_default();
                let topic = &*self.name;
                TopicClosed { topic, pause, reason }.emit(&self.counters);
                true
            }
            Some(Change::Opened) => {
                TopicOpened { topic: &self.name }.emit(&self.counters);
                false
            }
            None => false,
        }
    }

    fn learn(&self, outcome: &Outcome, destination: Destination) -> Learned {
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
        let learned = self.terms.learn(refusal.code, destination, now, now_ms());
        if learned == Learned::New {
            self.bound_quotas(&self.partitions());
        }
        learned
    }

    /// Writes to the log what has been refused since its last line.
    pub(crate) fn tell_refusals(&self) {
        self.refusals.tell(&self.name, Instant::now());
    }

    /// The topic with its present partitions.
    pub fn view(self: &Arc<Self>) -> TopicView {
        TopicView {
            topic: Arc::clone(self),
            partitions: self.partitions(),
        }
    }

    /// The topic's present partitions.
    pub fn partitions(&self) -> Arc<Partitions> {
        self.partitions.load_full()
    }

    /// Picks a partition for a record that may go to any, see [`sticky`].
    pub fn any(&self, partitions: &Partitions, bytes: usize) -> u32 {
        let mut sticky = self.sticky.lock().unwrap_or_else(PoisonError::into_inner);
        sticky.pick(partitions, bytes, Instant::now())
    }

    /// Picks one of these partitions, of which there is at least one, for a record of a tenant, whose hash this is.
    pub fn any_of(&self, among: &[u32], tenant: u64, partitions: &Partitions, bytes: usize) -> u32 {
        let mut sticky = self.sticky_tenants.lock().unwrap_or_else(PoisonError::into_inner);
        sticky.pick(among, tenant, partitions, bytes, Instant::now())
    }

    /// How many outcomes of each kind there were.
    pub(crate) fn counts(&self) -> [u64; 4] {
        self.counters.counts()
    }

    /// Counts an outcome.
    pub fn count(&self, kind: Kind) {
        self.counters.count(kind);
    }

    pub(crate) fn refresh(&self, infos: &[PartitionInfo]) {
        let next = self.partitions.load().refreshed(infos);
        self.bound_quotas(&next);
        self.partitions.store(Arc::new(next));
    }
}
