//! Makes the bytes of a request once: sending the same bytes again costs the least.

use std::fmt::Write as _;

use crate::tools::cli::{Load, LoadFormat};

const PACKED: &str = "application/vnd.pointsman.records";
/// Bytes of a packed record before its key: flags, count of headers, lengths of key and value.
const RECORD_HEAD: usize = 12;

/// Whole HTTP/1.1 requests of this connection, to be sent in turn: one for each topic that it sends to.
pub(super) fn of(options: &Load, connection: usize) -> Vec<Vec<u8>> {
    let topics = (connection..).step_by(options.connections);
    let mut topics: Vec<usize> = topics.take_while(|&topic| topic < options.topics).collect();
    if topics.is_empty() {
        topics.push(connection % options.topics);
    }
    topics
        .into_iter()
        .map(|topic| one(options, connection, topic))
        .collect()
}

/// The name of the topic with this number.
pub(super) fn topic(options: &Load, number: usize) -> String {
    match options.topics {
        1 => options.topic.clone(),
        _ => format!("{}-{number}", options.topic),
    }
}

fn one(options: &Load, connection: usize, number: usize) -> Vec<u8> {
    let (content_type, body) = body(options, connection);
    let mut head = format!(
        "POST /v1/topics/{}/records HTTP/1.1\r\nhost: load\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n",
        topic(options, number),
        body.len()
    );
    if options.format == LoadFormat::Octet {
        let _ = write!(head, "pointsman-key: {}\r\n", key(connection, 0));
    }
    if options.format == LoadFormat::Packed {
        let _ = write!(head, "accept: {content_type}\r\n");
    }
    if let Some(token) = &options.token {
        let _ = write!(head, "authorization: Bearer {token}\r\n");
    }
    head.push_str("\r\n");
    [head.as_bytes(), &body].concat()
}

fn body(options: &Load, connection: usize) -> (&'static str, Vec<u8>) {
    let records = 0..options.batch;
    match options.format {
        LoadFormat::Json => {
            let records: Vec<String> = records.map(|index| record(options, connection, index)).collect();
            let body = format!("{{\"records\":[{}]}}", records.join(","));
            ("application/json", body.into_bytes())
        }
        LoadFormat::Ndjson | LoadFormat::Stream => ("application/x-ndjson", lines(options, connection).into_bytes()),
        LoadFormat::Octet => ("application/octet-stream", value(options).into_bytes()),
        LoadFormat::Packed => (PACKED, packed(options, connection)),
    }
}

/// A body in the layout of docs/packed-records.md: key and value only.
fn packed(options: &Load, connection: usize) -> Vec<u8> {
    let value = value(options);
    let number = |number: usize| (number as u32).to_le_bytes();
    let mut body = b"PMR\x01".to_vec();
    body.extend(number(options.batch));
    for index in 0..options.batch {
        let key = key(connection, index);
        body.extend(number(RECORD_HEAD + key.len() + value.len()));
        // No flags, no headers.
        body.extend([0; 4]);
        body.extend(number(key.len()));
        body.extend(number(value.len()));
        body.extend(key.as_bytes());
        body.extend(value.as_bytes());
    }
    body
}

/// A body with one record a line.
pub(super) fn lines(options: &Load, connection: usize) -> String {
    let records = 0..options.batch;
    records.map(|index| record(options, connection, index) + "\n").collect()
}

fn record(options: &Load, connection: usize, index: usize) -> String {
    format!(
        "{{\"key\":\"{}\",\"value\":\"{}\"}}",
        key(connection, index),
        // Two bytes shorter: with its quotes it is as long as the values of other formats.
        &value(options)[2..]
    )
}

fn key(connection: usize, index: usize) -> String {
    format!("key-{connection}-{index}")
}

fn value(options: &Load) -> String {
    "x".repeat(options.value_bytes.max(2))
}
