//! Turns librdkafka's error into an outcome: `failed` only where that is certain.
//!
//! librdkafka reports NOT_PERSISTED also for NOT_LEADER, STORAGE_ERROR and every code that it does not list
//! (rdkafka_request.c), although a leader may have appended the record. So a record is `failed` only when its status is
//! NOT_PERSISTED *and* the error is on a short list of errors by which a broker certainly refused it.

use rdkafka::types::RDKafkaErrorCode as E;

use crate::base::outcome::{Code, Outcome, RecordError};

/// The outcome of a record whose delivery report has an error. `not_persisted`: its status is NOT_PERSISTED.
pub(crate) fn of_report(error: E, not_persisted: bool, topic: &str) -> Outcome {
    match certain(error, topic).filter(|_| not_persisted) {
        Some(refused) => Outcome::Failed(refused),
        None => Outcome::Unknown(uncertain(error, topic)),
    }
}

/// The outcome of a record that librdkafka did not take, so that it was not sent.
pub(crate) fn of_refusal(error: E, topic: &str) -> Outcome {
    if error == E::Fatal {
        return Outcome::Failed(generation_changed());
    }
    // librdkafka remembers for a while why the brokers refused a topic, and refuses records for that reason.
    Outcome::Failed(certain(error, topic).unwrap_or_else(|| {
        RecordError::new(
            Code::NotQueued,
            format!("the producer did not take the record: {error}; nothing was sent, send it again"),
        )
    }))
}

/// Whether a broker gives this error for a batch because of the content of some record in it.
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

/// The error of an innocent record in a refused batch.
pub(crate) fn batch_refused(topic: &str) -> RecordError {
    RecordError::new(
        Code::BatchRefused,
        format!(
            "topic \"{topic}\" refused another record of the same batch, so none of the batch was written; send it again"
        ),
    )
}

/// The error of a record in a batch that was too large, although the record itself is not.
pub(crate) fn batch_too_large(topic: &str) -> RecordError {
    RecordError::new(
        Code::BatchTooLarge,
        format!(
            "topic \"{topic}\" does not take a batch of this size, although no record in it is too large; none of the batch was \
             written; send fewer records at once, raise the topic's max.message.bytes, or lower batch.size"
        ),
    )
}

/// The error of a record that is not handed over because its request began in an earlier generation.
pub(crate) fn generation_changed() -> RecordError {
    RecordError::new(
        Code::GenerationChanged,
        "the producer was renewed before the record was handed over; nothing was sent, send it again",
    )
}

/// The errors after which the record is certainly not written: the broker gives them before it appends any part of the batch,
/// and for the whole batch. Two kinds of errors are left out: those after which librdkafka tries again (CORRUPT_MESSAGE ends as
/// a time-out), and those that brokers give in several places (POLICY_VIOLATION, INVALID_REQUEST, UNKNOWN_SERVER_ERROR).
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
        // The broker checks the time before the append (LogValidator). One case would be uncertain: a batch is written, librdkafka
        // sends it again, and meanwhile a record has become too old. The margin in `topic::terms` rules that out.
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
        // The broker gives this error for the innocent records of a refused batch.
        E::InvalidDifferentRecord => return Some(batch_refused(topic)),
        // The broker checks the request and the batch's format before the append. Every record would be refused, whatever its
        // content.
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
        // Most of these records were never sent. But a record that a leader appended before it answered NOT_LEADER waits in the
        // same queue with the same status, and cannot be distinguished from the others.
        E::PurgeQueue => RecordError::new(
            Code::Purged,
            format!("the record was given up while it waited to be sent, or to be sent again; {what}"),
        ),
        E::Fatal => RecordError::new(
            Code::ProducerFatal,
            format!("the producer met an error that it cannot recover from; {what}"),
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
            for not_persisted in [true, false] {
                assert_eq!(of_report(error, not_persisted, "t").kind(), Kind::Unknown, "{error:?}");
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
