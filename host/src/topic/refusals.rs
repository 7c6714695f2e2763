//! Logs that records are refused for their content: at most one line a minute for each topic, however many records are refused.

use std::{
    mem,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::base::outcome::RecordError;

/// The shortest time between two lines about one topic.
const PAUSE: Duration = Duration::from_secs(60);

/// Refusals of one topic that are not in the log yet.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Untold>);

/// See [`Refusals`].
#[derive(Debug, Default)]
struct Untold {
    /// Number of refused records since the last line.
    records: u64,
    /// Why the first of them was refused.
    reason: String,
    /// When the last line was written.
    last_line: Option<Instant>,
}

impl Refusals {
    /// Notes a refusal. The error's text must be our own, because it goes to the log.
    pub(super) fn note(&self, topic: &str, error: &RecordError, now: Instant) {
        let mut untold = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        untold.records += 1;
        if untold.reason.is_empty() {
            untold.reason = format!("{}: {}", error.code.as_str(), error.message);
        }
        untold.tell(topic, now);
    }

    /// Writes a line about the refusals since the last one, if it is time for that. False if no line was written.
    pub(super) fn tell(&self, topic: &str, now: Instant) -> bool {
        let mut untold = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        untold.tell(topic, now)
    }
}

impl Untold {
    fn tell(&mut self, topic: &str, now: Instant) -> bool {
        let is_time = self.last_line.is_none_or(|last| now.duration_since(last) >= PAUSE);
        if self.records == 0 || !is_time {
            return false;
        }
        let (records, reason) = (mem::take(&mut self.records), mem::take(&mut self.reason));
        self.last_line = Some(now);
        tracing::warn!(
            topic,
            records,
            reason,
            "records were refused for their content since the last such line about this topic; the reason is the first record's"
        );
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::outcome::Code;

    #[test]
    fn a_flood_of_refusals_is_one_line_a_minute_and_none_is_left_out() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let error = RecordError::new(Code::KeyRequired, "as planned");
        let untold = || refusals.0.lock().expect("a lock").records;
        for _ in 0..1_000 {
            refusals.note("t", &error, start);
        }
        assert_eq!(untold(), 999, "the first is logged at once");
        assert!(!refusals.tell("t", start + PAUSE / 2));
        assert!(refusals.tell("t", start + PAUSE));
        assert_eq!(untold(), 0);
        assert!(!refusals.tell("t", start + 3 * PAUSE), "nothing new");
    }
}
