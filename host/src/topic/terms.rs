//! What a topic takes of records, so that one that its brokers would refuse is refused here, before it is packed into a batch with
//! records of others: a broker refuses the batch as a whole.
//!
//! The topic's own settings say it, where this principal may read them. Where it may not, there is a limit on times, and what the
//! brokers' first refusal has taught: records without a key, of at least that size, with a time that far off. The rest of the
//! topic stays open. That is held for [`LESSON`] and then tried again; settings that can be read end it sooner.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::{
    base::{
        clock::now_ms,
        outcome::{Code, RecordError},
        record::{BATCH_HEADER, Record},
    },
    topic::{Destination, Packing, TopicSettings},
};

/// How long what a refusal has taught holds.
const LESSON: Duration = Duration::from_secs(600);
/// Batches that are too large come this close after one another: those that were made before the first of them was heard of.
const EPISODE: Duration = Duration::from_secs(1);
/// Our clock and the broker's differ, by seconds at worst where they are kept, and a record just within a bound here must not be
/// beyond it there. Small bounds are cut by a tenth.
const CLOCKS_MS: i64 = 60_000;
/// A refused record whose time is no further behind than this is late as honest ones are: it teaches nothing.
const LATE_MS: i64 = 60_000;
/// The same ahead: clocks that differ.
const EARLY_MS: i64 = 1_000;
/// No topic of any use takes less than this, so a smaller record is not refused for its size. librdkafka's own least
/// `message.max.bytes`.
const SMALL: usize = 1_000;

/// What holds for all topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How far ahead a record's time may be where the topic's settings cannot be read, ms.
    pub ahead_ms: i64,
    /// How long a record may be on its way, ms: meanwhile its time gets older.
    pub delivery_ms: i64,
    /// How the producer packs records.
    pub packing: Packing,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            ahead_ms: 3_600_000,
            delivery_ms: 120_000,
            packing: Packing::default(),
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Terms {
    rules: Rules,
    known: Mutex<Known>,
    // What follows from that, for a look at each record.
    needs_key: AtomicBool,
    /// Of a batch of the record alone.
    batch_bytes: AtomicUsize,
    /// Records of this size are refused, as [`Record::wire_size`] counts.
    refused_bytes: AtomicUsize,
    ahead_ms: AtomicI64,
    behind_ms: AtomicI64,
    quota_bytes: AtomicUsize,
    // What the brokers have taken is not what they refuse a batch for.
    took_keyless: AtomicBool,
    largest_taken: AtomicU32,
}

/// What is known, and since when.
#[derive(Debug, Default)]
struct Known {
    settings: Option<TopicSettings>,
    key: Option<Instant>,
    bytes: Option<Lesson<usize>>,
    ahead: Option<Lesson<i64>>,
    behind: Option<Lesson<i64>>,
    /// What the largest batch may have.
    batch: Option<Lesson<usize>>,
}

#[derive(Debug, Clone, Copy)]
struct Lesson<T> {
    bound: T,
    /// By how much the next refusal lowers the bound: whoever feels the way along it shall soon be at the end of it.
    step: T,
    since: Instant,
}

/// What a refusal has taught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Learned {
    /// Something.
    New,
    /// What was known already: it is of the same batch, or was on its way before.
    Known,
    /// Nothing: there is no telling why it was refused.
    Nothing,
}

/// Why a record is not handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Breach {
    NoKey,
    Batch { bytes: usize, most: usize },
    Bytes { bytes: usize, refused: usize },
    Ahead { ms: i64, most: i64 },
    Behind { ms: i64, most: i64 },
}

impl Terms {
    pub(super) fn new(rules: Rules) -> Self {
        let terms = Self {
            rules,
            known: Mutex::default(),
            needs_key: AtomicBool::new(false),
            batch_bytes: AtomicUsize::new(usize::MAX),
            refused_bytes: AtomicUsize::new(usize::MAX),
            ahead_ms: AtomicI64::new(i64::MAX),
            behind_ms: AtomicI64::new(i64::MAX),
            quota_bytes: AtomicUsize::new(usize::MAX),
            took_keyless: AtomicBool::new(false),
            largest_taken: AtomicU32::new(0),
        };
        terms.publish(&terms.known());
        terms
    }

    /// Why a record of this size ([`Record::wire_size`]) cannot be had by the topic; none where it can.
    pub(super) fn refuse(&self, topic: &str, record: &Record, bytes: usize) -> Option<RecordError> {
        self.breach(record, bytes)?;
        // What was taught may have come to its end.
        let mut known = self.known();
        known.forget_old(Instant::now());
        self.publish(&known);
        let by_settings = known.settings.is_some();
        drop(known);
        Some(self.breach(record, bytes)?.explain(topic, by_settings))
    }

    fn breach(&self, record: &Record, bytes: usize) -> Option<Breach> {
        if record.key.is_none() && self.needs_key.load(Relaxed) {
            return Some(Breach::NoKey);
        }
        let most = self.batch_bytes.load(Relaxed);
        if bytes.saturating_add(BATCH_HEADER) > most && record.batch_size() > most {
            let bytes = record.batch_size();
            return Some(Breach::Batch { bytes, most });
        }
        let refused = self.refused_bytes.load(Relaxed);
        if bytes >= refused {
            return Some(Breach::Bytes { bytes, refused });
        }
        let ahead = record.timestamp?.saturating_sub(now_ms());
        let (most_ahead, most_behind) = (self.ahead_ms.load(Relaxed), self.behind_ms.load(Relaxed));
        if ahead > most_ahead {
            let (ms, most) = (ahead, most_ahead);
            return Some(Breach::Ahead { ms, most });
        }
        let ms = ahead.saturating_neg();
        (ms > most_behind).then_some(Breach::Behind { ms, most: most_behind })
    }

    /// The brokers have said how the topic is configured. True: differently from what was known.
    pub(super) fn configure(&self, settings: TopicSettings) -> bool {
        let mut known = self.known();
        known.key = None;
        known.batch = None;
        if !self.rules.packing.compresses {
            known.bytes = None;
        }
        // Lessons about times are kept: where they differ from the settings it is for the clocks.
        let changed = known.settings.replace(settings) != Some(settings);
        self.publish(&known);
        changed
    }

    /// A record of this destination was written.
    pub(super) fn took(&self, destination: Destination) {
        if destination.bytes > self.largest_taken.load(Relaxed) {
            self.largest_taken.fetch_max(destination.bytes, Relaxed);
        }
        if !destination.keyed && !self.took_keyless.load(Relaxed) {
            self.took_keyless.store(true, Relaxed);
        }
    }

    /// Which records of a batch that was refused as a whole are to blame, by their destinations: where librdkafka does not say. None:
    /// there is no telling.
    pub(super) fn blame(&self, code: Code, destinations: &[Destination], now_ms: i64) -> Vec<usize> {
        let taken = self.largest_taken.load(Relaxed);
        let all = || destinations.iter().enumerate();
        let ahead = |destination: &Destination| {
            destination
                .timestamp
                .map_or(0, |timestamp| timestamp.saturating_sub(now_ms))
        };
        match code {
            // One that is most of the batch, and would not fit alone as far as that is known: else their number is to blame.
            Code::RecordTooLarge => {
                let settings = self.known().settings.and_then(|settings| settings.max_batch_bytes);
                let fits = |bytes: u32| settings.is_some_and(|most| bytes as usize + BATCH_HEADER <= most);
                let total: u64 = destinations
                    .iter()
                    .map(|destination| u64::from(destination.bytes))
                    .sum();
                all()
                    .max_by_key(|(_, destination)| destination.bytes)
                    .filter(|(_, destination)| destination.bytes as usize >= SMALL && destination.bytes > taken)
                    .filter(|(_, destination)| 2 * u64::from(destination.bytes) >= total && !fits(destination.bytes))
                    .map(|(index, _)| index)
                    .into_iter()
                    .collect()
            }
            // The one that is furthest ahead; without one, the one that is furthest behind: there most topics have no bound.
            Code::TimestampOutOfRange => {
                let first = all()
                    .max_by_key(|(_, destination)| ahead(destination))
                    .filter(|(_, destination)| ahead(destination) >= EARLY_MS);
                let last = || {
                    all()
                        .min_by_key(|(_, destination)| ahead(destination))
                        .filter(|(_, destination)| ahead(destination) <= -LATE_MS)
                };
                first.or_else(last).map(|(index, _)| index).into_iter().collect()
            }
            Code::InvalidRecord if !self.took_keyless.load(Relaxed) => all()
                .filter(|(_, destination)| !destination.keyed)
                .map(|(index, _)| index)
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The brokers have refused a record of this destination for its content.
    pub(super) fn learn(&self, code: Code, destination: Destination, now: Instant, now_ms: i64) -> Learned {
        let mut known = self.known();
        known.forget_old(now);
        let taken = self.largest_taken.load(Relaxed) as usize;
        let ahead = destination.timestamp.map(|timestamp| timestamp.saturating_sub(now_ms));
        let learned = match code {
            Code::RecordTooLarge => known.learn_bytes(destination.bytes as usize, taken, now),
            Code::BatchTooLarge => known.learn_batch(self.rules.packing, taken, now),
            Code::TimestampOutOfRange => self.learn_time(&mut known, ahead, EARLY_MS, now),
            // Where a batch has several records that are refused, each is told this, whatever the reason. By its settings, where they
            // are known, the topic would have taken this one's time.
            Code::InvalidRecord => {
                let ahead = ahead.filter(|_| known.settings.is_none());
                match self.learn_time(&mut known, ahead, LATE_MS, now) {
                    Learned::Nothing if !destination.keyed && !self.took_keyless.load(Relaxed) => known.learn_key(now),
                    learned => learned,
                }
            }
            _ => Learned::Nothing,
        };
        self.publish(&known);
        learned
    }

    fn learn_time(&self, known: &mut Known, ahead: Option<i64>, early_ms: i64, now: Instant) -> Learned {
        let (lesson, off, least, most) = match ahead {
            Some(ahead) if ahead >= early_ms => (&mut known.ahead, ahead, 0, &self.ahead_ms),
            Some(ahead) if ahead <= -LATE_MS => (&mut known.behind, ahead.saturating_neg(), LATE_MS, &self.behind_ms),
            _ => return Learned::Nothing,
        };
        let most = most.load(Relaxed);
        if off > most {
            return Learned::Known;
        }
        let step = lesson.map_or_else(|| CLOCKS_MS.min(off / 10), |lesson| lesson.step.saturating_mul(2));
        *lesson = Some(Lesson {
            bound: off.saturating_sub(step).max(least),
            step,
            since: now,
        });
        Learned::New
    }

    /// What one partition may have in the producer's queue, so that no batch gets larger than the topic takes, bytes as
    /// [`Record::wire_size`] counts; as much as there is, unless the producer's own batches are too large.
    pub(super) fn quota_bytes(&self) -> usize {
        self.quota_bytes.load(Relaxed)
    }

    /// What follows for a look at each record.
    fn publish(&self, known: &Known) {
        let settings = known.settings.unwrap_or(TopicSettings {
            ahead_ms: Some(self.rules.ahead_ms),
            ..TopicSettings::default()
        });
        let ahead = settings.ahead_ms.map(|ms| ms - CLOCKS_MS.min(ms / 10));
        // A record that was taken must not get too old on its way.
        let behind = settings
            .behind_ms
            .map(|ms| ms - self.rules.delivery_ms.saturating_add(CLOCKS_MS).min(ms / 2));
        let least = |settings: Option<i64>, lesson: Option<Lesson<i64>>| {
            let bounds = settings.into_iter().chain(lesson.map(|lesson| lesson.bound));
            bounds.min().unwrap_or(i64::MAX)
        };
        // With compression a larger one may fit, and only the broker can say.
        let batch = settings.max_batch_bytes.filter(|_| !self.rules.packing.compresses);
        let quota = settings
            .max_batch_bytes
            .into_iter()
            .chain(known.batch.map(|lesson| lesson.bound));
        let quota = quota.min().filter(|most| *most < self.rules.packing.batch_bytes);
        let quota = quota.map_or(usize::MAX, |most| most.saturating_sub(BATCH_HEADER));
        self.quota_bytes.store(quota, Relaxed);
        self.needs_key.store(settings.needs_key || known.key.is_some(), Relaxed);
        self.batch_bytes.store(batch.unwrap_or(usize::MAX), Relaxed);
        self.refused_bytes
            .store(known.bytes.map_or(usize::MAX, |lesson| lesson.bound), Relaxed);
        self.ahead_ms.store(least(ahead, known.ahead), Relaxed);
        self.behind_ms.store(least(behind, known.behind), Relaxed);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn forget_old(&mut self, now: Instant) {
        let holds = |since: &Instant| now.duration_since(*since) < LESSON;
        self.key = self.key.filter(holds);
        self.bytes = self.bytes.filter(|lesson| holds(&lesson.since));
        self.ahead = self.ahead.filter(|lesson| holds(&lesson.since));
        self.behind = self.behind.filter(|lesson| holds(&lesson.since));
        self.batch = self.batch.filter(|lesson| holds(&lesson.since));
    }

    fn learn_key(&mut self, now: Instant) -> Learned {
        match self.key.replace(now) {
            None => Learned::New,
            Some(_) => Learned::Known,
        }
    }

    /// All records of a batch are told that it was too large, so only one that is larger than what was ever taken may be to blame.
    fn learn_bytes(&mut self, bytes: usize, taken: usize, now: Instant) -> Learned {
        if bytes < SMALL || bytes <= taken {
            return Learned::Nothing;
        }
        let bound = (bytes - bytes / 4).max(taken + 1);
        match &mut self.bytes {
            Some(lesson) if bytes >= lesson.bound => Learned::Known,
            lesson => {
                let (step, since) = (0, now);
                *lesson = Some(Lesson { bound, step, since });
                Learned::New
            }
        }
    }

    /// No record is to blame, so the batch is: many small ones.
    fn learn_batch(&mut self, packing: Packing, taken: usize, now: Instant) -> Learned {
        let settings = self.settings.and_then(|settings| settings.max_batch_bytes);
        let most = match self.batch {
            Some(lesson) if now.duration_since(lesson.since) < EPISODE => return Learned::Known,
            Some(lesson) => lesson.bound,
            None => settings.unwrap_or(usize::MAX).min(packing.batch_bytes),
        };
        let least = taken + BATCH_HEADER;
        if most <= least {
            return Learned::Nothing;
        }
        let (bound, step, since) = ((most / 2).max(least), 0, now);
        self.batch = Some(Lesson { bound, step, since });
        Learned::New
    }
}

impl Breach {
    fn explain(self, topic: &str, by_settings: bool) -> RecordError {
        let (code, message) = match self {
            Self::NoKey => (
                Code::KeyRequired,
                format!("topic \"{topic}\" takes no record without a key (a compacted topic); give the record a key"),
            ),
            Self::Batch { bytes, most } => (
                Code::RecordTooLarge,
                format!(
                    "the record takes {bytes} bytes as a batch of its own, over the max.message.bytes of topic \"{topic}\" \
                     ({most}); make it smaller, or raise that"
                ),
            ),
            Self::Bytes { bytes, refused } => (
                Code::RecordTooLarge,
                format!(
                    "the record takes {bytes} bytes, and the brokers have just refused one of topic \"{topic}\" so large; until \
                     they are asked again records from {refused} bytes on are refused here; make it smaller, or raise the topic's \
                     max.message.bytes"
                ),
            ),
            Self::Ahead { ms, most } | Self::Behind { ms, most } => {
                let (side, setting) = match (self, by_settings) {
                    (Self::Behind { .. }, _) => ("behind", "the topic's message.timestamp.before.max.ms"),
                    (_, true) => ("ahead of", "the topic's message.timestamp.after.max.ms"),
                    (_, false) => ("ahead of", "limits.max_timestamp_ahead_ms"),
                };
                (
                    Code::TimestampOutOfRange,
                    format!(
                        "the record's time is {ms} ms {side} now, and for topic \"{topic}\" at most {most} ms are taken ({setting} \
                         with a margin for clocks and delivery, or what its brokers have just refused); correct the time"
                    ),
                )
            }
        };
        RecordError::new(code, message)
    }
}

#[cfg(test)]
mod tests;
