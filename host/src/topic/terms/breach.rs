//! Why a record is refused before it is handed over, and how the client is told.

use crate::base::outcome::{Code, RecordError};

/// Why a record is not handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breach {
    /// It has no key, and the topic needs one.
    NoKey,
    /// A batch of this record alone is larger than the topic's settings allow.
    Batch { bytes: usize, most: usize },
    /// It is as large as a record that the brokers refused for its size.
    Bytes { bytes: usize, refused: usize },
    /// Its time is too far ahead of our clock.
    Ahead { ms: i64, most: i64 },
    /// Its time is too far behind our clock.
    Behind { ms: i64, most: i64 },
}

impl Breach {
    /// The error that the client gets. `by_settings`: the topic's settings are known.
    pub(super) fn explain(self, topic: &str, by_settings: bool) -> RecordError {
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
                    "the record takes {bytes} bytes, and the brokers of topic \"{topic}\" have just refused a record for its size; \
                     for a while, records of {refused} bytes or more are refused here; make it smaller, or raise the topic's \
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
                        "the record's time is {ms} ms {side} now, and topic \"{topic}\" takes at most {most} ms ({setting} with a \
                         margin for clocks and delivery, or what its brokers have just refused); correct the time"
                    ),
                )
            }
        };
        RecordError::new(code, message)
    }
}
