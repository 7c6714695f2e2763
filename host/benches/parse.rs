//! Reading a body alone: bytes in, records out and dropped, by content type, and Kafka's record batches. What has one record in a
//! request is read as often as the others have records. `cargo bench -p pointsman --bench parse`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros, and a benchmark that panics has said it"
)]

#[path = "../src/fuzzing/batch_encoder.rs"]
mod batch_encoder;
#[path = "../../examples/clients/rust/packed.rs"]
mod packed;

use std::{io::Write, sync::Arc, time::Duration};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hyper::{HeaderMap, header::HeaderName};
use packed::{Record, pack};
use pointsman::{
    config::Limits,
    ingest::{
        kafka::batch,
        parse::{Context, Format, Memory},
    },
};

/// As in the sidecar.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Of a request, as the load generator sends them.
const RECORDS: usize = 500;

fn bodies(value_bytes: usize) -> [(&'static str, Format, Vec<u8>); 4] {
    let value = format!("\"{}\"", "x".repeat(value_bytes - 2));
    let keys: Vec<String> = (0..RECORDS).map(|number| format!("customer-{number:07}")).collect();
    let lines: Vec<String> = keys
        .iter()
        .map(|key| format!(r#"{{"key":"{key}","value":{value}}}"#))
        .collect();
    let record = |key| Record {
        key: Some(String::as_bytes(key)),
        value: Some(value.as_bytes()),
        ..Record::default()
    };
    let headers = || vec![("tier", Some(&b"gold"[..])), ("trace", Some(&b"0123456789abcdef"[..]))];
    let with_headers = |key| Record {
        headers: headers(),
        ..record(key)
    };
    [
        (
            "JSON",
            Format::Json,
            format!("{{\"records\":[{}]}}", lines.join(",")).into(),
        ),
        ("NDJSON", Format::Ndjson, lines.join("\n").into()),
        ("packed", Format::Packed, pack(keys.iter().map(record))),
        (
            "packed, two headers",
            Format::Packed,
            pack(keys.iter().map(with_headers)),
        ),
    ]
}

/// Requests with one record in them: their headers. Those with attributes of an event have as many headers of Kafka as an event.
fn singles() -> [(&'static str, HeaderMap); 3] {
    const ATTRIBUTES: [(&str, &str); 6] = [
        ("specversion", "1.0"),
        ("id", "5c9e2a0e-7d0b-4f5e-9a44-3f0d4f3a7c11"),
        ("source", "/shop/orders"),
        ("type", "com.example.order.placed"),
        ("time", "2026-01-31T23:59:59.123Z"),
        ("partitionkey", "customer-0000001"),
    ];
    let request = |content_type: &str, key: Option<&str>, prefix: Option<&str>| {
        let mut headers = HeaderMap::new();
        let mut add = |name: String, value: &str| {
            headers.insert(HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        };
        add("host".to_owned(), "localhost");
        add("content-type".to_owned(), content_type);
        add("content-length".to_owned(), "1024");
        if let Some(key) = key {
            add("pointsman-key".to_owned(), key);
        }
        for (name, value) in ATTRIBUTES {
            if let Some(prefix) = prefix {
                add(format!("{prefix}{name}"), value);
            }
        }
        headers
    };
    let (octets, key) = ("application/octet-stream", Some("customer-0000001"));
    [
        ("octet-stream", request(octets, key, None)),
        (
            "octet-stream, six headers",
            request(octets, key, Some("pointsman-header-ce_")),
        ),
        ("CloudEvents, binary", request("application/json", None, Some("ce-"))),
    ]
}

/// The same records as a producer sends them, by compression.
fn batches(value_bytes: usize) -> [(&'static str, Vec<u8>); 3] {
    let value = format!("\"{}\"", "x".repeat(value_bytes - 2));
    let keys: Vec<String> = (0..RECORDS).map(|number| format!("customer-{number:07}")).collect();
    let records = batch_encoder::records(keys.iter().map(|key| batch_encoder::Record {
        timestamp_delta: 1,
        key: Some(key.as_bytes()),
        value: Some(value.as_bytes()),
        headers: &[],
    }));
    let compressed = |attributes: i16, payload: &[u8]| {
        let fields = batch_encoder::Fields {
            attributes,
            ..batch_encoder::Fields::of(RECORDS)
        };
        batch_encoder::batch(&fields, payload)
    };
    [
        ("Kafka", compressed(0, &records)),
        ("Kafka, LZ4", compressed(3, &lz4(&records))),
        (
            "Kafka, zstd",
            compressed(4, &zstd::bulk::compress(&records, 3).unwrap()),
        ),
    ]
}

fn lz4(records: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(records).unwrap();
    encoder.finish().unwrap()
}

fn parse(criterion: &mut Criterion) {
    let limits = Limits::default();
    let context = Context {
        topic: Some(Arc::from("orders")),
        limits: &limits,
        memory: Memory::unbounded(),
    };
    let headers = HeaderMap::new();
    for value_bytes in [100, 1_024] {
        let mut group = criterion.benchmark_group(format!("parse, values of {value_bytes} bytes"));
        group.throughput(Throughput::Elements(RECORDS as u64));
        for (name, format, body) in bodies(value_bytes) {
            let body = Bytes::from(body);
            group.bench_function(name, |bencher| {
                bencher.iter(|| format.parse(&body, &headers, &context).unwrap().len());
            });
        }
        let value = Bytes::from("x".repeat(value_bytes));
        for (name, headers) in singles() {
            let one = || {
                Format::of(&headers, true)
                    .unwrap()
                    .parse(&value, &headers, &context)
                    .unwrap()
            };
            group.bench_function(name, |bencher| {
                bencher.iter(|| (0..RECORDS).map(|_| one().len()).sum::<usize>());
            });
        }
        for (name, body) in batches(value_bytes) {
            let body = Bytes::from(body);
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    let head = batch::head(&body, &limits).unwrap();
                    batch::records(&head, &body, &context).unwrap().len()
                });
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = parse
}
criterion_main!(benches);
