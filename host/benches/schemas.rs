//! What a schema costs one record, by format: `cargo bench -p pointsman --bench schemas`. The value is an object with several fields.
#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "criterion's macros, and a benchmark that panics has said it"
)]

use std::{
    hint::black_box,
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pointsman::{
    base::record::Record,
    config::{Route, SchemaRegistry},
    schemas::{Schemas, TopicSchemas, registry_of},
};
use pointsman_schemas::{Compiled, Source, registry::Format};

/// As in the sidecar.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// 162 bytes.
const VALUE: &str = r#"{"order_id":"o-18273645","customer":{"id":"c-9182","tier":"gold"},"amount_cents":129900,"items":[{"sku":"sku-18","qty":2},{"sku":"sku-7","qty":1}],"express":true}"#;

fn compiled(format: Format, text: &str) -> Compiled {
    let source = Source {
        text: text.to_owned(),
        references: Vec::new(),
    };
    Compiled::compile(format, &source).unwrap()
}

fn schemas(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("schemas");
    group
        .measurement_time(Duration::from_secs(2))
        .warm_up_time(Duration::from_millis(500))
        .throughput(Throughput::Elements(1));
    group.bench_function("read as serde_json::Value, for comparison", |bencher| {
        bencher.iter(|| serde_json::from_str::<serde_json::Value>(black_box(VALUE)).unwrap());
    });
    for (format, text) in [
        (Format::Json, include_str!("../../tests/schemas/order.json")),
        (Format::Avro, include_str!("../../tests/schemas/order.avsc")),
        (Format::Protobuf, include_str!("../../tests/schemas/order.proto")),
    ] {
        let compiled = compiled(format, text);
        let mut out = Vec::new();
        let indexes = usize::from(format == Format::Protobuf);
        out.resize(indexes, 0);
        group.bench_function(format!("{format}: encode"), |bencher| {
            bencher.iter(|| {
                out.truncate(indexes);
                compiled.encode(black_box(VALUE.as_bytes()), &mut out).unwrap();
            });
        });
        group.bench_function(format!("{format}: check the whole value"), |bencher| {
            bencher.iter(|| compiled.check(black_box(&out)).unwrap());
        });
        group.bench_function(format!("{format}: show as JSON, for a field"), |bencher| {
            bencher.iter(|| compiled.json(black_box(&out), 1 << 20).unwrap());
        });
    }
    group.finish();
}

/// The URL of a registry with one schema, whatever it is asked for.
fn registry() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let schema = serde_json::json!({
        "schema": include_str!("../../tests/schemas/order.avsc"), "schemaType": "AVRO", "id": 1, "version": 1, "subject": "orders-value"
    });
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut request = [0; 4_096];
            let length = connection.read(&mut request).unwrap_or(0);
            let body = match String::from_utf8_lossy(&request[..length]).contains("/versions ") {
                true => r#"[{"subject":"orders-value","version":1}]"#.to_owned(),
                false => schema.to_string(),
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = connection.write_all((head + &body).as_bytes());
        }
    });
    url
}

fn record(value: impl Into<Bytes>) -> Record {
    Record {
        topic: Arc::from("orders"),
        key: None,
        value: Some(value.into()),
        headers: Vec::new(),
        partition: None,
        timestamp: None,
        schema: None,
    }
}

/// What one record of a request costs by its route, once the request has its schemas.
fn routes(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let schemas = Schemas::new(registry_of(&SchemaRegistry::at(&registry())).unwrap());
    let of = |value: &str, record: &Record| -> TopicSchemas {
        let route = Route {
            value: Some(toml::from_str(value).unwrap()),
            ..Route::everything()
        };
        runtime.block_on(schemas.of_topic("orders", &route, &[record]))
    };
    let mut group = criterion.benchmark_group("a record by its route");
    group
        .measurement_time(Duration::from_secs(2))
        .throughput(Throughput::Elements(1));
    let mut json = record(VALUE);
    let encode = of("mode = 'encode'\nformat = 'avro'", &json);
    group.bench_function("encode, Avro", |bencher| {
        bencher.iter(|| encode.apply(black_box(&mut json)).unwrap())
    });
    let mut applied = encode.apply(&mut json).unwrap();
    applied.put(&mut json);
    for (name, config) in [
        ("check", "mode = 'check'"),
        ("check, validate", "mode = 'check'\nvalidate = true"),
    ] {
        let check = of(config, &json);
        group.bench_function(name, |bencher| {
            bencher.iter(|| check.apply(black_box(&mut json)).unwrap())
        });
    }
    group.finish();
}

/// Resident memory, bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// What 1,000 schemas that differ take.
fn memory(_: &mut Criterion) {
    const SCHEMAS: usize = 1_000;
    for (format, text) in [
        (Format::Json, include_str!("../../tests/schemas/order.json")),
        (Format::Avro, include_str!("../../tests/schemas/order.avsc")),
        (Format::Protobuf, include_str!("../../tests/schemas/order.proto")),
    ] {
        let before = resident();
        let all: Vec<Compiled> = (0..SCHEMAS)
            .map(|number| compiled(format, &text.replace("express", &format!("express_{number}"))))
            .collect();
        let bytes = resident().saturating_sub(before);
        println!(
            "{{\"benchmark\":\"schemas\",\"format\":\"{format}\",\"schemas\":{},\"resident_bytes\":{bytes}}}",
            all.len()
        );
    }
}

criterion_group!(benches, memory, schemas, routes);
criterion_main!(benches);
