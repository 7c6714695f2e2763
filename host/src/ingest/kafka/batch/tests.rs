mod codecs;
mod malformed;

use std::{fs, path::Path};

use proptest::{collection::vec, option, prelude::*};

use self::codecs::{WAYS, Way};
use super::*;
use crate::fuzzing::{
    batch_encoder::{Fields, batch, seal},
    kafka_batch::{encoded, payload},
};

const TOPIC: &str = "orders";

fn read(batch: &[u8]) -> Result<Vec<Record>, BatchError> {
    read_within(batch, &Limits::default(), Memory::unbounded()).0
}

/// The records, and the memory that was counted.
fn read_within(batch: &[u8], limits: &Limits, memory: Memory) -> (Result<Vec<Record>, BatchError>, Memory) {
    let batch = Bytes::copy_from_slice(batch);
    let context = Context {
        topic: Some(TOPIC.into()),
        limits,
        memory,
    };
    let read = head(&batch, limits).and_then(|head| records(&head, &batch, &context));
    (read, context.memory)
}

/// The batch of these records, compressed in this way.
fn compressed(way: &Way, records: &[Record]) -> Vec<u8> {
    let fields = Fields {
        attributes: way.attributes,
        ..Fields::of(records.len())
    };
    batch(&fields, &(way.compress)(&payload(records)))
}

/// Records with all that a record can have.
fn samples() -> Vec<Record> {
    let header = |name: &str, value: Option<&'static str>| Header {
        name: name.into(),
        value: value.map(Bytes::from),
    };
    let plain = Record {
        topic: TOPIC.into(),
        key: Some("customer-17".into()),
        value: Some("a value, and the same value, and the same value again".into()),
        headers: Vec::new(),
        partition: None,
        timestamp: Some(1_700_000_000_000),
        schema: None,
    };
    let with_headers = Record {
        headers: vec![
            header("tier", Some("gold")),
            header("tier", Some("")),
            header("", None),
            header("größe", Some("1")),
        ],
        timestamp: None,
        ..plain.clone()
    };
    let tombstone = Record {
        key: Some(Bytes::new()),
        value: None,
        ..plain.clone()
    };
    let empty = Record {
        key: None,
        value: Some(Bytes::new()),
        timestamp: Some(1),
        ..plain.clone()
    };
    vec![plain, with_headers, tombstone, empty]
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        8 => vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), 0..3_000_usize).prop_map(|(byte, length)| vec![byte; length]),
    ]
    .prop_map(Bytes::from)
}

fn header() -> impl Strategy<Value = Header> {
    ("[^\0]{0,12}", option::of(bytes())).prop_map(|(name, value)| Header {
        name: name.into_boxed_str(),
        value,
    })
}

fn record() -> impl Strategy<Value = Record> {
    let time = option::of(1..=i64::MAX);
    (option::of(bytes()), option::of(bytes()), vec(header(), 0..4), time).prop_map(
        |(key, value, headers, timestamp)| Record {
            topic: TOPIC.into(),
            key,
            value,
            headers,
            partition: None,
            timestamp,
            schema: None,
        },
    )
}

proptest! {
    #[test]
    fn records_are_what_was_sent_however_they_were_compressed(records in vec(record(), 1..80)) {
        for way in &WAYS {
            let (read, memory) = read_within(&compressed(way, &records), &Limits::default(), Memory::unbounded());
            prop_assert_eq!(read.as_ref(), Ok(&records), "{}", way.name);
            let copied = if way.attributes == 0 { 0 } else { payload(&records).len() };
            let headers: usize = records.iter().map(|record| record.headers.len()).sum();
            prop_assert!(memory.used() >= copied + records.len() * size_of::<Record>() + headers * size_of::<Header>());
            // Nothing is counted any more that has been freed.
            prop_assert!(memory.used() < copied + records.len() * 2_000 + headers * 200, "{}", way.name);
        }
    }

    #[test]
    fn a_batch_of_any_bytes_harms_nobody(mut bytes in vec(any::<u8>(), 61..300), attributes in 0..8_u8) {
        bytes[16] = 2;
        bytes[21..23].copy_from_slice(&[0, attributes]);
        bytes[57..61].copy_from_slice(&[0, 0, 0, 2]);
        bytes[23..27].copy_from_slice(&[0, 0, 0, 1]);
        bytes[43..51].copy_from_slice(&[0xff; 8]);
        seal(&mut bytes);
        prop_assert!(read(&bytes).is_err());
    }
}

#[test]
fn a_large_batch_is_read_in_whatever_blocks_it_was_compressed() {
    let mut records = Vec::new();
    for index in 0..2_000_u32 {
        // Half of each value repeats, so that there are copies from far back.
        let noise = (0..60_u32).map(|at| (index.wrapping_mul(2_654_435_761).wrapping_add(at * at * 31) >> 7) as u8);
        let value: Vec<u8> = noise.chain([7; 60]).collect();
        records.push(Record {
            value: Some(value.into()),
            ..samples()[0].clone()
        });
    }
    for way in &WAYS {
        assert_eq!(read(&compressed(way, &records)).as_ref(), Ok(&records), "{}", way.name);
    }
}

#[test]
fn records_that_are_not_compressed_are_not_copied() {
    let batch = Bytes::from(encoded(&samples()));
    let limits = Limits::default();
    let context = Context {
        topic: Some(TOPIC.into()),
        limits: &limits,
        memory: Memory::unbounded(),
    };
    let head = head(&batch, &limits).unwrap();
    assert_eq!((head.records, head.producer), (4, None));
    let within = batch.as_ptr_range();
    for record in records(&head, &batch, &context).unwrap() {
        for bytes in [record.key, record.value]
            .into_iter()
            .flatten()
            .filter(|bytes| !bytes.is_empty())
        {
            assert!(within.contains(&bytes.as_ptr()));
        }
    }
}

#[test]
fn an_idempotent_producers_numbers_are_told() {
    let fields = Fields {
        producer_id: i64::MAX,
        producer_epoch: 3,
        base_sequence: i32::MAX,
        ..Fields::of(4)
    };
    let batch = Bytes::from(batch(&fields, &payload(&samples())));
    let expected = Numbered {
        id: i64::MAX,
        epoch: 3,
        base_sequence: i32::MAX,
    };
    assert_eq!(head(&batch, &Limits::default()).unwrap().producer, Some(expected));
}

#[test]
fn times_are_relative_to_the_batch_and_none_if_they_are_the_brokers() {
    let times = |attributes: i16, base_timestamp: i64| {
        let fields = Fields {
            attributes,
            base_timestamp,
            ..Fields::of(4)
        };
        read(&batch(&fields, &payload(&samples()))).map(|records| {
            let times = records.into_iter().map(|record| record.timestamp);
            times.collect::<Vec<_>>()
        })
    };
    let sent = 1_700_000_000_000;
    assert_eq!(times(0, 0), Ok(vec![Some(sent), None, Some(sent), Some(1)]));
    assert_eq!(times(0, 5), Ok(vec![Some(sent + 5), Some(4), Some(sent + 5), Some(6)]));
    assert_eq!(times(8, 5), Ok(vec![None; 4]));
    assert_eq!(times(8, i64::MIN), Ok(vec![None; 4]));
    for refused in [1, -1, i64::MIN, i64::MAX] {
        assert!(
            matches!(times(0, refused), Err(BatchError::Invalid { record: Some(_), .. })),
            "{refused}"
        );
    }
}

#[test]
fn records_beyond_the_limit_or_the_memory_refuse_the_batch() {
    let limits = Limits {
        max_records: 3,
        ..Limits::default()
    };
    let (read, _) = read_within(&encoded(&samples()), &limits, Memory::unbounded());
    assert_eq!(read, Err(BatchError::TooManyRecords { count: 4, most: 3 }));
    for way in &WAYS {
        let batch = compressed(way, &samples());
        let (read, memory) = read_within(&batch, &Limits::default(), Memory::unbounded());
        let used = memory.used();
        assert_eq!(read, Ok(samples()));
        for most in [0, 1, used / 2, used - 1] {
            let (read, memory) = read_within(&batch, &Limits::default(), Memory::of(most));
            assert_eq!(read, Err(BatchError::NoMemory), "{} of {used}", way.name);
            assert!(memory.is_over());
        }
    }
}

#[test]
fn a_decompressed_batch_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() {
    let size = payload(&samples()).len();
    for way in WAYS.iter().filter(|way| way.attributes != 0) {
        for (max_body_bytes, expected) in [
            (size, Ok(samples())),
            (size - 1, Err(BatchError::TooLarge { most: size - 1 })),
            (0, Err(BatchError::TooLarge { most: 0 })),
        ] {
            let limits = Limits {
                max_body_bytes,
                ..Limits::default()
            };
            let (read, _) = read_within(&compressed(way, &samples()), &limits, Memory::unbounded());
            assert_eq!(read, expected, "{}", way.name);
        }
    }
}

#[test]
fn a_bomb_ends_at_the_limit_and_within_twice_its_memory() {
    const LIMIT: usize = 128 << 10;
    // Beside the output, and the copy while it grows.
    const CODECS: usize = 256 << 10;
    let limits = Limits {
        max_body_bytes: LIMIT,
        ..Limits::default()
    };
    let bomb = Record {
        value: Some(vec![0; 4 << 20].into()),
        ..samples()[0].clone()
    };
    for way in WAYS.iter().filter(|way| way.attributes != 0) {
        let batch = compressed(way, std::slice::from_ref(&bomb));
        let (read, memory) = read_within(&batch, &limits, Memory::of(2 * LIMIT + CODECS));
        assert_eq!(read, Err(BatchError::TooLarge { most: LIMIT }), "{}", way.name);
        assert!(!memory.is_over());
    }
}

fn of_corpus(name: &str) -> Bytes {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus/kafka_batch");
    fs::read(corpus.join(name)).expect(name).into()
}

#[test]
fn the_corpus_has_a_batch_that_can_be_read_in_each_compression() {
    for way in &WAYS {
        assert_eq!(read(&of_corpus(way.name)), Ok(samples()), "{}", way.name);
    }
}

/// Batches that Java's client 4.3.1 (`MemoryRecords.withIdempotentRecords`) and librdkafka 2.0.2 (by kcat) made.
#[test]
fn batches_of_java_and_librdkafka_are_read_as_they_were_meant() {
    let compressions = ["none", "gzip", "snappy", "lz4", "zstd"];
    let of_java = compressions.map(|compression| format!("java-{compression}"));
    let of_librdkafka = compressions.map(|compression| format!("librdkafka-{compression}"));
    let largest_window = "java-zstd-with-a-window-of-128-mib".to_owned();
    for name in of_java.into_iter().chain(of_librdkafka).chain([largest_window]) {
        let batch = of_corpus(&name);
        let is_javas = name.starts_with("java");
        let expected = Numbered {
            id: 4_711,
            epoch: 2,
            base_sequence: 40,
        };
        let head = head(&batch, &Limits::default()).expect(&name);
        assert_eq!(head.producer, is_javas.then_some(expected), "{name}");
        let (read, _) = read_within(&batch, &Limits::default(), Memory::of(512 << 10));
        let read = read.expect(&name);
        assert_eq!(read.len(), 20, "{name}");
        for (index, record) in read.into_iter().enumerate() {
            let sent = Record {
                topic: TOPIC.into(),
                key: Some(format!("key-{index}").into()),
                value: Some(format!("a value that repeats, a value that repeats, {index}").into()),
                headers: [("tier", Some("gold")), ("tier", Some("")), ("gone", None)]
                    .map(|(name, value)| Header {
                        name: name.into(),
                        value: value.map(Bytes::from),
                    })
                    .into(),
                partition: None,
                timestamp: match is_javas {
                    true => Some(1_700_000_000_000 + index as i64),
                    false => record.timestamp.filter(|&time| time > 1_700_000_000_000),
                },
                schema: None,
            };
            assert_eq!(record, sent, "{name}");
        }
    }
}
