//! Writes Kafka's record batches, of format 2.
//!
//! It is written from Kafka's documentation alone, shares nothing with the reader, and writes also what no client would:
//! each field of the head is what the caller says.
#![allow(
    unreachable_pub,
    dead_code,
    reason = "the benchmark of reading has it, too, and no use for all of it"
)]

/// Bytes of a batch's head.
pub const HEAD: usize = 61;

/// The fields of a batch's head that may be chosen.
#[derive(Debug, Clone)]
pub struct Fields {
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub count: i32,
}

impl Fields {
    /// A batch of so many records, without compression, of a producer without an id. Its records' times are relative to 0.
    pub fn of(count: usize) -> Self {
        let count = i32::try_from(count).expect("a few records");
        Self {
            attributes: 0,
            last_offset_delta: count - 1,
            base_timestamp: 0,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            count,
        }
    }
}

/// One record. Its offset is relative to the batch's first one, and its time to the batch's.
#[derive(Debug, Clone, Copy, Default)]
pub struct Record<'a> {
    pub timestamp_delta: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// A batch with this head, and these records as they are, which are already compressed if they are to be.
pub fn batch(fields: &Fields, records: &[u8]) -> Vec<u8> {
    let mut batch = vec![0; 16];
    batch.push(2);
    batch.extend([0; 4]);
    batch.extend(fields.attributes.to_be_bytes());
    batch.extend(fields.last_offset_delta.to_be_bytes());
    batch.extend(fields.base_timestamp.to_be_bytes());
    // The latest time of a record, which nobody needs to read.
    batch.extend(fields.base_timestamp.to_be_bytes());
    batch.extend(fields.producer_id.to_be_bytes());
    batch.extend(fields.producer_epoch.to_be_bytes());
    batch.extend(fields.base_sequence.to_be_bytes());
    batch.extend(fields.count.to_be_bytes());
    batch.extend(records);
    seal(&mut batch);
    batch
}

/// Gives a batch the length and the checksum of what it is now.
pub fn seal(batch: &mut [u8]) {
    let length = i32::try_from(batch.len() - 12).expect("a small batch");
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let checksum = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&checksum.to_be_bytes());
}

/// Records one after another, with the offsets from 0 on.
pub fn records<'a>(records: impl IntoIterator<Item = Record<'a>>) -> Vec<u8> {
    let mut written = Vec::new();
    for (offset, record) in (0..).zip(records) {
        frame(&mut written, &inside(offset, &record));
    }
    written
}

/// The content of a record, which its length stands before.
pub fn inside(offset_delta: i64, record: &Record<'_>) -> Vec<u8> {
    // The attributes, which have no meaning.
    let mut inside = vec![0];
    varint(&mut inside, record.timestamp_delta);
    varint(&mut inside, offset_delta);
    bytes(&mut inside, record.key);
    bytes(&mut inside, record.value);
    varint(&mut inside, record.headers.len() as i64);
    for (name, value) in record.headers {
        bytes(&mut inside, Some(name.as_bytes()));
        bytes(&mut inside, *value);
    }
    inside
}

/// Adds the content of a record, with its length before it.
pub fn frame(written: &mut Vec<u8>, inside: &[u8]) {
    varint(written, inside.len() as i64);
    written.extend(inside);
}

fn bytes(written: &mut Vec<u8>, bytes: Option<&[u8]>) {
    varint(written, bytes.map_or(-1, |bytes| bytes.len() as i64));
    written.extend(bytes.unwrap_or_default());
}

/// Adds a number: its sign goes to the lowest bit, and seven bits go to each byte.
pub fn varint(written: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest >= 0x80 {
        written.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    written.push(rest as u8);
}
