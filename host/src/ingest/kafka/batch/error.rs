//! Why a record batch is refused.

use std::borrow::Cow;

use crate::ingest::parse::NoMemory;

/// Why a record batch is refused. Nothing of it is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The batch is not as the client made it: it is cut off, or its checksum is wrong. The same batch may arrive whole
    /// the next time.
    #[error("the record batch arrived damaged: {0}; send it again")]
    Corrupt(Cow<'static, str>),
    /// The batch has one of the formats before Kafka 0.11.
    #[error(
        "the record batch has the old message format {0}, and only format 2 is read; use a client that writes the \
         format of Kafka 0.11 or later"
    )]
    UnsupportedMagic(u8),
    /// The batch is compressed in a way that Kafka does not have.
    #[error(
        "the record batch has compression type {0}, which is not known; set the producer's compression.type to none, \
         gzip, snappy, lz4 or zstd"
    )]
    UnsupportedCompression(u8),
    /// The batch is part of a transaction.
    #[error(
        "the record batch is part of a transaction, and transactions are not supported; remove transactional.id from \
         the producer's settings"
    )]
    Transactional,
    /// The batch has control records.
    #[error("the record batch has control records, which only brokers write; send records with data")]
    Control,
    /// The batch announces more records than a request may have.
    #[error(
        "the record batch has {count} records, more than limits.max_records ({most}); lower the producer's batch.size, \
         or raise that"
    )]
    TooManyRecords {
        /// Records that the batch announces.
        count: usize,
        /// `limits.max_records`.
        most: usize,
    },
    /// The batch becomes too large when it is decompressed.
    #[error(
        "the record batch has more than limits.max_body_bytes ({most} bytes) when it is decompressed; lower the \
         producer's batch.size, or raise that"
    )]
    TooLarge {
        /// `limits.max_body_bytes`.
        most: usize,
    },
    /// The records take more than the [memory](crate::ingest::parse::Memory) that was allowed. With more of it, the batch
    /// can be read again.
    #[error(
        "the record batch's records and headers take more memory than a request may hold; lower the producer's \
         batch.size, or raise limits.max_buffered_bytes"
    )]
    NoMemory,
    /// The batch arrived as the client made it, and breaks a rule of Kafka's or of this process.
    #[error("the record batch is invalid{}: {detail}", place(.record))]
    Invalid {
        /// The record that breaks the rule, counted from 0; none: the batch as a whole.
        record: Option<usize>,
        /// What is wrong.
        detail: Cow<'static, str>,
    },
}

/// Names the record in the text.
fn place(record: &Option<usize>) -> String {
    record.map_or_else(String::new, |index| format!(", record {index}"))
}

impl BatchError {
    /// The batch as a whole breaks a rule.
    #[cold]
    pub(super) fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid {
            record: None,
            detail: detail.into(),
        }
    }

    /// Says that it was this record which breaks a rule.
    #[cold]
    pub(super) fn in_record(self, index: usize) -> Self {
        match self {
            Self::Invalid { detail, .. } => Self::Invalid {
                record: Some(index),
                detail,
            },
            other => other,
        }
    }

    /// The batch is not as the client made it.
    #[cold]
    pub(super) fn corrupt(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Corrupt(detail.into())
    }
}

impl From<NoMemory> for BatchError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}
