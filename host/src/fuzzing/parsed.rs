//! Checks what holds for the records of every content type.

use std::sync::Arc;

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode};

use crate::{
    base::{
        outcome::{Code, RecordError},
        record::{Record, valid_topic},
    },
    config::Limits,
    ingest::{
        error::IngestError,
        parse::{Context, Format, Memory},
    },
    pipeline::Parsed,
};

/// The topic in the path, where the path has one.
pub(super) const TOPIC: &str = "t";
/// The longest message about a record or a request, bytes: a message must not grow with what was sent.
pub(super) const LONGEST_MESSAGE: usize = 1_024;

/// Limits that the input chooses, so small that fuzzing reaches them.
pub(super) fn limits(data: &[u8]) -> Limits {
    let sum = data
        .iter()
        .fold(data.len(), |sum, &byte| sum.wrapping_mul(31) + usize::from(byte));
    Limits {
        max_records: 1 + sum % 8,
        json_depth: 1 + sum / 8 % 6,
        ..Limits::default()
    }
}

/// Parses the body, with this topic in the path or without one, and checks the result.
pub(super) fn parse(
    format: Format,
    body: &Bytes,
    headers: &HeaderMap,
    topic: Option<&str>,
    limits: &Limits,
) -> Result<Vec<Parsed>, IngestError> {
    let read = |limits: &Limits| {
        let context = Context {
            topic: topic.map(Arc::from),
            limits,
            memory: Memory::unbounded(),
        };
        format.parse(body, headers, &context)
    };
    let (parsed, again) = (read(limits), read(limits));
    match (&parsed, &again) {
        (Ok(one), Ok(other)) => assert_eq!(one, other, "read in two ways"),
        (one, other) => assert_eq!(format!("{one:?}"), format!("{other:?}"), "read in two ways"),
    }
    check_limits(&parsed, &read(&Limits::default()), limits);
    match &parsed {
        Ok(records) => {
            for record in records {
                match record {
                    Ok(record) => check_record(record, body, topic),
                    Err(error) => check_error(error),
                }
            }
        }
        Err(error) => check_problem(error),
    }
    parsed
}

/// Checks that a limit only refuses a whole request, or a value that is nested too deep, and changes nothing else.
fn check_limits(parsed: &Result<Vec<Parsed>, IngestError>, wide: &Result<Vec<Parsed>, IngestError>, limits: &Limits) {
    match (parsed, wide) {
        (Ok(records), Ok(all)) => {
            assert!(
                (1..=limits.max_records).contains(&records.len()),
                "{} records",
                records.len()
            );
            assert_eq!(records.len(), all.len());
            for (record, unlimited) in records.iter().zip(all) {
                let is_too_deep = record
                    .as_ref()
                    .is_err_and(|error| error.message.contains("limits.json_depth"));
                assert!(is_too_deep || record == unlimited, "{record:?}, and not {unlimited:?}");
            }
        }
        (Err(error), Ok(all)) => {
            assert!(all.len() > limits.max_records, "{} records: {error:?}", all.len());
            assert_eq!(error.problem().response().status(), StatusCode::PAYLOAD_TOO_LARGE);
        }
        (Ok(records), Err(error)) => panic!("{error:?}, and with smaller limits {records:?}"),
        (Err(_), Err(_)) => {}
    }
}

fn check_record(record: &Record, body: &Bytes, topic: Option<&str>) {
    assert_eq!(valid_topic(&record.topic), Ok(()));
    assert!(topic.is_none_or(|topic| topic == &*record.topic));
    assert!(record.timestamp.is_none_or(|ms| ms > 0));
    for header in &record.headers {
        assert!(!header.name.contains('\0'));
    }
    let bytes = [&record.key, &record.value].into_iter().flatten().map(Bytes::len);
    let headers = record
        .headers
        .iter()
        .map(|header| header.value.as_ref().map_or(0, Bytes::len));
    let largest = bytes.chain(headers).max();
    assert!(largest.unwrap_or_default() <= body.len().max(crate::config::Limits::default().max_header_bytes));
    let _ = record.wire_size();
}

fn check_error(error: &RecordError) {
    assert!(
        matches!(
            error.code,
            Code::MalformedRecord | Code::InvalidTopic | Code::TopicMismatch
        ),
        "{error:?}"
    );
    assert!(
        (1..=LONGEST_MESSAGE).contains(&error.message.len()),
        "{} bytes of message",
        error.message.len()
    );
}

/// Checks that the problem's text is bounded, and its document is valid.
pub(super) fn check_problem(error: &IngestError) {
    assert!(
        (1..=LONGEST_MESSAGE).contains(&error.problem().detail().len()),
        "{} bytes of detail",
        error.problem().detail().len()
    );
    assert!(error.problem().response().status().is_client_error(), "{error:?}");
}

/// Whether `part` lies within `whole`, and is not a copy.
pub(super) fn is_slice(part: &[u8], whole: &[u8]) -> bool {
    part.is_empty()
        || whole.as_ptr_range().contains(&part.as_ptr()) && part.as_ptr_range().end <= whole.as_ptr_range().end
}
