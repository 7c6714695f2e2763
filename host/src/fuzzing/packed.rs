//! `application/vnd.pointsman.records`.

use bytes::Bytes;
use hyper::HeaderMap;

use super::{
    parsed::{TOPIC, is_slice, limits, parse},
    reference::{self, pack},
};
use crate::{
    base::record::{Header, Record},
    ingest::parse::Format,
};

/// Checks that a record has the body's own bytes, that there is only one way to pack it, and that an error says where
/// the body is wrong.
pub fn packed(data: &[u8]) {
    let (body, limits) = (Bytes::copy_from_slice(data), limits(data));
    for topic in [Some(TOPIC), None] {
        let parsed = match parse(Format::Packed, &body, &HeaderMap::new(), topic, &limits) {
            Ok(parsed) => parsed,
            Err(error) => {
                let is_placed = error.problem().offset().is_some_and(|offset| offset <= body.len());
                let is_counted = [
                    "the body is empty",
                    "the batch has no records",
                    "the request has more than",
                ];
                let is_counted = is_counted
                    .iter()
                    .any(|start| error.problem().detail().starts_with(start));
                assert!(is_placed || is_counted, "{error:?}");
                continue;
            }
        };
        for record in &parsed {
            match record {
                Ok(record) => check(record, &body),
                Err(error) => assert!(error.message.starts_with("the record at byte "), "{error:?}"),
            }
        }
        if let (None, Ok(records)) = (topic, parsed.iter().map(Result::as_ref).collect::<Result<Vec<_>, _>>()) {
            assert_eq!(
                pack(records.into_iter().map(unparsed)),
                data,
                "another way to say the same"
            );
        }
    }
}

fn check(record: &Record, body: &Bytes) {
    let headers = record.headers.iter().map(|header| &header.value);
    for bytes in [&record.key, &record.value].into_iter().chain(headers).flatten() {
        assert!(is_slice(bytes, body), "a copy");
    }
}

/// The record in the form of the reference client.
pub(crate) fn unparsed(record: &Record) -> reference::Record<'_> {
    reference::Record {
        topic: Some(&record.topic),
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: record.headers.iter().map(header).collect(),
        partition: record.partition,
        timestamp: record.timestamp.map(i64::unsigned_abs),
    }
}

fn header(header: &Header) -> (&str, Option<&[u8]>) {
    (&header.name, header.value.as_deref())
}
