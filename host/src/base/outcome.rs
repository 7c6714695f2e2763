//! What became of a record. Each record gets exactly one [`Outcome`]. A closed list of [`Code`]s explains the outcomes
//! that are not `acked`.

use std::borrow::Cow;

use crate::base::text::{WHOLE_BYTES, shortened};

/// About what a reply takes for each record, bytes.
pub(crate) const REPLY_BYTES_A_RECORD: usize = 128;

/// The one outcome of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The brokers have it, by acks=all.
    Acked(Ack),
    /// The record was never handed to the producer.
    Rejected(RecordError),
    /// The record was certainly not written: to send it again cannot duplicate it.
    Failed(RecordError),
    /// The record may have been written.
    Unknown(RecordError),
}

/// Where the brokers put a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// 0-based.
    pub partition: u32,
    /// None if the broker answered "duplicate, already written".
    pub offset: Option<i64>,
    /// The timestamp of the written record, milliseconds since 1970; none if the broker did not say.
    pub timestamp: Option<i64>,
}

/// Why a record is not `acked`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// A code from the closed list.
    pub code: Code,
    /// What happened, to which thing, and what to do.
    pub message: Cow<'static, str>,
}

impl RecordError {
    /// Takes a code and a message. The message is shortened, because it may quote as much as a whole body.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        let message = match message.into() {
            Cow::Owned(message) => Cow::Owned(shortened(message, WHOLE_BYTES)),
            ours => ours,
        };
        Self { code, message }
    }
}

impl From<RecordError> for Outcome {
    /// The outcome of a record that is not handed over because of this error.
    fn from(error: RecordError) -> Self {
        match error.code {
            // The same record may pass in a moment.
            Code::SchemaUnavailable => Self::Failed(error),
            _ => Self::Rejected(error),
        }
    }
}

/// The four kinds: a reply's `outcome`, a label of metrics, and an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Acked,
    Rejected,
    Failed,
    Unknown,
}

impl Kind {
    /// Every kind, in the order of the indexes.
    pub const ALL: [Self; 4] = [Self::Acked, Self::Rejected, Self::Failed, Self::Unknown];

    /// The kind's name in replies and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acked => "acked",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

impl Outcome {
    /// Which of the four it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Acked(_) => Kind::Acked,
            Self::Rejected(_) => Kind::Rejected,
            Self::Failed(_) => Kind::Failed,
            Self::Unknown(_) => Kind::Unknown,
        }
    }

    /// The explanation; none for `acked`.
    pub const fn error(&self) -> Option<&RecordError> {
        match self {
            Self::Acked(_) => None,
            Self::Rejected(error) | Self::Failed(error) | Self::Unknown(error) => Some(error),
        }
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// `error.code` of a record, from a closed list. Clients may match on it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[doc = $doc])+ $name,)+ }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code's name in replies.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

codes! {
    /// rejected: the record cannot be read: not an object, an unknown field, bad base64, nested too deep, ….
    MalformedRecord = "malformed_record",
    /// rejected: the topic's name breaks Kafka's rules.
    InvalidTopic = "invalid_topic",
    /// rejected: the path and the record name different topics.
    TopicMismatch = "topic_mismatch",
    /// rejected: no `[[route]]` matches the topic.
    NoRoute = "no_route",
    /// rejected: the brokers do not know the topic and do not create it.
    UnknownTopic = "unknown_topic",
    /// rejected: `limits.max_topics` topics are known already, and all have been used recently.
    TooManyTopics = "too_many_topics",
    /// rejected, or failed if a broker said so: larger than `message.max.bytes`, or than the topic takes.
    RecordTooLarge = "record_too_large",
    /// rejected: the topic is compacted, and the record has no key.
    KeyRequired = "key_required",
    /// rejected, or failed if a broker said so: the record's time is further from now than the topic takes.
    TimestampOutOfRange = "timestamp_out_of_range",
    /// rejected: the record or the plugin named a partition that the topic does not have.
    PartitionOutOfRange = "partition_out_of_range",
    /// rejected: the plugin's own decision.
    PluginRejected = "plugin_rejected",
    /// rejected: the plugin trapped (a panic, out of memory, out of stack, …).
    PluginTrapped = "plugin_trapped",
    /// rejected: the plugin ran over the time of one call.
    PluginTimeout = "plugin_timeout",
    /// rejected: the request's plugin time was spent before this record.
    PluginBudgetSpent = "plugin_budget_spent",
    /// rejected: no instance of the plugin could be made.
    PluginUnavailable = "plugin_unavailable",
    /// rejected: the plugin kept failing and is left alone for a while.
    PluginSuspended = "plugin_suspended",
    /// rejected: the key or the value does not follow its schema, or names none; the message says where and why.
    SchemaInvalid = "schema_invalid",
    /// rejected: the registry does not know the schema, or its subject does not have it.
    SchemaUnknown = "schema_unknown",
    /// failed: the schema could not be had from the registry in time; nothing was handed over.
    SchemaUnavailable = "schema_unavailable",
    /// rejected: the registry does not take the route's schema, since readers of older versions could not go on.
    SchemaIncompatible = "schema_incompatible",
    /// rejected or failed: the principal may not write to the topic; rejected while it is closed for a while because of
    /// that.
    TopicUnauthorized = "topic_unauthorized",
    /// rejected: the topic is closed for a while, because the brokers refused a record of it as invalid.
    TopicInvalidRecord = "topic_invalid_record",
    /// rejected: the request brings more for one partition than the topic takes as one batch, or the topic is closed
    /// for a while because of that; failed: the broker said so of a batch in which no record is too large.
    BatchTooLarge = "batch_too_large",
    /// failed: the broker refused the record as invalid.
    InvalidRecord = "invalid_record",
    /// failed: the broker refused another record of the same batch.
    BatchRefused = "batch_refused",
    /// failed: the producer did not take the record.
    NotQueued = "not_queued",
    /// failed: the producer was renewed before the record was handed over.
    GenerationChanged = "generation_changed",
    /// unknown: in the queue, unsent or to be sent again, when the process had to stop or the producer was renewed.
    Purged = "purged",
    /// unknown: no answer within `delivery.timeout.ms`.
    TimedOut = "timed_out",
    /// unknown: no outcome within the request's own time; the record may still be written.
    RequestTimeout = "request_timeout",
    /// unknown: on its way to a broker when the process had to stop, or the producer was renewed.
    DrainExpired = "drain_expired",
    /// unknown: the producer met an error after which it cannot continue.
    ProducerFatal = "producer_fatal",
    /// unknown: a broker error after which the record may have been written.
    BrokerError = "broker_error",
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_message_never_grows_with_what_it_quotes() {
        let error = RecordError::new(Code::MalformedRecord, format!("unknown field {}", "x".repeat(8 << 20)));
        assert!(error.message.len() < 2 * WHOLE_BYTES);
        assert!(error.message.contains("(8388622 bytes)"), "{}", error.message);
    }

    #[test]
    fn no_two_codes_read_the_same() {
        let texts: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
    }
}
