//! Kafka's record batches: format 2 ("magic 2"), which clients write since Kafka 0.11.
//!
//! [`head`] checks the batch as a whole and is cheap; [`records`] makes its records. The layout is that of "Record Batch"
//! in Kafka's documentation (kafka.apache.org/documentation, Message Format).
//!
//! A batch whose checksum is right is as the client made it. Whatever is wrong with it will be wrong again, so it is
//! [`BatchError::Invalid`], which clients do not send again, and not [`BatchError::Corrupt`], which they do.

mod compression;
mod cursor;
mod error;

use std::{array, sync::Arc};

use bytes::Bytes;

pub(in crate::ingest) use self::compression::Codec;
use self::cursor::Cursor;
pub use self::error::BatchError;
use crate::{
    base::record::{BATCH_HEADER, Header, Record},
    config::Limits,
    ingest::parse::{Context, MAX_HEADERS, Memory},
};

// Where the fields of a batch's head begin, bytes.
const LENGTH: usize = 8;
const MAGIC: usize = 16;
const CHECKSUM: usize = 17;
const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const BASE_TIMESTAMP: usize = 27;
const PRODUCER_ID: usize = 43;
const PRODUCER_EPOCH: usize = 51;
const BASE_SEQUENCE: usize = 53;
const COUNT: usize = 57;

/// The first byte that a batch's length counts.
const COUNTED_FROM: usize = 12;
/// The first byte that the checksum covers. Brokers write what stands before it.
const CHECKED_FROM: usize = ATTRIBUTES;

// Bits of the attributes. Brokers alone use the sixth, and no other has a meaning yet.
const COMPRESSION: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// The fewest bytes of a record: its length, attributes, time, offset, lengths of key and value, count of headers.
const LEAST_RECORD: usize = 7;
/// The fewest bytes of a header: the lengths of its name and its value.
const LEAST_HEADER: usize = 2;
/// Kafka's "no producer id", and "no timestamp".
const NONE: i64 = -1;

/// What a batch says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// How many records the batch announces: at least 1, at most `limits.max_records`.
    pub records: usize,
    /// The number of an idempotent producer's batch; none for other producers.
    pub producer: Option<Numbered>,
    codec: Option<Codec>,
    /// The time that those of the records are relative to; none if the records have no times of their own.
    base_timestamp: Option<i64>,
}

/// How an idempotent producer numbers a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbered {
    /// The producer's id, from 0.
    pub id: i64,
    /// The producer's epoch, from 0.
    pub epoch: i16,
    /// The sequence of the first record, from 0. Each record has the next one.
    pub base_sequence: i32,
}

/// Checks that the bytes are exactly one batch, and reads its head.
pub fn head(bytes: &Bytes, limits: &Limits) -> Result<Head, BatchError> {
    let head = whole(bytes)?;
    let attributes = i16::from_be_bytes(field(head, ATTRIBUTES));
    let codec = codec(attributes)?;
    let producer = producer(head)?;
    let records = count(head, limits)?;
    if codec.is_none() {
        check_room(records, bytes.len() - BATCH_HEADER)?;
    }
    let base_timestamp = i64::from_be_bytes(field(head, BASE_TIMESTAMP));
    Ok(Head {
        records,
        producer,
        codec,
        // With this bit, the records' times are not those of the application.
        base_timestamp: (attributes & LOG_APPEND_TIME == 0).then_some(base_timestamp),
    })
}

/// Makes the records of a batch whose [`head`] this is, with the topic of the context. Their bytes are slices of the
/// batch, or of what it becomes when it is decompressed.
pub fn records(head: &Head, bytes: &Bytes, context: &Context<'_>) -> Result<Vec<Record>, BatchError> {
    let Some(topic) = &context.topic else {
        return Err(BatchError::invalid("no topic is named for it; name one"));
    };
    let written = bytes.get(BATCH_HEADER..).unwrap_or_default();
    let payload = match head.codec {
        None => bytes.slice_ref(written),
        Some(codec) => codec.decompress(written, context.limits.max_body_bytes, &context.memory)?,
    };
    check_room(head.records, payload.len())?;
    context.memory.take_records(head.records)?;
    let mut records = Vec::with_capacity(head.records);
    let mut cursor = Cursor::over(&payload);
    for index in 0..head.records {
        let record = record(&mut cursor, index, head.base_timestamp, topic, &context.memory);
        records.push(record.map_err(|error| error.in_record(index))?);
    }
    match cursor.left() {
        0 => Ok(records),
        left => Err(BatchError::invalid(format!("{left} bytes come after its last record"))),
    }
}

/// The head of bytes that are one batch, as the client made it.
fn whole(bytes: &[u8]) -> Result<&[u8; BATCH_HEADER], BatchError> {
    if bytes.is_empty() {
        return Err(BatchError::invalid("there is no batch; send one for each partition"));
    }
    match bytes.get(MAGIC) {
        Some(2) | None => {}
        Some(&magic @ (0 | 1)) => return Err(BatchError::UnsupportedMagic(magic)),
        Some(magic) => return Err(BatchError::corrupt(format!("its format is {magic}, expected 2"))),
    }
    let Some(head) = bytes.first_chunk() else {
        return Err(BatchError::corrupt("it ends in its head"));
    };
    let length = i32::from_be_bytes(field(head, LENGTH));
    let Some(size) = usize::try_from(length).ok().map(|length| length + COUNTED_FROM) else {
        return Err(BatchError::corrupt(format!("its length is {length}")));
    };
    if size < BATCH_HEADER || size > bytes.len() {
        let here = bytes.len();
        return Err(BatchError::corrupt(format!(
            "its size is {size} bytes, and {here} are here"
        )));
    }
    if size < bytes.len() {
        let more = bytes.len() - size;
        return Err(BatchError::invalid(format!(
            "{more} bytes come after it; send exactly one batch for a partition"
        )));
    }
    if crc32c::crc32c(&bytes[CHECKED_FROM..]) != u32::from_be_bytes(field(head, CHECKSUM)) {
        return Err(BatchError::corrupt("its checksum is wrong"));
    }
    Ok(head)
}

/// Bytes of the head. The constants above lie within it.
fn field<const N: usize>(head: &[u8; BATCH_HEADER], at: usize) -> [u8; N] {
    array::from_fn(|index| head[at + index])
}

/// Checks the attributes, and tells how the records are compressed.
fn codec(attributes: i16) -> Result<Option<Codec>, BatchError> {
    if attributes & CONTROL != 0 {
        return Err(BatchError::Control);
    }
    if attributes & TRANSACTIONAL != 0 {
        return Err(BatchError::Transactional);
    }
    if attributes & !(COMPRESSION | LOG_APPEND_TIME) != 0 {
        // The next meaning of a bit may change the layout of records.
        return Err(BatchError::invalid(format!(
            "its attributes are {attributes:#06x}, and bits from 6 on are not known"
        )));
    }
    match attributes & COMPRESSION {
        0 => Ok(None),
        1 => Ok(Some(Codec::Gzip)),
        2 => Ok(Some(Codec::Snappy)),
        3 => Ok(Some(Codec::Lz4)),
        4 => Ok(Some(Codec::Zstd)),
        other => Err(BatchError::UnsupportedCompression(other as u8)),
    }
}

/// The number of an idempotent producer's batch.
fn producer(head: &[u8; BATCH_HEADER]) -> Result<Option<Numbered>, BatchError> {
    let numbered = Numbered {
        id: i64::from_be_bytes(field(head, PRODUCER_ID)),
        epoch: i16::from_be_bytes(field(head, PRODUCER_EPOCH)),
        base_sequence: i32::from_be_bytes(field(head, BASE_SEQUENCE)),
    };
    let Numbered {
        id,
        epoch,
        base_sequence,
    } = numbered;
    if id == NONE {
        return Ok(None);
    }
    if id < 0 || epoch < 0 || base_sequence < 0 {
        return Err(BatchError::invalid(format!(
            "its producer id is {id}, its epoch {epoch} and its sequence {base_sequence}, and none of them may be negative"
        )));
    }
    Ok(Some(numbered))
}

/// The count of records that the batch announces.
fn count(head: &[u8; BATCH_HEADER], limits: &Limits) -> Result<usize, BatchError> {
    let announced = i32::from_be_bytes(field(head, COUNT));
    let last = i32::from_be_bytes(field(head, LAST_OFFSET_DELTA));
    let most = limits.max_records;
    match usize::try_from(announced) {
        Ok(count @ 1..) if last == announced - 1 => match count > most {
            true => Err(BatchError::TooManyRecords { count, most }),
            false => Ok(count),
        },
        _ => Err(BatchError::invalid(format!(
            "it announces {announced} records up to offset {last}, expected at least 1, and one offset for each"
        ))),
    }
}

/// Checks that so many records can lie in so many bytes, before anything is allocated for them.
fn check_room(records: usize, bytes: usize) -> Result<(), BatchError> {
    if records > bytes / LEAST_RECORD {
        return Err(BatchError::invalid(format!(
            "it announces {records} records, and has only {bytes} bytes for them"
        )));
    }
    Ok(())
}

/// The next record of the batch, which has this index.
fn record(
    batch: &mut Cursor<'_>,
    index: usize,
    base_timestamp: Option<i64>,
    topic: &Arc<str>,
    memory: &Memory,
) -> Result<Record, BatchError> {
    let length = batch.length("record")?;
    let mut inside = batch.part(length, "its parts are longer than its length")?;
    // Kafka gives no meaning to a record's attributes.
    inside.byte()?;
    let timestamp = timestamp(base_timestamp, inside.varlong()?)?;
    let offset = inside.varint()?;
    if usize::try_from(offset) != Ok(index) {
        return Err(BatchError::invalid(format!("its offset is {offset}, expected {index}")));
    }
    let key = inside.bytes("key")?;
    let value = inside.bytes("value")?;
    let headers = headers(&mut inside, memory)?;
    match inside.left() {
        0 => Ok(Record {
            topic: Arc::clone(topic),
            key,
            value,
            headers,
            partition: None,
            timestamp,
            schema: None,
        }),
        left => Err(BatchError::invalid(format!(
            "its parts are {left} bytes shorter than its length"
        ))),
    }
}

/// The headers at the end of a record.
fn headers(record: &mut Cursor<'_>, memory: &Memory) -> Result<Vec<Header>, BatchError> {
    let count = record.length("list of headers")?;
    if count > MAX_HEADERS {
        return Err(BatchError::invalid(format!(
            "a record has at most {MAX_HEADERS} headers, not {count}"
        )));
    }
    let mut headers = Vec::with_capacity(count.min(record.left() / LEAST_HEADER));
    for _ in 0..count {
        let name = record.text("header's name")?;
        if name.contains('\0') {
            // librdkafka takes names as C strings.
            return Err(BatchError::invalid("a header's name has a zero byte; leave that out"));
        }
        memory.take_header(name.len())?;
        headers.push(Header {
            name: name.into(),
            value: record.bytes("header's value")?,
        });
    }
    Ok(headers)
}

/// The record's time, where it has one: milliseconds since 1970, at least 1.
fn timestamp(base: Option<i64>, delta: i64) -> Result<Option<i64>, BatchError> {
    let Some(base) = base else {
        return Ok(None);
    };
    match base.checked_add(delta) {
        Some(NONE) => Ok(None),
        // To librdkafka, 0 means "now".
        Some(timestamp @ 1..) => Ok(Some(timestamp)),
        _ => Err(BatchError::invalid(format!(
            "its timestamp is {base} and {delta} ms, expected the milliseconds since 1970, at least 1, or -1 for none"
        ))),
    }
}

#[cfg(test)]
mod tests;
