//! Which records a topic takes. A record that its brokers would refuse is refused here, before it is packed into a batch with
//! records of other clients: a broker refuses the whole batch.
//!
//! The topic's settings tell, if this principal may read them. If it may not, the brokers' first refusal teaches: from then on
//! records are refused that have no key, are as large, or have a time as far off as the refused record. Times are limited from
//! the start. For all other records the topic stays open. A lesson holds for [`lessons::LESSON`]; then such records are tried again.
//! Settings that can be read end a lesson sooner.

mod breach;
mod lessons;

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

pub(super) use self::lessons::Learned;
use self::{
    breach::Breach,
    lessons::{Known, Lesson, SMALL},
};
use crate::{
    base::{
        clock::now_ms,
        outcome::{Code, RecordError},
        record::{BATCH_HEADER, Record},
    },
    topic::{Destination, Packing, TopicSettings},
};

/// The margin for clocks: a record just within a bound by our clock must not be beyond it by the broker's clock. Synchronised
/// clocks differ by seconds at worst. The margin of a small bound is a tenth of it.
const CLOCKS_MS: i64 = 60_000;
/// Ordinary records may be late by this much. So a refused record that is no later was not refused for that, and teaches
/// nothing about times.
const LATE_MS: i64 = 60_000;
/// Ordinary records may be early by this much, because clocks differ.
const EARLY_MS: i64 = 1_000;

/// The rules for all topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How far ahead a record's time may be if the topic's settings cannot be read, ms.
    pub ahead_ms: i64,
    /// How long a record may be on its way, ms. Its time gets that much older before the broker checks it.
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
    /// The settings and lessons, from which `publish` computes the bounds below.
    known: Mutex<Known>,
    // The bounds are atomic because every record is checked against them.
    needs_key: AtomicBool,
    /// The largest batch of one record alone, bytes.
    batch_bytes: AtomicUsize,
    /// Records of this size or more are refused; counted as [`Record::wire_size`] does.
    refused_bytes: AtomicUsize,
    /// How far ahead of our clock a record's time may be, ms.
    ahead_ms: AtomicI64,
    /// How far behind our clock a record's time may be, ms.
    behind_ms: AtomicI64,
    /// See [`Terms::quota_bytes`].
    quota_bytes: AtomicUsize,
    // What the brokers have taken before cannot be the reason for a refusal.
    took_keyless: AtomicBool,
    largest_taken: AtomicU32,
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

    /// Checks a record of this size ([`Record::wire_size`]); the error says why the topic does not take it.
    pub(super) fn refuse(&self, topic: &str, record: &Record, bytes: usize) -> Option<RecordError> {
        self.breach(record, bytes)?;
        // The lesson may have expired.
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

    /// Takes over the configuration that the brokers gave. True if it differs from the last one.
    pub(super) fn configure(&self, settings: TopicSettings) -> bool {
        let mut known = self.known();
        known.key = None;
        known.batch = None;
        if !self.rules.packing.compresses {
            known.bytes = None;
        }
        // Lessons about times are kept: they differ from the settings only because the clocks differ.
        let changed = known.settings.replace(settings) != Some(settings);
        self.publish(&known);
        changed
    }

    /// Notes that a record with this destination was written.
    pub(super) fn took(&self, destination: Destination) {
        if destination.bytes > self.largest_taken.load(Relaxed) {
            self.largest_taken.fetch_max(destination.bytes, Relaxed);
        }
        if !destination.keyed && !self.took_keyless.load(Relaxed) {
            self.took_keyless.store(true, Relaxed);
        }
    }

    /// The indexes of the records that made a broker refuse their batch, for a batch where librdkafka does not name them. Empty if
    /// they are not known.
    pub(super) fn blame(&self, code: Code, destinations: &[Destination], now_ms: i64) -> Vec<usize> {
        let taken = self.largest_taken.load(Relaxed);
        let all = || destinations.iter().enumerate();
        let ahead = |destination: &Destination| {
            destination
                .timestamp
                .map_or(0, |timestamp| timestamp.saturating_sub(now_ms))
        };
        match code {
            // A record is to blame if it is at least half of the batch and, as far as the settings are known, would not fit
            // alone. Otherwise the batch has too many records.
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
            // The record furthest ahead is to blame. If no record is ahead, it is the one furthest behind; that is rarer, because
            // most topics take any time in the past.
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

    /// Learns from a record with this destination that the brokers refused for its content.
    pub(super) fn learn(&self, code: Code, destination: Destination, now: Instant, now_ms: i64) -> Learned {
        let mut known = self.known();
        known.forget_old(now);
        let taken = self.largest_taken.load(Relaxed) as usize;
        let ahead = destination.timestamp.map(|timestamp| timestamp.saturating_sub(now_ms));
        let learned = match code {
            Code::RecordTooLarge => known.learn_bytes(destination.bytes as usize, taken, now),
            Code::BatchTooLarge => known.learn_batch(self.rules.packing, taken, now),
            Code::TimestampOutOfRange => self.learn_time(&mut known, ahead, EARLY_MS, now),
            // If several records of a batch are refused, the brokers give this error to each, whatever the reason. If the settings
            // are known, the reason is not the time: a record with a bad time would not have been handed over.
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

    /// How much one partition may have in the producer's queue so that no batch gets too large for the topic, bytes as
    /// [`Record::wire_size`] counts them. No limit if the topic takes the largest batch that the producer packs.
    pub(super) fn quota_bytes(&self) -> usize {
        self.quota_bytes.load(Relaxed)
    }

    /// Computes the bounds for records from the settings and lessons.
    fn publish(&self, known: &Known) {
        let settings = known.settings.unwrap_or(TopicSettings {
            ahead_ms: Some(self.rules.ahead_ms),
            ..TopicSettings::default()
        });
        let ahead = settings.ahead_ms.map(|ms| ms - CLOCKS_MS.min(ms / 10));
        // A record must not get too old on its way.
        let behind = settings
            .behind_ms
            .map(|ms| ms - self.rules.delivery_ms.saturating_add(CLOCKS_MS).min(ms / 2));
        let least = |settings: Option<i64>, lesson: Option<Lesson<i64>>| {
            let bounds = settings.into_iter().chain(lesson.map(|lesson| lesson.bound));
            bounds.min().unwrap_or(i64::MAX)
        };
        // With compression a larger record may fit. Only the broker can tell.
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

#[cfg(test)]
mod tests;
