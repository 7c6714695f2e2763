//! Messages that are compressed by gzip, decompressed within the memory that is free.

use bytes::Bytes;

use crate::{
    admission::{Admission, Reservation},
    config::Limits,
    ingest::{
        error::IngestError,
        kafka::batch::{BatchError, Codec},
        parse::{Memory, no_memory},
    },
};

/// How much larger a message is assumed to become. More means that it is decompressed again.
const RATIO: usize = 8;
/// Memory for the first attempt at a small message.
const LEAST: usize = 128 << 10;

/// Decompresses a message. `held` has room for the compressed one, and then also for the other.
pub(in crate::ingest) async fn gunzip(
    message: &Bytes,
    held: &mut Reservation,
    admission: &Admission,
    limits: &Limits,
) -> Result<Bytes, IngestError> {
    let before = held.bytes();
    let most = admission.most_for_request().saturating_sub(before);
    let mut may = message.len().saturating_mul(RATIO).max(LEAST).min(most);
    loop {
        held.grow(before + may).await?;
        let memory = Memory::of(may);
        match Codec::Gzip.decompress(message, limits.max_body_bytes, &memory) {
            Ok(message) => {
                held.set(before + message.len());
                return Ok(message);
            }
            Err(BatchError::NoMemory) if may < most => may = may.saturating_mul(4).min(most),
            Err(BatchError::NoMemory) => return Err(no_memory()),
            Err(BatchError::TooLarge { most }) => {
                return Err(IngestError::BodyTooLarge(format!(
                    "the message has more than limits.max_body_bytes ({most}) when it is decompressed; send it in parts, \
                     or raise that; nothing was taken"
                )));
            }
            Err(BatchError::Invalid { detail, .. }) => {
                return Err(IngestError::InvalidMessage(format!(
                    "the message cannot be decompressed: {detail}; nothing was taken"
                )));
            }
            Err(error) => return Err(IngestError::InvalidMessage(error.to_string())),
        }
    }
}
