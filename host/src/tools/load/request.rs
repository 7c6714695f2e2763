//! Makes the bytes of requests beforehand: to send them again costs the least.

use std::fmt::Write as _;

use bytes::Bytes;

use super::values;
use crate::tools::cli::{Load, LoadFormat, LoadValues};

const PACKED: &str = "application/vnd.pointsman.records";
/// Bytes of a packed record before its key: flags, count of headers, lengths of key and value.
const RECORD_HEAD: usize = 12;
/// How many different requests a connection sends to a topic, and then from the first one again.
const DIFFERENT: usize = 256;
/// How many bytes the requests of all connections may have together. More would make the generator slower, since it had to
/// fetch them from memory.
const ROOM: usize = 16 << 20;
const TEXT_BYTES: usize = 100;
/// The header with the tenant.
pub(super) const TENANT: &str = "tenant-id";

/// Whole HTTP/1.1 requests of this connection, to be sent in turn: to one topic after the other that it sends to, and so
/// again with other records.
pub(super) fn of(options: &Load, connection: usize) -> Vec<Bytes> {
    let topics = (connection..).step_by(options.connections);
    let mut topics: Vec<usize> = topics.take_while(|&topic| topic < options.topics).collect();
    if topics.is_empty() {
        topics.push(connection % options.topics);
    }
    rounds(options, |round| {
        let requests = topics.iter().map(|&topic| one(options, connection, topic, round));
        requests.collect()
    })
}

/// What this connection sends piece by piece: the lines of `batch` records each.
pub(super) fn pieces(options: &Load, connection: usize) -> Vec<Bytes> {
    rounds(options, |round| vec![lines(options, connection, round).into()])
}

/// As many rounds as there is room for. One is enough if all would be the same.
pub(super) fn rounds(options: &Load, make: impl Fn(usize) -> Vec<Bytes>) -> Vec<Bytes> {
    let mut all = make(0);
    if options.values == Some(LoadValues::Objects) || options.tenants.is_some() {
        let bytes: usize = all.iter().map(Bytes::len).sum();
        let rounds = (ROOM / options.connections / bytes).min(DIFFERENT);
        all.extend((1..rounds).flat_map(make));
    }
    all
}

/// The name of the topic with this number.
pub(super) fn topic(options: &Load, number: usize) -> String {
    match options.topics {
        1 => options.topic.clone(),
        _ => format!("{}-{number}", options.topic),
    }
}

fn one(options: &Load, connection: usize, number: usize, round: usize) -> Bytes {
    let (content_type, body) = body(options, connection, round);
    let mut head = format!(
        "POST /v1/topics/{}/records HTTP/1.1\r\nhost: load\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n",
        topic(options, number),
        body.len()
    );
    if options.format == LoadFormat::Octet {
        let _ = write!(head, "pointsman-key: {}\r\n", values::key(connection, round));
    }
    if options.format == LoadFormat::CloudEvent {
        let key = values::key(connection, round);
        let _ = write!(
            head,
            "ce-specversion: 1.0\r\nce-id: {connection}-{round}\r\nce-source: /load\r\nce-type: made-up\r\nce-partitionkey: {key}\r\n"
        );
    }
    if options.format == LoadFormat::Packed {
        let _ = write!(head, "accept: {content_type}\r\n");
    }
    if let (LoadFormat::Octet | LoadFormat::CloudEvent, Some(tenants)) = (options.format, options.tenants) {
        let tenant = values::tenant(connection, round, tenants);
        let name = match options.format {
            // Names of attributes have no hyphen.
            LoadFormat::CloudEvent => "ce-tenantid",
            _ => "pointsman-header-tenant-id",
        };
        let _ = write!(head, "{name}: {tenant}\r\n");
    }
    if let Some(token) = &options.token {
        let _ = write!(head, "authorization: Bearer {token}\r\n");
    }
    head.push_str("\r\n");
    [head.as_bytes(), &body].concat().into()
}

fn body(options: &Load, connection: usize, round: usize) -> (&'static str, Vec<u8>) {
    match options.format {
        LoadFormat::Json => {
            let records: Vec<String> = records(options, connection, round).map(Record::line).collect();
            let body = format!("{{\"records\":[{}]}}", records.join(","));
            ("application/json", body.into_bytes())
        }
        LoadFormat::Ndjson | LoadFormat::Stream => {
            ("application/x-ndjson", lines(options, connection, round).into_bytes())
        }
        LoadFormat::Octet => ("application/octet-stream", value(options, connection, round)),
        LoadFormat::CloudEvent => ("application/json", value(options, connection, round)),
        // These are not made of HTTP/1.1 requests: see `super::grpc`.
        LoadFormat::Grpc | LoadFormat::GrpcStream => ("application/grpc", Vec::new()),
        LoadFormat::Packed => (PACKED, packed(options, connection, round)),
    }
}

/// The value of the one record.
fn value(options: &Load, connection: usize, round: usize) -> Vec<u8> {
    let values = records(options, connection, round).map(|record| record.value);
    values.collect::<String>().into_bytes()
}

/// A body in the layout of docs/packed-records.md: key, value, and the tenant as a header.
fn packed(options: &Load, connection: usize, round: usize) -> Vec<u8> {
    let number = |number: usize| (number as u32).to_le_bytes();
    let mut body = b"PMR\x01".to_vec();
    body.extend(number(options.batch));
    for Record { key, value, tenant } in records(options, connection, round) {
        let header = tenant.as_ref().map_or(0, |tenant| 8 + TENANT.len() + tenant.len());
        body.extend(number(RECORD_HEAD + header + key.len() + value.len()));
        // No flags.
        body.extend([0, 0, u8::from(tenant.is_some()), 0]);
        body.extend(number(key.len()));
        body.extend(number(value.len()));
        if let Some(tenant) = tenant {
            body.extend(number(TENANT.len()));
            body.extend(number(tenant.len()));
            body.extend(TENANT.as_bytes());
            body.extend(tenant.as_bytes());
        }
        body.extend(key.as_bytes());
        body.extend(value.as_bytes());
    }
    body
}

/// A body with one record a line.
fn lines(options: &Load, connection: usize, round: usize) -> String {
    let records = records(options, connection, round);
    records.map(|record| record.line() + "\n").collect()
}

/// A record as it is to be stored.
pub(super) struct Record {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) tenant: Option<String>,
}

impl Record {
    fn line(self) -> String {
        let headers = self
            .tenant
            .map(|tenant| format!(",\"headers\":{{\"{TENANT}\":\"{tenant}\"}}"));
        let headers = headers.unwrap_or_default();
        format!("{{\"key\":\"{}\",\"value\":{}{headers}}}", self.key, self.value)
    }
}

/// The records of a request or a piece.
pub(super) fn records(options: &Load, connection: usize, round: usize) -> impl Iterator<Item = Record> {
    let first = round * options.batch;
    (first..first + options.batch).map(move |index| Record {
        key: values::key(connection, index),
        value: match options.values {
            Some(LoadValues::Objects) => values::object(connection, index),
            _ => text(options),
        },
        tenant: options
            .tenants
            .map(|tenants| values::tenant(connection, index, tenants)),
    })
}

fn text(options: &Load) -> String {
    let bytes = options.value_bytes.unwrap_or(TEXT_BYTES).max(2);
    match options.format {
        LoadFormat::Octet | LoadFormat::Packed | LoadFormat::CloudEvent | LoadFormat::Grpc | LoadFormat::GrpcStream => {
            "x".repeat(bytes)
        }
        // With its quotes it is as long as the values of other formats.
        LoadFormat::Json | LoadFormat::Ndjson | LoadFormat::Stream => format!("\"{}\"", "x".repeat(bytes - 2)),
    }
}
