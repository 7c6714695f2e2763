//! `application/vnd.pointsman.records`: packed records. docs/packed-records.md has the layout.
//!
//! The frames must be right: the head of the batch and the size of each record. Otherwise nothing after an error can be
//! found, and the request is refused. An error within a frame refuses only that record.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    context::{Context, no_memory, some, too_many},
    wire::{MAX_HEADERS, malformed, timestamp, topic},
};
use crate::{
    base::{
        outcome::RecordError,
        record::{Header, Record},
    },
    ingest::error::IngestError,
    pipeline::Parsed,
};

/// The first bytes of a batch; the last of them is the version of the layout.
const MAGIC: [u8; 4] = *b"PMR\x01";
/// Bytes before the first record: magic and count.
const BATCH_HEAD: usize = 8;
/// Bytes of a record's size, which does not count itself.
const SIZE: usize = 4;
/// Bytes of a record's flags, count of headers, and lengths of key and value.
const RECORD_HEAD: usize = 12;
/// Bytes of the lengths of a header's name and value.
const HEADER_HEAD: usize = 8;

const HAS_PARTITION: u16 = 1;
const HAS_TIMESTAMP: u16 = 2;
const HAS_TOPIC: u16 = 4;

/// Every record of a batch, as slices of the batch.
pub(super) fn records(body: &Bytes, context: &Context<'_>) -> Result<Vec<Parsed>, IngestError> {
    let count = count(body)?;
    if count > context.limits.max_records {
        return Err(too_many(context.limits));
    }
    let mut parsed = Vec::with_capacity(count.min(body.len() / SIZE));
    let mut topics = Topics { context, last: None };
    let mut at = BATCH_HEAD;
    for _ in 0..count {
        let inside = frame(body, at)?;
        let read = record(inside, body, &mut topics).map_err(|error| placed(error, at));
        context.memory.take_record(&read).map_err(|_| no_memory())?;
        parsed.push(read);
        at += SIZE + inside.len();
    }
    if at < body.len() {
        let left = body.len() - at;
        return Err(IngestError::packed(
            at,
            format!("{left} bytes come after the last record"),
        ));
    }
    some(parsed)
}

/// The number of records that the batch announces.
fn count(body: &[u8]) -> Result<usize, IngestError> {
    let mut rest = Rest(body);
    match rest.array() {
        Some(MAGIC) => {}
        Some([b'P', b'M', b'R', version]) => {
            return Err(IngestError::packed(
                3,
                format!("version {version} is not known, expected 1"),
            ));
        }
        _ => return Err(IngestError::packed(0, "it does not begin with \"PMR\" and 1")),
    }
    let count = rest.array().map(u32::from_le_bytes);
    count
        .map(|count| count as usize)
        .ok_or_else(|| IngestError::packed(MAGIC.len(), "it ends in its head"))
}

/// The content of the record that begins at this byte.
fn frame(body: &[u8], at: usize) -> Result<&[u8], IngestError> {
    let mut rest = Rest(&body[at..]);
    let Some(size) = rest.array().map(u32::from_le_bytes) else {
        return Err(IngestError::packed(at, "it ends where a record should begin"));
    };
    rest.take(size as usize).ok_or_else(|| {
        let left = rest.0.len();
        IngestError::packed(at, format!("the record's size is {size}, and {left} bytes are left"))
    })
}

fn record(inside: &[u8], body: &Bytes, topics: &mut Topics<'_>) -> Result<Record, RecordError> {
    let mut rest = Rest(inside);
    let Some(head) = rest.array::<RECORD_HEAD>() else {
        return Err(malformed("it is shorter than a record's head"));
    };
    let [flags_0, flags_1, headers_0, headers_1, key @ .., v0, v1, v2, v3] = head;
    let flags = u16::from_le_bytes([flags_0, flags_1]);
    if flags & !(HAS_PARTITION | HAS_TIMESTAMP | HAS_TOPIC) != 0 {
        return Err(malformed(format!(
            "its flags are {flags}, and only 1, 2 and 4 are known"
        )));
    }
    let key = length(key, "key")?;
    let value = length([v0, v1, v2, v3], "value")?;
    let partition = match flags & HAS_PARTITION {
        0 => None,
        _ => Some(u32::from_le_bytes(rest.array().ok_or_else(short)?)),
    };
    let timestamp = match flags & HAS_TIMESTAMP {
        0 => None,
        _ => Some(timestamp(u64::from_le_bytes(rest.array().ok_or_else(short)?))?),
    };
    let topic = match flags & HAS_TOPIC {
        0 => topics.of(None)?,
        _ => {
            let length = u32::from_le_bytes(rest.array().ok_or_else(short)?);
            topics.of(Some(rest.text(length as usize, "topic")?))?
        }
    };
    let headers = headers(u16::from_le_bytes([headers_0, headers_1]).into(), &mut rest, body)?;
    let key = rest.bytes(key, body)?;
    let value = rest.bytes(value, body)?;
    if !rest.0.is_empty() {
        return Err(malformed(format!(
            "its parts are {} bytes shorter than its size",
            rest.0.len()
        )));
    }
    Ok(Record {
        topic,
        key,
        value,
        headers,
        partition,
        timestamp,
        schema: None,
    })
}

fn headers(count: usize, rest: &mut Rest<'_>, body: &Bytes) -> Result<Vec<Header>, RecordError> {
    if count > MAX_HEADERS {
        return Err(malformed(format!(
            "a record has at most {MAX_HEADERS} headers, not {count}"
        )));
    }
    let mut headers = Vec::with_capacity(count.min(rest.0.len() / HEADER_HEAD));
    for _ in 0..count {
        let name = u32::from_le_bytes(rest.array().ok_or_else(short)?);
        let value = length(rest.array().ok_or_else(short)?, "header's value")?;
        let name = rest.text(name as usize, "header's name")?;
        if name.contains('\0') {
            // librdkafka takes names as C strings.
            return Err(malformed("a header's name has a zero byte"));
        }
        headers.push(Header {
            name: name.into(),
            value: rest.bytes(value, body)?,
        });
    }
    Ok(headers)
}

/// A length; none for −1, which means that there are no bytes, not even empty ones.
fn length(bytes: [u8; 4], what: &str) -> Result<Option<usize>, RecordError> {
    match i32::from_le_bytes(bytes) {
        -1 => Ok(None),
        length => usize::try_from(length)
            .map(Some)
            .map_err(|_| malformed(format!("the {what}'s length is {length}"))),
    }
}

fn short() -> RecordError {
    malformed("its parts are longer than its size")
}

fn placed(error: RecordError, at: usize) -> RecordError {
    RecordError::new(
        error.code,
        format!("the record at byte {at} of the body: {}", error.message),
    )
}

/// The topics of a batch. Mostly a record has the topic of the one before.
struct Topics<'c> {
    context: &'c Context<'c>,
    last: Option<Arc<str>>,
}

impl Topics<'_> {
    fn of(&mut self, given: Option<&str>) -> Result<Arc<str>, RecordError> {
        if let (Some(given), Some(last)) = (given, &self.last)
            && given == &**last
        {
            return Ok(Arc::clone(last));
        }
        let topic = topic(given, self.context)?;
        if given.is_some() {
            self.last = Some(Arc::clone(&topic));
        }
        Ok(topic)
    }
}

/// The bytes that have not been read yet.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn text(&mut self, length: usize, what: &str) -> Result<&'b str, RecordError> {
        let bytes = self.take(length).ok_or_else(short)?;
        str::from_utf8(bytes).map_err(|_| malformed(format!("the {what} is no UTF-8")))
    }

    fn bytes(&mut self, length: Option<usize>, body: &Bytes) -> Result<Option<Bytes>, RecordError> {
        let Some(length) = length else {
            return Ok(None);
        };
        let bytes = self.take(length).ok_or_else(short)?;
        Ok(Some(body.slice_ref(bytes)))
    }
}

#[cfg(test)]
mod tests;
