//! Telling in the log that records are refused for their content: once a topic and minute, whoever sends however many.

use std::{
    mem,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::base::outcome::RecordError;

/// Between two lines about one topic.
const PAUSE: Duration = Duration::from_secs(60);

/// Refusals of one topic that have not been told.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Untold>);

#[derive(Debug, Default)]
struct Untold {
    records: u64,
    reason: String,
    last_line: Option<Instant>,
}

impl Refusals {
    /// One more. The reason is of our own words.
    pub(super) fn note(&self, topic: &str, error: &RecordError, now: Instant) {
        let mut untold = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        untold.records += 1;
        if untold.reason.is_empty() {
            untold.reason = format!("{}: {}", error.code.as_str(), error.message);
        }
        untold.tell(topic, now);
    }

    /// Tells what has come since the last line, if it is time for one. False: there was nothing to tell.
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
            "records were refused for their content, since the last line about this topic; the reason is that of the first"
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
        assert_eq!(untold(), 999, "the first is told at once");
        assert!(!refusals.tell("t", start + PAUSE / 2));
        assert!(refusals.tell("t", start + PAUSE));
        assert_eq!(untold(), 0);
        assert!(!refusals.tell("t", start + 3 * PAUSE), "nothing new");
    }
}
