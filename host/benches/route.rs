//! The route step alone: a record in, a partition out, through wasm. `cargo bench -p pointsman`.
//!
//! Needs the project's plugins in `plugins/dist` (`make plugins`). The host's own key-hash is the reference that the plugins
//! are compared with in the same run.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros, and a benchmark that panics has said it"
)]

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pointsman::{
    base::{
        metrics::Metrics,
        record::{Header, Record},
    },
    config,
    plugin::{Code, Compiler, Engine, Limits, Pool},
    routing::route::{Decider, Route},
    topic::{PartitionInfo, Rules, Topic, TopicView},
};

/// As in the sidecar.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What is routed: a key of 16 bytes, a JSON value of about 100, one header.
fn record() -> Record {
    let value =
        br#"{"customer":{"id":"c-4711","tier":"gold"},"amount":1299,"currency":"EUR","note":"some text to fill it"}"#;
    Record {
        topic: Arc::from("orders"),
        key: Some(Bytes::from_static(b"customer-0004711")),
        value: Some(Bytes::from_static(value)),
        headers: vec![Header {
            name: "tier".into(),
            value: Some(Bytes::from_static(b"gold")),
        }],
        partition: None,
        timestamp: None,
        schema: None,
    }
}

fn view(metrics: &Metrics) -> TopicView {
    Arc::new(Topic::new(
        Arc::from("orders"),
        &[PartitionInfo { has_leader: true }; 12],
        Rules::default(),
        metrics,
    ))
    .view()
}

fn route(criterion: &mut Criterion) {
    let metrics = Metrics::new().unwrap();
    let compiler = Compiler::in_process(Engine::new().unwrap());
    let limits = Limits::from(&config::Plugins::default());
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/dist");
    let mut group = criterion.benchmark_group("route");
    group.throughput(Throughput::Elements(1));
    let cases = [
        ("host key-hash (no wasm)", None, "{}"),
        ("key-hash: the key only", Some("key-hash"), "{}"),
        ("header: one header", Some("header"), r#"{"name":"tier"}"#),
        (
            "json-field: the value, parsed",
            Some("json-field"),
            r#"{"pointer":"/customer/id"}"#,
        ),
        ("round-robin: topic and leaders", Some("round-robin"), "{}"),
    ];
    for (name, plugin, config) in cases {
        let pool = plugin.map(|plugin| {
            let file = dir.join(format!("{plugin}.wasm"));
            let code = Code::load(&compiler, &file, &limits).expect("run `make plugins` first");
            Arc::new(Pool::new(Arc::new(code), config.to_owned(), limits, &metrics).unwrap())
        });
        let mut lease = pool.as_ref().map(|pool| pool.lease_blocking().unwrap());
        let decider = pool.map_or(Decider::KeyHash, Decider::Plugin);
        let route = Route::new(&config::Route::everything(), decider, None).unwrap();
        let view = view(&metrics);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                record,
                // The record is given back, so that its end is not measured.
                |record| match &mut lease {
                    Some(lease) => route.decide(lease, record, &view),
                    None => {
                        let partition = route.by_key_hash(&record, &view);
                        (record, Ok(partition))
                    }
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// Records of one call, as the pipeline cuts them.
const BATCH: usize = 128;

/// The same by the plugins' batch export: the time is that of one record.
fn batch(criterion: &mut Criterion) {
    let metrics = Metrics::new().unwrap();
    let compiler = Compiler::in_process(Engine::new().unwrap());
    let limits = Limits::from(&config::Plugins::default());
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/dist");
    let mut group = criterion.benchmark_group("route in batches of 128");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, plugin, config) in [
        ("key-hash: the key only", "key-hash", "{}"),
        ("header: one header", "header", r#"{"name":"tier"}"#),
        (
            "json-field: the value, parsed",
            "json-field",
            r#"{"pointer":"/customer/id"}"#,
        ),
    ] {
        let code =
            Code::load(&compiler, &dir.join(format!("{plugin}.wasm")), &limits).expect("run `make plugins` first");
        let pool = Arc::new(Pool::new(Arc::new(code), config.to_owned(), limits, &metrics).unwrap());
        let mut lease = pool.lease_blocking().unwrap();
        let route = Route::new(&config::Route::everything(), Decider::Plugin(pool), None).unwrap();
        let view = view(&metrics);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || vec![record(); BATCH],
                |records| {
                    let (records, choices) = lease.partition_batch(records, &view.partitions);
                    let chosen = choices.unwrap().into_iter().zip(&records);
                    let decided = chosen.map(|(choice, record)| route.chosen(choice, record, &view).unwrap());
                    let decided: Vec<_> = decided.collect();
                    (records, decided)
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = route, batch
}
criterion_main!(benches);
