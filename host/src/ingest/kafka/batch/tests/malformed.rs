//! Batches that no client should write.

use super::{
    codecs::{gzip, lz4, snappy, xerial, zstd, zstd_streamed},
    *,
};
use crate::fuzzing::batch_encoder::{self, frame, inside, varint};

fn invalid(error: &BatchError, says: &str) -> bool {
    matches!(error, BatchError::Invalid { detail, .. } if detail.contains(says))
}

#[test]
fn a_batch_that_breaks_off_is_damaged_and_harms_nobody_with_a_right_checksum() {
    for way in &WAYS {
        let whole = compressed(way, &samples());
        for end in 0..whole.len() {
            let mut cut = whole[..end].to_vec();
            match read(&cut) {
                Err(BatchError::Invalid { .. }) => assert_eq!(end, 0),
                Err(BatchError::Corrupt(_)) => assert_ne!(end, 0),
                other => panic!("{end} bytes: {other:?}"),
            }
            if end >= BATCH_HEADER {
                seal(&mut cut);
                assert!(
                    matches!(read(&cut), Err(BatchError::Invalid { .. })),
                    "{} of {end} bytes: {:?}",
                    way.name,
                    read(&cut)
                );
            }
        }
    }
}

#[test]
fn a_changed_byte_is_noticed_and_harms_nobody_with_a_right_checksum() {
    for way in &WAYS {
        let whole = compressed(way, &samples());
        for place in 0..whole.len() {
            for change in [1, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[place] ^= change;
                let read_as_it_is = read(&changed);
                if place >= CHECKED_FROM {
                    assert!(
                        matches!(read_as_it_is, Err(BatchError::Corrupt(_))),
                        "{read_as_it_is:?}"
                    );
                }
                seal(&mut changed);
                if let Ok(records) = read(&changed) {
                    assert_eq!(records.len(), samples().len());
                }
            }
        }
    }
}

#[test]
fn what_a_client_is_told_apart_is_told_apart() {
    let whole = encoded(&samples());
    let magic = |magic: u8| {
        let mut batch = whole.clone();
        batch[MAGIC] = magic;
        read(&batch).unwrap_err()
    };
    assert_eq!(magic(0), BatchError::UnsupportedMagic(0));
    assert_eq!(magic(1), BatchError::UnsupportedMagic(1));
    for other in [3, 0x7f, 0xff] {
        assert!(matches!(magic(other), BatchError::Corrupt(_)));
    }
    let attributes = |attributes: i16| {
        let fields = Fields {
            attributes,
            ..Fields::of(4)
        };
        read(&batch(&fields, &payload(&samples()))).unwrap_err()
    };
    for unknown in 5..8 {
        assert_eq!(attributes(unknown), BatchError::UnsupportedCompression(unknown as u8));
    }
    assert_eq!(attributes(0x10), BatchError::Transactional);
    assert_eq!(attributes(0x20), BatchError::Control);
    assert_eq!(attributes(0x30), BatchError::Control);
    for bit in 6..16 {
        assert!(invalid(&attributes((1_u16 << bit) as i16), "bits from 6 on"), "{bit}");
    }
    let mut checksum = whole.clone();
    checksum[CHECKSUM] ^= 1;
    assert!(matches!(read(&checksum), Err(BatchError::Corrupt(_))));
}

#[test]
fn a_batch_is_alone() {
    let whole = encoded(&samples());
    let error = read(&[&whole[..], &whole].concat()).unwrap_err();
    assert!(invalid(&error, "exactly one batch"), "{error}");
    let error = read(&[&whole[..], b"x"].concat()).unwrap_err();
    assert!(invalid(&error, "1 bytes come after it"), "{error}");
    assert!(invalid(&read(b"").unwrap_err(), "there is no batch"));
    for length in [-1, i32::MIN, 0, 48, i32::MAX] {
        let mut batch = whole.clone();
        batch[LENGTH..MAGIC - 4].copy_from_slice(&length.to_be_bytes());
        assert!(matches!(read(&batch), Err(BatchError::Corrupt(_))), "{length}");
    }
}

#[test]
fn an_announced_count_is_compared_with_what_is_there() {
    let payload = payload(&samples());
    let with = |count: i32, last_offset_delta: i32, payload: &[u8]| {
        let fields = Fields {
            count,
            last_offset_delta,
            ..Fields::of(4)
        };
        // Nothing is allocated for what cannot be there: this memory is not enough for many records.
        let limits = Limits {
            max_records: usize::MAX,
            ..Limits::default()
        };
        let memory = Memory::of(64 << 10);
        read_within(&batch(&fields, payload), &limits, memory).0.unwrap_err()
    };
    for (count, last) in [
        (0, -1),
        (-1, -2),
        (i32::MIN, i32::MAX),
        (4, 4),
        (4, 2),
        (4, -1),
        (4, i32::MIN),
    ] {
        let error = with(count, last, &payload);
        assert!(invalid(&error, "one offset for each"), "{count}, {last}: {error}");
    }
    for count in [payload.len() as i32 / 7 + 1, i32::MAX] {
        let error = with(count, count - 1, &payload);
        assert!(invalid(&error, "has only"), "{error}");
    }
    let error = with(5, 4, &payload);
    assert!(invalid(&error, "goes beyond the end of the batch"), "{error}");
    let error = with(3, 2, &payload);
    assert!(invalid(&error, "come after its last record"), "{error}");
    // In compressed records, the same is found out later.
    for count in [3, 5, 5_000, i32::MAX] {
        let fields = Fields {
            attributes: 4,
            count,
            last_offset_delta: count - 1,
            ..Fields::of(4)
        };
        let limits = Limits {
            max_records: usize::MAX,
            ..Limits::default()
        };
        let batch = batch(&fields, &zstd(&payload));
        let (read, _) = read_within(&batch, &limits, Memory::of(1 << 20));
        assert!(matches!(read, Err(BatchError::Invalid { .. })), "{count}: {read:?}");
    }
}

#[test]
fn a_producer_has_no_negative_number() {
    for (producer_id, producer_epoch, base_sequence) in [(-2, 0, 0), (i64::MIN, 0, 0), (0, -1, 0), (0, 0, -1)] {
        let fields = Fields {
            producer_id,
            producer_epoch,
            base_sequence,
            ..Fields::of(4)
        };
        let error = read(&batch(&fields, &payload(&samples()))).unwrap_err();
        assert!(invalid(&error, "may be negative"), "{error}");
    }
}

/// A record without its length: its attributes, time and offset, and then these numbers and bytes.
fn parts(numbers: &[i64], rest: &[u8]) -> Vec<u8> {
    let mut inside = vec![0];
    for &number in numbers {
        varint(&mut inside, number);
    }
    inside.extend(rest);
    inside
}

#[test]
fn a_record_that_breaks_a_rule_refuses_the_batch_and_says_which_it_is() {
    let good = inside(0, &batch_encoder::Record::default());
    let beyond = "its parts are longer than its length";
    let header = |name: &[u8]| {
        let mut inside = parts(&[0, 1, -1, -1, 1, name.len() as i64], name);
        varint(&mut inside, -1);
        inside
    };
    for (bad, says) in [
        (vec![], beyond),
        (vec![0], beyond),
        // Time, offset, length of the key, of the value, count of headers.
        (parts(&[0, 0, -1, -1, 0], b""), "its offset is 0, expected 1"),
        (parts(&[0, 2, -1, -1, 0], b""), "its offset is 2, expected 1"),
        (parts(&[0, -1, -1, -1, 0], b""), "its offset is -1, expected 1"),
        (parts(&[0, 1, -2, -1, 0], b""), "the length of the key is -2"),
        (
            parts(&[0, 1, i32::MIN.into(), -1, 0], b""),
            "the length of the key is -2147483648",
        ),
        (parts(&[0, 1, -1, -2, 0], b""), "the length of the value is -2"),
        (parts(&[0, 1, 1, -1, 0], b""), beyond),
        (parts(&[0, 1, 4, -1, 0], b"x"), beyond),
        (parts(&[0, 1, -1, i32::MAX.into()], b""), beyond),
        (parts(&[0, 1, -1, 3], b"ab"), beyond),
        (parts(&[0, 1, -1, -1, 0], b"x"), "1 bytes shorter than its length"),
        (
            parts(&[0, 1, -1, -1, -1], b""),
            "the length of the list of headers is -1",
        ),
        (parts(&[0, 1, -1, -1, 1_001], b""), "at most 1000 headers"),
        (parts(&[0, 1, -1, -1, i32::MAX.into()], b""), "at most 1000 headers"),
        (parts(&[0, 1, -1, -1, 1_000], b""), beyond),
        (
            parts(&[0, 1, -1, -1, 1, -1, -1], b""),
            "the length of the header's name is -1",
        ),
        (
            parts(&[0, 1, -1, -1, 1, 0, -2], b""),
            "the length of the header's value is -2",
        ),
        (parts(&[0, 1, -1, -1, 1, 0, 1], b""), beyond),
        (header(b"\xff"), "the header's name is no UTF-8"),
        (header(b"a\0"), "zero byte"),
        (parts(&[-2_000_000_000_002, 1, -1, -1, 0], b""), "its timestamp is"),
        (parts(&[-2_000_000_000_000, 1, -1, -1, 0], b""), "its timestamp is"),
        (parts(&[i64::MAX, 1, -1, -1, 0], b""), "its timestamp is"),
        // Numbers that go on and on.
        (parts(&[], &[0xff; 40]), "more than 64 bits"),
        (
            parts(&[], &[&[0x80; 9][..], &[2], &[0; 8]].concat()),
            "more than 64 bits",
        ),
        (parts(&[0], &[0xff; 40]), "more than 32 bits"),
        (
            parts(&[0], &[&[0x80; 4][..], &[0x10], &[0; 8]].concat()),
            "more than 32 bits",
        ),
        (parts(&[0, 1 << 40], b""), "more than 32 bits"),
    ] {
        let mut records = Vec::new();
        frame(&mut records, &good);
        frame(&mut records, &bad);
        // Enough bytes for three records, however short the bad one is.
        records.extend([0; 20]);
        let fields = Fields {
            base_timestamp: 2_000_000_000_000,
            ..Fields::of(3)
        };
        let error = read(&batch(&fields, &records)).unwrap_err();
        let expected = matches!(&error, BatchError::Invalid { record: Some(1), detail } if detail.contains(says));
        assert!(expected, "{says}: {error}");
    }
}

#[test]
fn a_records_length_is_its_own() {
    let good = inside(0, &batch_encoder::Record::default());
    for (length, says) in [
        (-1, "the length of the record is -1"),
        (i32::MIN.into(), "the length of the record is -2147483648"),
        (7, "goes beyond the end of the batch"),
        (i32::MAX.into(), "goes beyond the end of the batch"),
        (i64::MAX, "more than 32 bits"),
        (5, "its parts are longer than its length"),
        (0, "its parts are longer than its length"),
    ] {
        let mut records = Vec::new();
        varint(&mut records, length);
        records.extend(&good);
        let fields = Fields {
            base_timestamp: 1,
            ..Fields::of(1)
        };
        let error = read(&batch(&fields, &records)).unwrap_err();
        assert!(invalid(&error, says), "{length}: {error}");
    }
}

#[test]
fn compressed_records_are_whole_and_alone() {
    let payload = payload(&samples());
    let refused = |attributes: i16, compressed: &[u8]| {
        let fields = Fields {
            attributes,
            ..Fields::of(4)
        };
        let error = read(&batch(&fields, compressed)).unwrap_err();
        assert!(invalid(&error, "cannot be decompressed"), "{attributes}: {error}");
    };
    for (attributes, compress) in [
        (1, gzip as fn(&[u8]) -> Vec<u8>),
        (2, snappy),
        (2, xerial),
        (3, lz4),
        (4, zstd),
        (4, zstd_streamed),
    ] {
        let whole = compress(&payload);
        refused(attributes, &[&whole[..], b"x"].concat());
        refused(attributes, &[&whole[..], &[0; 4]].concat());
        refused(attributes, &whole[..whole.len() - 1]);
        refused(attributes, &payload);
        refused(attributes, b"");
    }
    // The end mark of an LZ4 frame, whose absence the library's own reader does not notice.
    let frame = lz4(&payload);
    refused(3, &frame[..frame.len() - 4]);
    // Two frames: the second one is not the batch's.
    refused(4, &[zstd(&payload), zstd(b"")].concat());
    // A frame of zstd 0.7.
    refused(4, &[&[0x27, 0xb5, 0x2f, 0xfd][..], &zstd(&payload)[4..]].concat());
}

#[test]
fn an_announced_size_takes_no_memory_that_it_cannot_fill() {
    let limits = Limits {
        max_body_bytes: 1 << 30,
        ..Limits::default()
    };
    let refused = |attributes: i16, compressed: &[u8]| {
        let fields = Fields {
            attributes,
            ..Fields::of(4)
        };
        let (read, memory) = read_within(&batch(&fields, compressed), &limits, Memory::of(512 << 10));
        let error = read.unwrap_err();
        assert!(invalid(&error, "cannot be decompressed"), "{attributes}: {error}");
        assert!(!memory.is_over());
    };
    // Snappy: 4 GiB in 40 bytes.
    let lie = [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0; 35]].concat();
    refused(2, &lie);
    let framed = [b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0\x28", &lie[..]].concat();
    refused(2, &framed);
    refused(2, b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\xff\xff\xff\xff");
    // LZ4: blocks of 4 MiB, of which there is one of 20 bytes, and one that is not there.
    let block = [&20_u32.to_le_bytes()[..], &[0xff; 20]].concat();
    refused(3, &[&[0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0][..], &block].concat());
    refused(3, &[&[0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0][..], &[0xff; 4]].concat());
    // Zstd: a window of 2 GiB without an announced size, with a block that ends too early.
    refused(4, &[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0xff, 0xff, 0xff]);
}

#[test]
fn a_large_window_is_no_reason_to_refuse_a_small_batch() {
    let payload = payload(&samples());
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    std::io::Write::write_all(&mut encoder, &payload).unwrap();
    let fields = Fields {
        attributes: 4,
        ..Fields::of(4)
    };
    let batch = batch(&fields, &encoder.finish().unwrap());
    let (read, _) = read_within(&batch, &Limits::default(), Memory::of(512 << 10));
    assert_eq!(read, Ok(samples()));
}

#[test]
fn what_a_client_is_told_does_not_grow_with_what_it_sent() {
    let name = vec![0xff; 100_000];
    let mut inside = parts(&[0, 0, -1, -1, 1, name.len() as i64], &name);
    varint(&mut inside, -1);
    let mut records = Vec::new();
    frame(&mut records, &inside);
    let error = read(&batch(&Fields::of(1), &records)).unwrap_err().to_string();
    assert!(error.len() < 200 && error.contains("record 0"), "{error}");
}
