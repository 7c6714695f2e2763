use hyper::HeaderMap;
use proptest::{collection::vec, option, prelude::*};
use serde_json::{Value, json};

use super::*;
use crate::{
    base::outcome::Code,
    config::Limits,
    fuzzing::{packed::unparsed, reference::pack},
    ingest::{
        error::IngestError,
        parse::{Format, Memory},
    },
};

fn parse(format: Format, body: Vec<u8>) -> Result<Vec<Parsed>, IngestError> {
    parse_within(format, body, Limits::default().max_records)
}

fn parse_within(format: Format, body: Vec<u8>, max_records: usize) -> Result<Vec<Parsed>, IngestError> {
    let limits = Limits {
        max_records,
        ..Limits::default()
    };
    let context = Context {
        topic: None,
        limits: &limits,
        memory: Memory::unbounded(),
    };
    format.parse(&Bytes::from(body), &HeaderMap::new(), &context)
}

fn packed(records: &[Record]) -> Vec<u8> {
    pack(records.iter().map(unparsed))
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn header() -> impl Strategy<Value = Header> {
    ("[^\0]{0,12}", option::of(bytes())).prop_map(|(name, value)| Header {
        name: name.into_boxed_str(),
        value,
    })
}

fn record() -> impl Strategy<Value = Record> {
    (
        "[a-zA-Z0-9_-]{1,20}",
        option::of(bytes()),
        option::of(bytes()),
        vec(header(), 0..4),
        option::of(any::<u32>()),
        option::of(1..=i64::MAX),
    )
        .prop_map(|(topic, key, value, headers, partition, timestamp)| Record {
            topic: topic.into(),
            key,
            value,
            headers,
            partition,
            timestamp,
            schema: None,
        })
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    vec(record(), 1..12)
}

/// The same records as JSON. Written by hand, since header names may repeat, which a map of serde cannot.
fn as_json(records: &[Record]) -> Vec<u8> {
    let base64 = |bytes: &Option<Bytes>| {
        bytes
            .as_ref()
            .map(|bytes| base64_simd::STANDARD.encode_to_string(bytes))
    };
    let one = |record: &Record| {
        let headers = record.headers.iter().map(|header| {
            let value = match base64(&header.value) {
                None => Value::Null,
                Some(text) => json!({ "base64": text }),
            };
            format!("{}:{value}", Value::from(&*header.name))
        });
        let rest = json!({
            "topic": &*record.topic,
            "key_base64": base64(&record.key),
            "value_base64": base64(&record.value),
            "partition": record.partition,
            "timestamp": record.timestamp,
        });
        let headers: Vec<String> = headers.collect();
        format!("{{\"headers\":{{{}}},{}", headers.join(","), &rest.to_string()[1..])
    };
    let records: Vec<String> = records.iter().map(one).collect();
    format!("{{\"records\":[{}]}}", records.join(",")).into_bytes()
}

proptest! {
    #[test]
    fn packed_records_are_what_was_packed_and_what_json_says(records in records()) {
        let expected: Vec<Parsed> = records.iter().cloned().map(Ok).collect();
        prop_assert_eq!(&parse(Format::Packed, packed(&records)).expect("a batch"), &expected);
        prop_assert_eq!(&parse(Format::Json, as_json(&records)).expect("a batch"), &expected);
    }

    #[test]
    fn a_limit_on_records_refuses_the_whole_request_or_changes_nothing(records in records(), max_records in 1..15_usize) {
        let expected: Vec<Parsed> = records.iter().cloned().map(Ok).collect();
        for (format, body) in [(Format::Packed, packed(&records)), (Format::Json, as_json(&records))] {
            match parse_within(format, body, max_records) {
                Ok(parsed) => prop_assert!(parsed == expected && parsed.len() <= max_records),
                Err(error) => {
                    prop_assert!(records.len() > max_records, "{:?}: {:?}", format, error);
                    prop_assert_eq!(error.problem().response().status(), 413);
                }
            }
        }
    }

    #[test]
    fn a_batch_that_breaks_off_is_refused_whole_and_says_where(records in records(), cut in any::<prop::sample::Index>()) {
        let mut body = packed(&records);
        let end = cut.index(body.len());
        body.truncate(end);
        let error = parse(Format::Packed, body).expect_err("half a batch");
        if end > 0 {
            prop_assert!(error.problem().offset().is_some_and(|offset| offset <= end), "{:?}", error);
        }
    }

    #[test]
    fn a_wrong_byte_harms_no_record_but_its_own_or_refuses_the_batch(
        records in records(),
        place in any::<prop::sample::Index>(),
        other in 1..=u8::MAX,
    ) {
        let mut body = packed(&records);
        let place = place.index(body.len());
        body[place] ^= other;
        match parse(Format::Packed, body) {
            Ok(parsed) => {
                prop_assert_eq!(parsed.len(), records.len());
                let changed = parsed.iter().zip(&records).filter(|(parsed, record)| parsed.as_ref() != Ok(*record));
                prop_assert!(changed.count() <= 1);
            }
            Err(error) => prop_assert!(error.problem().offset().is_some() || place < BATCH_HEAD, "{:?}", error),
        }
    }
}

/// A frame with this content.
fn framed(inside: &[u8]) -> Vec<u8> {
    [&(inside.len() as u32).to_le_bytes(), inside].concat()
}

fn batch(frames: &[Vec<u8>]) -> Vec<u8> {
    [b"PMR\x01", &(frames.len() as u32).to_le_bytes()[..], &frames.concat()].concat()
}

fn inside(flags: u16, headers: u16, key: i32, value: i32, rest: &[u8]) -> Vec<u8> {
    let (flags, headers) = (flags.to_le_bytes(), headers.to_le_bytes());
    [&flags[..], &headers, &key.to_le_bytes(), &value.to_le_bytes(), rest].concat()
}

const TOPIC: &[u8] = b"\x01\0\0\0t";

#[test]
fn what_a_frame_holds_is_its_records_own_matter() {
    let topic = |rest: &[u8]| [TOPIC, rest].concat();
    let good = inside(HAS_TOPIC, 0, -1, 1, &topic(b"x"));
    for (bad, code, says) in [
        (vec![], Code::MalformedRecord, "shorter than a record's head"),
        (
            inside(8 | HAS_TOPIC, 0, -1, -1, TOPIC),
            Code::MalformedRecord,
            "flags are 12",
        ),
        (
            inside(HAS_TOPIC, 0, -2, -1, TOPIC),
            Code::MalformedRecord,
            "key's length is -2",
        ),
        (
            inside(HAS_TOPIC, 0, 4, -1, &topic(b"key")),
            Code::MalformedRecord,
            "longer than its size",
        ),
        (
            inside(HAS_TOPIC, 0, 2, -1, &topic(b"key")),
            Code::MalformedRecord,
            "1 bytes shorter than its size",
        ),
        (
            inside(HAS_TOPIC, 1_001, -1, -1, TOPIC),
            Code::MalformedRecord,
            "at most 1000 headers",
        ),
        (
            inside(HAS_TOPIC, 1, -1, -1, &topic(b"\x01\0\0\0\0\0\0\0\0")),
            Code::MalformedRecord,
            "zero byte",
        ),
        (
            inside(HAS_TOPIC, 1, -1, -1, &topic(b"\x01\0\0\0\0\0\0\0\xff")),
            Code::MalformedRecord,
            "name is no UTF-8",
        ),
        (
            inside(HAS_TOPIC | HAS_TIMESTAMP, 0, -1, -1, &[&[0; 8], TOPIC].concat()),
            Code::MalformedRecord,
            "timestamp is 0",
        ),
        (inside(0, 0, -1, -1, b""), Code::MalformedRecord, "names no topic"),
        (
            inside(HAS_TOPIC, 0, -1, -1, b"\x02\0\0\0.."),
            Code::InvalidTopic,
            "Kafka forbids",
        ),
    ] {
        let body = batch(&[framed(&good), framed(&bad), framed(&good)]);
        let parsed = parse(Format::Packed, body).expect("a batch");
        let [Ok(_), Err(error), Ok(_)] = &parsed[..] else {
            panic!("{bad:?}: {parsed:?}");
        };
        assert_eq!(error.code, code, "{error:?}");
        let place = format!("the record at byte {} of the body: ", BATCH_HEAD + framed(&good).len());
        assert!(
            error.message.starts_with(&place) && error.message.contains(says),
            "{says}: {error:?}"
        );
    }
}

#[test]
fn a_batch_whose_frames_are_wrong_is_refused_whole() {
    let good = framed(&inside(HAS_TOPIC, 0, -1, 1, &[TOPIC, b"x"].concat()));
    let end = BATCH_HEAD + good.len();
    for (body, offset) in [
        (b"PMX\x01\x01\0\0\0".to_vec(), 0),
        (b"PMR\x02\x01\0\0\0".to_vec(), 3),
        (b"PMR\x01\x01\0".to_vec(), 4),
        (batch(&[good.clone(), vec![1, 0]]), end),
        (batch(&[good.clone(), vec![12, 0, 0, 0, 1, 2, 3]]), end),
        (batch(&[good.clone(), vec![255; 4]]), end),
        ([batch(std::slice::from_ref(&good)), vec![0]].concat(), end),
    ] {
        let error = parse(Format::Packed, body).expect_err("no batch");
        assert_eq!(error.problem().offset(), Some(offset), "{error:?}");
    }
    // The announced count refuses this batch before any record is read.
    let many = [b"PMR\x01", &u32::MAX.to_le_bytes()[..]].concat();
    assert!(
        parse(Format::Packed, many)
            .expect_err("too many")
            .to_string()
            .contains("max_records")
    );
    assert!(
        parse(Format::Packed, batch(&[]))
            .expect_err("empty")
            .to_string()
            .contains("no records")
    );
}
