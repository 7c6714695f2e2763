//! From librdkafka's error to an outcome: `failed` only where that is certain.
//!
//! librdkafka reports NOT_PERSISTED also for NOT_LEADER, STORAGE_ERROR and every code that it does not list
//! (rdkafka_request.c), after which a leader may have appended the record. So a record is `failed` only when its status is
//! NOT_PERSISTED *and* the error is one of a short list where the broker certainly refused.

use rdkafka::types::RDKafkaErrorCode as E;

use crate::base::outcome::{Code, Outcome, RecordError};

/// The outcome of a record that was handed to librdkafka and came back with an error. `persisted_no`: its status was
/// NOT_PERSISTED.
pub(crate) fn of_report(error: E, persisted_no: bool, topic: &str) -> Outcome {
    match certain(error, topic).filter(|_| persisted_no) {
        Some(refused) => Outcome::Failed(refused),
        None => Outcome::Unknown(uncertain(error, topic)),
    }
}

/// The outcome of a record that librdkafka did not even take: nothing was sent.
pub(crate) fn of_refusal(error: E, topic: &str) -> Outcome {
    if error == E::Fatal {
        return Outcome::Failed(generation_changed());
    }
    // It remembers for a while what the brokers said of the topic.
    Outcome::Failed(certain(error, topic).unwrap_or_else(|| {
        RecordError::new(
            Code::NotQueued,
            format!("the producer did not take the record: {error}; nothing was sent, send it again"),
        )
    }))
}

/// Whether a broker refuses with it a batch for the content of some record in it.
pub(crate) fn is_for_content(error: E) -> bool {
    matches!(
        error,
        E::InvalidRecord
            | E::InvalidDifferentRecord
            | E::InvalidTimestamp
            | E::MessageSizeTooLarge
            | E::MessageBatchTooLarge
    )
}

/// Why a record was not written that is as it should be.
pub(crate) fn batch_refused(topic: &str) -> RecordError {
    RecordError::new(
        Code::BatchRefused,
        format!(
            "topic \"{topic}\" refused another record of the same batch, so nothing of it was written; send it again"
        ),
    )
}

/// Why a record was not written that is not too large by itself.
pub(crate) fn batch_too_large(topic: &str) -> RecordError {
    RecordError::new(
        Code::BatchTooLarge,
        format!(
            "topic \"{topic}\" does not take a batch of so many bytes, though no record of it is too large; nothing of it was \
             written; send fewer records at once, raise the topic's max.message.bytes, or lower batch.size"
        ),
    )
}

/// Why a record is not handed over that its request began to send in an earlier generation.
pub(crate) fn generation_changed() -> RecordError {
    RecordError::new(
        Code::GenerationChanged,
        "the producer was renewed before the record was handed over; nothing was sent, send it again",
    )
}

/// The errors after which nothing can have been written: the broker gives them before it appends anything of the batch, and for
/// the batch as a whole. Not among them are those that librdkafka tries again (CORRUPT_MESSAGE ends as a time-out) and those that
/// brokers give in several places (POLICY_VIOLATION, INVALID_REQUEST, UNKNOWN_SERVER_ERROR).
fn certain(error: E, topic: &str) -> Option<RecordError> {
    let (code, message) = match error {
        E::TopicAuthorizationFailed | E::ClusterAuthorizationFailed => (
            Code::TopicUnauthorized,
            format!("the brokers do not let this principal write to topic \"{topic}\"; grant it WRITE"),
        ),
        E::MessageSizeTooLarge | E::MessageBatchTooLarge => (
            Code::RecordTooLarge,
            format!(
                "topic \"{topic}\" does not take a batch of this size; raise its max.message.bytes or lower batch.size"
            ),
        ),
        // Looked at before the append (LogValidator). That a record is too old is the one of them that a second try of a batch that
        // was written can be told; the margin of `topics::terms` lets no record through that can get too old on its way.
        E::InvalidTimestamp => (
            Code::TimestampOutOfRange,
            format!(
                "topic \"{topic}\" does not take the record's time; see its message.timestamp.after.max.ms and \
                 message.timestamp.before.max.ms"
            ),
        ),
        E::InvalidRecord => (
            Code::InvalidRecord,
            format!(
                "topic \"{topic}\" refused the record as invalid (a compacted topic needs a key; the time may be out of the \
                 topic's bounds)"
            ),
        ),
        // What the others of a refused batch get: none of it is written.
        E::InvalidDifferentRecord => return Some(batch_refused(topic)),
        // Looked at before the append, of the request or of the batch's format; no record of any content would get through.
        E::UnsupportedCompressionType | E::UnsupportedForMessageFormat | E::InvalidRequiredAcks => (
            Code::InvalidRecord,
            format!(
                "topic \"{topic}\" does not take what this producer's settings make: {error}; see [kafka.properties]"
            ),
        ),
        _ => return None,
    };
    Some(RecordError::new(code, message))
}

fn uncertain(error: E, topic: &str) -> RecordError {
    let what = "it may or may not be written";
    match error {
        E::MessageTimedOut | E::RequestTimedOut | E::OperationTimedOut => RecordError::new(
            Code::TimedOut,
            format!("no broker answered for topic \"{topic}\" within delivery.timeout.ms; {what}"),
        ),
        E::PurgeInflight => RecordError::new(
            Code::DrainExpired,
            format!("the record was given up while it was on its way to a broker; {what}"),
        ),
        // Most were never sent. But one that a leader appended and then answered with NOT_LEADER waits in the same queue, with
        // the same status, and nothing tells it from the others.
        E::PurgeQueue => RecordError::new(
            Code::Purged,
            format!("the record was given up while it waited to be sent, or to be sent again; {what}"),
        ),
        E::Fatal => RecordError::new(
            Code::ProducerFatal,
            format!("the producer met an error that it cannot go on from; {what}"),
        ),
        other => RecordError::new(Code::BrokerError, format!("topic \"{topic}\": {other}; {what}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::outcome::Kind;

    #[test]
    fn a_record_is_never_called_failed_when_a_leader_may_have_appended_it() {
        for error in [
            E::NotLeaderForPartition,
            E::MessageTimedOut,
            E::KafkaStorageError,
            E::NotEnoughReplicasAfterAppend,
            E::PurgeInflight,
            E::PurgeQueue,
            E::Fatal,
            E::OutOfOrderSequenceNumber,
            E::UnknownTopic,
            E::UnknownTopicOrPartition,
            E::InvalidMessage,
            E::PolicyViolation,
            E::Unknown,
        ] {
            for persisted_no in [true, false] {
                assert_eq!(of_report(error, persisted_no, "t").kind(), Kind::Unknown, "{error:?}");
            }
        }
    }

    #[test]
    fn a_sure_refusal_is_failed_only_when_nothing_was_sent_before() {
        for error in [
            E::TopicAuthorizationFailed,
            E::MessageSizeTooLarge,
            E::InvalidRecord,
            E::InvalidDifferentRecord,
            E::InvalidTimestamp,
            E::UnsupportedForMessageFormat,
        ] {
            assert_eq!(of_report(error, true, "t").kind(), Kind::Failed, "{error:?}");
            assert_eq!(of_report(error, false, "t").kind(), Kind::Unknown, "{error:?}");
        }
    }
}
