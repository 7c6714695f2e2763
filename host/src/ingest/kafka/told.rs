//! What a client is told of a batch: the one place that turns outcomes and errors into Kafka's error codes.
//!
//! Clients act by the code. A retriable one makes them send the same batch again. For an idempotent producer that is safe: its
//! batches are [numbered](crate::ordering::sequence), so a batch that comes again writes only what was not acknowledged. Any other
//! producer would write the rest of the batch twice, so it gets a final code once a record may have been written.

use std::borrow::Cow;

use kafka_protocol::ResponseError as Kafka;

use super::batch::BatchError;
use crate::{
    base::{
        outcome::{Code, Outcome, RecordError},
        text::shortened,
    },
    ordering::{numbered::NotBegun, sequence::Refusal},
    pipeline::NotTaken,
    routing::topics::TopicError,
};

/// What a client is told of one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    /// None: all records are acknowledged.
    pub(super) error: Option<Kafka>,
    /// What happened, to which thing, and what to do.
    pub(super) message: String,
    /// The refused records of the batch, by index, each with its reason.
    pub(super) records: Vec<(usize, String)>,
}

/// The most that is told of each refused record, bytes. Twice this is less than what reading a record reserves, which the answer keeps.
const MOST_OF_RECORD: usize = 256;
/// The most that is told of a batch, bytes: half of what counts for each partition that a request names.
const MOST_OF_BATCH: usize = 512;

impl Told {
    /// Every record is acknowledged.
    pub(super) const ACKED: Self = Self {
        error: None,
        message: String::new(),
        records: Vec::new(),
    };

    pub(super) fn new(error: Kafka, message: impl Into<String>) -> Self {
        Self {
            error: Some(error),
            message: shortened(message.into(), MOST_OF_BATCH),
            records: Vec::new(),
        }
    }

    /// What the reasons of refused records take here and in an answer, bytes.
    pub(super) fn reasons_bytes(&self) -> usize {
        let each = |(_, reason): &(usize, String)| 2 * (size_of::<(usize, String)>() + reason.len());
        self.records.iter().map(each).sum()
    }

    /// The name of the error in metrics: Kafka's own, in small letters.
    pub(super) fn name(&self) -> Cow<'static, str> {
        let Some(error) = self.error else {
            return Cow::Borrowed("none");
        };
        let mut name = String::new();
        for letter in format!("{error:?}").chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        Cow::Owned(name)
    }

    /// Nothing was taken, and the same batch may be taken a moment later.
    pub(super) fn later(message: impl Into<String>) -> Self {
        Self::new(Kafka::NotEnoughReplicas, message)
    }

    /// Refuses the whole batch because of these records.
    pub(super) fn refused(refused: Vec<(usize, RecordError)>) -> Self {
        let Some((_, first)) = refused.first() else {
            return Self::new(
                Kafka::UnknownServerError,
                "the sidecar refused the batch without a reason",
            );
        };
        let all_alike = refused.iter().all(|(_, error)| class(error.code) == class(first.code));
        match class(first.code) {
            // For these, Kafka has a code that clients understand without a list of records.
            Some(code) if all_alike => Self::new(code, first.message.clone()),
            _ => {
                let message = format!(
                    "nothing of the batch was written, because {} of its records were refused; the first: {}",
                    refused.len(),
                    first.message
                );
                let refused = refused.into_iter();
                let told = |(index, error): (usize, RecordError)| {
                    (index, shortened(error.message.into_owned(), MOST_OF_RECORD))
                };
                Self {
                    records: refused.map(told).collect(),
                    ..Self::new(Kafka::InvalidRecord, message)
                }
            }
        }
    }

    /// The outcomes of a batch that was handed over. `idempotent`: the same batch may be sent again.
    pub(super) fn outcomes<'a>(outcomes: impl Iterator<Item = Option<&'a Outcome>>, idempotent: bool) -> Self {
        let (mut acked, mut unknown, mut lost) = (0_usize, 0_usize, Vec::new());
        for (index, outcome) in outcomes.enumerate() {
            match outcome {
                Some(Outcome::Acked(_)) => acked += 1,
                Some(Outcome::Rejected(error) | Outcome::Failed(error)) => lost.push((index, error.clone())),
                Some(Outcome::Unknown(error)) => {
                    unknown += 1;
                    lost.push((index, error.clone()));
                }
                None => unknown += 1,
            }
        }
        let total = acked + lost.len();
        let first = lost.first().map(|(_, error)| error.message.clone()).unwrap_or_default();
        match (acked, unknown) {
            _ if lost.is_empty() && unknown == 0 => Self::ACKED,
            (0, 0) if lost.iter().all(|(_, error)| is_final(error.code)) => Self::refused(lost),
            (0, 0) => Self::later(format!("nothing of the batch was written: {first}; send it again")),
            _ if idempotent => Self::new(
                Kafka::NotEnoughReplicasAfterAppend,
                format!(
                    "{acked} of {total} records are acknowledged, the others not: {first}; send the batch again, which writes only the others"
                ),
            ),
            _ => Self::new(
                Kafka::UnknownServerError,
                format!(
                    "{acked} of {total} records are acknowledged, the others not: {first}; the batch cannot be sent again without writing \
                     records twice, since the producer is not idempotent (enable.idempotence)"
                ),
            ),
        }
    }

    /// The outcomes did not come within the time that the client gives a request.
    pub(super) fn late(idempotent: bool) -> Self {
        match idempotent {
            true => Self::new(
                Kafka::RequestTimedOut,
                "the outcomes of the batch are not all known yet; send it again to hear of them",
            ),
            false => Self::new(
                Kafka::UnknownServerError,
                "the outcomes of the batch were not all known in time, and its records may still be written; the batch cannot be sent again \
                 without writing records twice, since the producer is not idempotent (enable.idempotence)",
            ),
        }
    }

    /// An earlier batch of the same producer has no success yet, and Kafka never acknowledges a batch before an earlier one.
    pub(super) fn behind() -> Self {
        Self::new(
            Kafka::OutOfOrderSequenceNumber,
            "an earlier batch of this producer has to be sent again first",
        )
    }
}

/// Kafka's own code for refusals that concern all records alike. None: the record itself is refused.
pub(super) fn class(code: Code) -> Option<Kafka> {
    match code {
        Code::InvalidTopic => Some(Kafka::InvalidTopicException),
        Code::NoRoute | Code::UnknownTopic => Some(Kafka::UnknownTopicOrPartition),
        Code::TopicUnauthorized => Some(Kafka::TopicAuthorizationFailed),
        Code::RecordTooLarge | Code::BatchTooLarge => Some(Kafka::MessageTooLarge),
        Code::TooManyTopics => Some(Kafka::NotEnoughReplicas),
        _ => None,
    }
}

/// Whether the same record would be refused again.
fn is_final(code: Code) -> bool {
    !matches!(
        code,
        Code::NotQueued | Code::GenerationChanged | Code::Purged | Code::BatchRefused | Code::TooManyTopics
    )
}

impl From<BatchError> for Told {
    fn from(error: BatchError) -> Self {
        let code = match &error {
            BatchError::Corrupt(_) => Kafka::CorruptMessage,
            BatchError::UnsupportedMagic(_) => Kafka::UnsupportedForMessageFormat,
            BatchError::UnsupportedCompression(_) => Kafka::UnsupportedCompressionType,
            BatchError::Transactional => Kafka::InvalidTxnState,
            // Java's producer then makes two batches of one.
            BatchError::TooManyRecords { .. } | BatchError::TooLarge { .. } | BatchError::NoMemory => {
                Kafka::MessageTooLarge
            }
            BatchError::Control | BatchError::Invalid { .. } => Kafka::InvalidRecord,
        };
        let records = match &error {
            BatchError::Invalid {
                record: Some(index),
                detail,
            } => vec![(*index, detail.clone().into_owned())],
            _ => Vec::new(),
        };
        Self {
            records,
            ..Self::new(code, error.to_string())
        }
    }
}

impl From<TopicError> for Told {
    fn from(error: TopicError) -> Self {
        match error {
            TopicError::Refused(error) => Self::refused(vec![(0, error)]),
            TopicError::Unavailable(reason) => {
                Self::later(format!("the topic's partitions cannot be had from Kafka: {reason}"))
            }
        }
    }
}

impl From<NotTaken> for Told {
    fn from(error: NotTaken) -> Self {
        Self::later(format!("nothing of the batch was taken: {error}"))
    }
}

impl From<NotBegun> for Told {
    fn from(error: NotBegun) -> Self {
        let code = match &error {
            NotBegun::Refused(refusal) => match refusal {
                Refusal::StaleEpoch { .. } => Kafka::InvalidProducerEpoch,
                Refusal::Forgotten { .. } => Kafka::DuplicateSequenceNumber,
                Refusal::Gap { .. } | Refusal::Blocked { .. } | Refusal::Mismatch { .. } | Refusal::Resync { .. } => {
                    Kafka::OutOfOrderSequenceNumber
                }
                Refusal::TooManyClients | Refusal::NoMemory => Kafka::NotEnoughReplicas,
                Refusal::TooLarge { .. } => Kafka::MessageTooLarge,
            },
            NotBegun::Busy { .. } => Kafka::NotEnoughReplicas,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::outcome::Ack;

    fn error(code: Code) -> RecordError {
        RecordError::new(code, "why")
    }

    fn acked() -> Outcome {
        Outcome::Acked(Ack {
            partition: 0,
            offset: None,
            timestamp: None,
        })
    }

    fn of(outcomes: &[Outcome], idempotent: bool) -> Option<Kafka> {
        Told::outcomes(outcomes.iter().map(Some), idempotent).error
    }

    #[test]
    fn no_batch_succeeds_while_one_of_its_records_is_not_acknowledged() {
        assert_eq!(of(&[acked(), acked()], true), None);
        let others = [
            Outcome::Rejected(error(Code::TopicUnauthorized)),
            Outcome::Failed(error(Code::NotQueued)),
            Outcome::Unknown(error(Code::TimedOut)),
        ];
        for other in others {
            for idempotent in [true, false] {
                for outcomes in [
                    &[acked(), other.clone()][..],
                    &[other.clone(), acked()],
                    std::slice::from_ref(&other),
                ] {
                    assert!(of(outcomes, idempotent).is_some(), "{outcomes:?}");
                }
            }
        }
        assert!(Told::outcomes([None].into_iter(), true).error.is_some());
    }

    #[test]
    fn only_a_producer_that_cannot_double_is_told_to_send_again_what_may_be_written() {
        for maybe_written in [
            &[acked(), Outcome::Failed(error(Code::NotQueued))][..],
            &[Outcome::Unknown(error(Code::TimedOut))],
            &[acked(), Outcome::Unknown(error(Code::DrainExpired))],
        ] {
            let retriable = |idempotent| of(maybe_written, idempotent).is_some_and(|error| error.is_retriable());
            assert!(retriable(true), "{maybe_written:?}");
            assert!(!retriable(false), "{maybe_written:?}");
        }
        assert!(Told::late(true).error.is_some_and(|error| error.is_retriable()));
        assert!(!Told::late(false).error.is_some_and(|error| error.is_retriable()));
        // What is certainly not written may be sent again by anybody.
        let nothing = [
            Outcome::Failed(error(Code::NotQueued)),
            Outcome::Failed(error(Code::GenerationChanged)),
        ];
        assert!(of(&nothing, false).is_some_and(|error| error.is_retriable()));
    }

    #[test]
    fn a_refusal_names_its_records_unless_kafka_has_a_code_for_all() {
        let refused = |codes: &[Code]| {
            let errors = codes.iter().map(|code| error(*code)).enumerate().collect();
            let told = Told::refused(errors);
            (told.error, told.records.len())
        };
        assert_eq!(refused(&[Code::PluginRejected]), (Some(Kafka::InvalidRecord), 1));
        assert_eq!(
            refused(&[Code::PluginRejected, Code::KeyRequired]),
            (Some(Kafka::InvalidRecord), 2)
        );
        assert_eq!(
            refused(&[Code::RecordTooLarge, Code::RecordTooLarge]),
            (Some(Kafka::MessageTooLarge), 0)
        );
        assert_eq!(
            refused(&[Code::RecordTooLarge, Code::PluginRejected]),
            (Some(Kafka::InvalidRecord), 2)
        );
        assert_eq!(refused(&[]).0, Some(Kafka::UnknownServerError));
    }

    #[test]
    fn errors_have_kafkas_names_in_metrics() {
        assert_eq!(Told::ACKED.name(), "none");
        assert_eq!(Told::behind().name(), "out_of_order_sequence_number");
    }
}
