//! What holds for the records of every kind of body.

use std::sync::Arc;

use bytes::Bytes;
use hyper::HeaderMap;

use crate::{
    config::Limits,
    ingest::{
        parse::{Context, Format, Memory},
        problem::Problem,
    },
    outcome::{Code, RecordError},
    pipeline::Parsed,
    record::{Record, valid_topic},
};

/// The path's topic, where it has one.
pub(super) const TOPIC: &str = "t";
/// Neither what a record nor what a request is told may grow with what was sent, bytes.
pub(super) const LONGEST_MESSAGE: usize = 1_024;

/// So small that fuzzing reaches them.
pub(super) fn limits() -> Limits {
    Limits {
        max_records: 8,
        json_depth: 6,
        ..Limits::default()
    }
}

/// With a topic in the path, or without.
pub(super) fn parse(
    format: Format,
    body: &Bytes,
    headers: &HeaderMap,
    topic: Option<&str>,
) -> Result<Vec<Parsed>, Problem> {
    let limits = limits();
    let context = Context {
        topic: topic.map(Arc::from),
        limits: &limits,
        memory: Memory::unbounded(),
    };
    let parsed = format.parse(body, headers, &context);
    let again = format.parse(body, headers, &context);
    match (&parsed, &again) {
        (Ok(one), Ok(other)) => assert_eq!(one, other, "read in two ways"),
        (one, other) => assert_eq!(format!("{one:?}"), format!("{other:?}"), "read in two ways"),
    }
    match &parsed {
        Ok(records) => {
            assert!(
                (1..=limits.max_records).contains(&records.len()),
                "{} records",
                records.len()
            );
            for record in records {
                match record {
                    Ok(record) => check_record(record, body, topic),
                    Err(error) => check_error(error),
                }
            }
        }
        Err(problem) => check_problem(problem),
    }
    parsed
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

/// What it says is bounded, and its document is one.
pub(super) fn check_problem(problem: &Problem) {
    assert!(
        (1..=LONGEST_MESSAGE).contains(&problem.detail().len()),
        "{} bytes of detail",
        problem.detail().len()
    );
    assert!(problem.response().status().is_client_error(), "{problem:?}");
}

/// Whether it is these very bytes, and no copy.
pub(super) fn is_slice(part: &[u8], whole: &[u8]) -> bool {
    part.is_empty()
        || whole.as_ptr_range().contains(&part.as_ptr()) && part.as_ptr_range().end <= whole.as_ptr_range().end
}
