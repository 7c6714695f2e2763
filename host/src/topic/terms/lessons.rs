//! What is known of a topic: its settings, and what the brokers' refusals have taught.

use std::time::{Duration, Instant};

use crate::{
    base::record::BATCH_HEADER,
    topic::{Packing, TopicSettings},
};

/// How long a lesson of a refusal holds.
pub(super) const LESSON: Duration = Duration::from_secs(600);
/// Batches that are refused as too large within this time teach only one lesson: they were made before the first refusal was
/// known.
pub(super) const EPISODE: Duration = Duration::from_secs(1);
/// Any useful topic takes records of this size, so a smaller record teaches nothing about sizes. This is the smallest
/// `message.max.bytes` that librdkafka allows.
pub(super) const SMALL: usize = 1_000;

/// The topic's settings, and the lessons of refusals.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// `None` if they cannot be read.
    pub(super) settings: Option<TopicSettings>,
    /// Records need a key; learned then.
    pub(super) key: Option<Instant>,
    /// Records of this size or more are refused.
    pub(super) bytes: Option<Lesson<usize>>,
    /// Times further ahead than this are refused, ms.
    pub(super) ahead: Option<Lesson<i64>>,
    /// Times further behind than this are refused, ms.
    pub(super) behind: Option<Lesson<i64>>,
    /// The largest batch that is taken, bytes.
    pub(super) batch: Option<Lesson<usize>>,
}

/// A bound that a refusal taught.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lesson<T> {
    pub(super) bound: T,
    /// How much the last refusal lowered a bound on times; 0 for other bounds. It doubles each time, so that a client that
    /// always stays just within the bound cannot cause many refusals.
    pub(super) step: T,
    /// When the lesson was learned.
    pub(super) since: Instant,
}

/// What a refusal taught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Learned {
    /// A new lesson.
    New,
    /// The lesson was already known: the record was in the same batch as another refused one, or on its way before.
    Known,
    /// Nothing: the reason of the refusal is not known.
    Nothing,
}

impl Known {
    pub(super) fn forget_old(&mut self, now: Instant) {
        let holds = |since: &Instant| now.duration_since(*since) < LESSON;
        self.key = self.key.filter(holds);
        self.bytes = self.bytes.filter(|lesson| holds(&lesson.since));
        self.ahead = self.ahead.filter(|lesson| holds(&lesson.since));
        self.behind = self.behind.filter(|lesson| holds(&lesson.since));
        self.batch = self.batch.filter(|lesson| holds(&lesson.since));
    }

    pub(super) fn learn_key(&mut self, now: Instant) -> Learned {
        match self.key.replace(now) {
            None => Learned::New,
            Some(_) => Learned::Known,
        }
    }

    /// Every record of a batch that was too large gets this error. Only a record that is larger than all that were ever taken
    /// can be the reason.
    pub(super) fn learn_bytes(&mut self, bytes: usize, taken: usize, now: Instant) -> Learned {
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

    /// The batch had too many small records, so the bound for batches is lowered.
    pub(super) fn learn_batch(&mut self, packing: Packing, taken: usize, now: Instant) -> Learned {
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
