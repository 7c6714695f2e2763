//! Closes a topic for a while when the brokers refuse a record and would refuse the next ones, too. Each such refusal makes
//! librdkafka drain the whole idempotent producer and begin a new epoch, so one topic's trouble would stop all other topics
//! again and again.
//!
//! A topic is closed when the refusal concerns all its records: this principal may not write, or it is not known what was
//! wrong with a record. If that is known, the topic is closed only for similar records, see [`super::terms`].

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::base::{
    back_off::{FailureEffect, Permission, SuspendLimits, Suspension},
    outcome::{Code, Outcome, RecordError},
};

/// The first refusal closes the topic.
const LIMITS: SuspendLimits = SuspendLimits {
    failures: 1,
    window: Duration::from_secs(60),
    first: Duration::from_secs(1),
    longest: Duration::from_secs(30),
};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Closure {
    /// Suspended while the topic is closed.
    suspension: Suspension,
    /// The last refusal.
    refusal: Mutex<Option<RecordError>>,
}

/// A change of the topic's state.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The topic is closed for this long.
    Closed(Duration),
    /// The topic is open again.
    Opened,
}

impl Default for Closure {
    fn default() -> Self {
        Self {
            suspension: Suspension::new(LIMITS, Instant::now()),
            refusal: Mutex::default(),
        }
    }
}

impl Closure {
    /// Checks whether a record may go to the producer. True if the record is a probe.
    pub(super) fn admit(&self, topic: &str) -> Result<bool, RecordError> {
        match self.suspension.admit(Instant::now) {
            Permission::Open => Ok(false),
            Permission::Probe => Ok(true),
            Permission::Suspended(pause) => Err(self.closed(topic, pause)),
        }
    }

    /// Why a record may not go to the producer now, if it may not. Gives no probe away.
    pub(super) fn objects(&self, topic: &str) -> Option<RecordError> {
        let pause = self.suspension.pause_left(Instant::now)?;
        Some(self.closed(topic, pause))
    }

    /// Learns from the outcome of a record, and returns how that changes the topic's state.
    pub(super) fn heard(&self, outcome: &Outcome, probe: bool) -> Option<Change> {
        match outcome {
            Outcome::Acked(_) if probe => {
                self.suspension.resume(Instant::now());
                Some(Change::Opened)
            }
            Outcome::Failed(refusal) if is_lasting(refusal.code) => {
                *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal.clone());
                match self.suspension.failed(probe, 1, Instant::now()) {
                    FailureEffect::Suspended { pause, .. } => Some(Change::Closed(pause)),
                    FailureEffect::Noted => None,
                }
            }
            // A probe with another outcome has told nothing. The next probe follows after the pause.
            _ => None,
        }
    }

    fn closed(&self, topic: &str, pause: Duration) -> RecordError {
        let refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        let (code, reason) = match &*refusal {
            Some(refusal) => (while_closed(refusal.code), &*refusal.message),
            None => (Code::TopicInvalidRecord, ""),
        };
        let message = format!(
            "topic \"{topic}\" is closed for {} ms more: {reason}",
            pause.as_millis()
        );
        RecordError::new(code, message)
    }
}

/// Whether the next record would be refused as well.
fn is_lasting(code: Code) -> bool {
    matches!(
        code,
        Code::TopicUnauthorized
            | Code::InvalidRecord
            | Code::RecordTooLarge
            | Code::BatchTooLarge
            | Code::TimestampOutOfRange
    )
}

/// The code for a record that is refused here because of an earlier refusal with this code.
fn while_closed(code: Code) -> Code {
    match code {
        Code::InvalidRecord | Code::TimestampOutOfRange => Code::TopicInvalidRecord,
        Code::RecordTooLarge => Code::BatchTooLarge,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::outcome::Ack;

    fn failed(code: Code) -> Outcome {
        Outcome::Failed(RecordError::new(code, "as planned"))
    }

    #[test]
    fn one_lasting_refusal_closes_the_topic_and_a_passing_one_does_not() {
        for code in [Code::NotQueued, Code::GenerationChanged, Code::BatchRefused] {
            let closure = Closure::default();
            assert_eq!(closure.heard(&failed(code), false), None, "{code:?}");
            assert_eq!(closure.admit("t"), Ok(false));
        }
        for (code, told) in [
            (Code::TopicUnauthorized, Code::TopicUnauthorized),
            (Code::InvalidRecord, Code::TopicInvalidRecord),
            (Code::RecordTooLarge, Code::BatchTooLarge),
            (Code::BatchTooLarge, Code::BatchTooLarge),
            (Code::TimestampOutOfRange, Code::TopicInvalidRecord),
        ] {
            let closure = Closure::default();
            assert_eq!(closure.heard(&failed(code), false), Some(Change::Closed(LIMITS.first)));
            // The other records of the same batch change nothing.
            assert_eq!(closure.heard(&failed(code), false), None);
            let refusal = closure.admit("t").expect_err("closed");
            assert_eq!(refusal.code, told);
            assert!(refusal.message.contains("as planned"), "{}", refusal.message);
        }
    }

    #[test]
    fn only_a_probe_that_got_through_opens_the_topic() {
        let closure = Closure::default();
        let acked = Outcome::Acked(Ack {
            partition: 0,
            offset: None,
            timestamp: None,
        });
        closure.heard(&failed(Code::InvalidRecord), false);
        // A record that was on its way before the refusal.
        assert_eq!(closure.heard(&acked, false), None);
        assert!(closure.admit("t").is_err());
        assert_eq!(closure.heard(&acked, true), Some(Change::Opened));
        assert_eq!(closure.admit("t"), Ok(false));
    }
}
