//! Kafka's record batches.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    batch_encoder::{self, Fields, HEAD, seal},
    parsed::{LONGEST_MESSAGE, TOPIC, is_slice, limits},
};
use crate::{
    base::record::{Header, Record},
    config::Limits,
    ingest::{
        kafka::batch::{BatchError, head, records},
        parse::{Context, Memory},
    },
};

/// The most that a batch may become here, bytes: a small input can reach it.
const MOST: usize = 64 << 10;
/// Memory that reading a batch allocates at most beside its records and what they become: what codecs hold.
const CODECS: usize = 256 << 10;

/// Checks the bytes as they are, and then with a length and a checksum that fit: otherwise hardly an input would have any
/// records.
pub fn kafka_batch(data: &[u8]) {
    let limits = Limits {
        max_body_bytes: MOST,
        ..limits(data)
    };
    check(&Bytes::copy_from_slice(data), &limits);
    if data.len() >= HEAD {
        let mut sealed = data.to_vec();
        seal(&mut sealed);
        check(&sealed.into(), &limits);
    }
}

/// Reads the batch, with much memory and with little, and checks what comes of it.
fn check(batch: &Bytes, limits: &Limits) {
    let read = |memory: Memory| {
        let context = Context {
            topic: Some(Arc::from(TOPIC)),
            limits,
            memory,
        };
        let head = head(batch, limits)?;
        let read = records(&head, batch, &context);
        assert_eq!(read == Err(BatchError::NoMemory), context.memory.is_over());
        read.map(|records| (head, records, context.memory.used()))
    };
    let (head, records, used) = match read(Memory::unbounded()) {
        Ok(read) => read,
        Err(error) => {
            assert!((1..=LONGEST_MESSAGE).contains(&error.to_string().len()), "{error}");
            assert_ne!(error, BatchError::NoMemory);
            return;
        }
    };
    assert!((1..=limits.max_records).contains(&records.len()));
    assert_eq!(head.records, records.len());
    let is_compressed = batch[22] & 0b111 != 0;
    let mut bytes = 0;
    for part in records.iter().flat_map(parts) {
        bytes += part.len();
        assert!(is_compressed || is_slice(part, batch), "a copy");
    }
    assert!(bytes <= if is_compressed { MOST } else { batch.len() - HEAD });
    for record in &records {
        assert!(record.timestamp.is_none_or(|ms| ms > 0));
        assert!(record.headers.iter().all(|header| !header.name.contains('\0')));
        assert_eq!((&*record.topic, record.partition), (TOPIC, None));
    }
    // What was counted is enough, and a little less is not.
    assert_eq!(read(Memory::of(used - 1)), Err(BatchError::NoMemory));
    let again = read(Memory::of(used + 2 * MOST + CODECS)).expect("enough memory");
    assert_eq!(again.1, records, "read in two ways");
    let written = encoded(&records).into();
    let context = Context {
        topic: Some(Arc::from(TOPIC)),
        limits: &Limits::default(),
        memory: Memory::unbounded(),
    };
    let head = self::head(&written, &Limits::default()).expect("a batch");
    assert_eq!(
        self::records(&head, &written, &context),
        Ok(records),
        "another way to say the same"
    );
}

/// The record's bytes, part by part.
fn parts(record: &Record) -> impl Iterator<Item = &Bytes> {
    let headers = record.headers.iter().map(|header| &header.value);
    [&record.key, &record.value].into_iter().chain(headers).flatten()
}

/// The batch of these records, without compression.
pub(crate) fn encoded(records: &[Record]) -> Vec<u8> {
    batch_encoder::batch(&Fields::of(records.len()), &payload(records))
}

/// These records as they stand in a batch whose time is 0.
pub(crate) fn payload(records: &[Record]) -> Vec<u8> {
    let headers: Vec<Vec<_>> = records
        .iter()
        .map(|record| record.headers.iter().map(header).collect())
        .collect();
    let records = records
        .iter()
        .zip(&headers)
        .map(|(record, headers)| batch_encoder::Record {
            timestamp_delta: record.timestamp.unwrap_or(-1),
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers,
        });
    batch_encoder::records(records)
}

fn header(header: &Header) -> (&str, Option<&[u8]>) {
    (&header.name, header.value.as_deref())
}
