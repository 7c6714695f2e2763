//! A plugin's decision with its placing, and what it costs to count who sends how much.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use pointsman::{
    base::{
        metrics::Metrics,
        record::{Header, Record},
    },
    config,
    observe::Observer,
    plugin::{Code, Compiler, Engine, Lease, Limits, Pool},
    routing::route::{Decided, Decider, Route},
    tenants::{Place, place},
    tools::load::tenant,
    topic::{PartitionInfo, Rules, Topic, TopicView},
};
use pointsman_routing::{Hashing, Table};

use crate::{PARTITIONS, TENANTS, TOPIC, report, support::sidecar::root, table_of};

/// Records of one call, as the pipeline cuts them.
const BATCH: usize = 128;
const BATCHES: usize = 4_000;
const TURNS: usize = 5;

struct Decision {
    lease: Lease,
    route: Route,
    view: TopicView,
}

pub(crate) fn measure() {
    let small = table_of(100);
    let large = table_of(TENANTS);
    let (mut header, mut tenant) = (
        Decision::of("header", r#"{"name":"tenant-id"}"#),
        Decision::of("tenant", r#"{"tenant":"header:tenant-id"}"#),
    );
    // In turns, so that changes in the machine's speed affect all.
    let mut figures = [const { Vec::new() }; 6];
    for _ in 0..TURNS {
        figures[0].push(header.in_batches(None, TENANTS));
        figures[1].push(tenant.in_batches(Some(&small), 100));
        figures[2].push(tenant.in_batches(Some(&large), TENANTS));
        figures[3].push(tenant.one_by_one(&large, TENANTS));
        let (counted, gathered) = counting();
        figures[4].push(counted);
        figures[5].push(gathered);
    }
    let [by_header, few, many, single, counted, gathered] = figures.map(|mut turns| {
        turns.sort_by(f64::total_cmp);
        turns[TURNS / 2]
    });
    report("plugin header, in batches", by_header, "ns a record", None);
    report(
        "plugin tenant and placing, in batches, 100 tenants",
        few,
        "ns a record",
        None,
    );
    report(
        "plugin tenant and placing, in batches, 100,000 tenants",
        many,
        "ns a record",
        Some("400 ns"),
    );
    report("the same one by one", single, "ns a record", Some("600 ns"));
    report("from 100 to 100,000 tenants", many / few, "times", Some("1.5"));
    report(
        "plugin tenant and placing, of plugin header",
        many / by_header,
        "times",
        None,
    );
    report(
        "gathering what 500,000 records of 100,000 tenants were",
        gathered,
        "ms",
        None,
    );
    report(
        "counting a record's tenant, of 100,000",
        counted,
        "ns a record",
        Some("25 ns"),
    );
}

fn record(index: usize, tenants: usize) -> Record {
    Record {
        topic: Arc::from(TOPIC),
        key: Some(Bytes::from_static(b"customer-0004711")),
        value: Some(Bytes::from_static(
            br#"{"amount":1299,"currency":"EUR","note":"some text to fill it"}"#,
        )),
        headers: vec![Header {
            name: "tenant-id".into(),
            value: Some(Bytes::from(tenant(0, index, tenants))),
        }],
        partition: None,
        timestamp: None,
        schema: None,
    }
}

impl Decision {
    fn of(plugin: &str, config: &str) -> Self {
        let metrics = Metrics::new().unwrap();
        let compiler = Compiler::in_process(Engine::new().unwrap());
        let limits = Limits::from(&config::Plugins::default());
        let file = Path::new(root()).join(format!("plugins/dist/{plugin}.wasm"));
        let code = Code::load(&compiler, &file, &limits).expect("run `make plugins` first");
        let pool = Arc::new(Pool::new(Arc::new(code), config.to_owned(), limits, &metrics).unwrap());
        let topic = Topic::new(
            Arc::from(TOPIC),
            &[PartitionInfo { has_leader: true }; PARTITIONS as usize],
            Rules::default(),
            &metrics,
        );
        Self {
            lease: pool.lease_blocking().unwrap(),
            route: Route::new(&config::Route::everything(), Decider::Plugin(pool), None).unwrap(),
            view: Arc::new(topic).view(),
        }
    }

    fn in_batches(&mut self, table: Option<&Table>, tenants: usize) -> f64 {
        let mut nanos = 0.0;
        for batch in 0..BATCHES {
            let records = (0..BATCH).map(|index| record(batch * BATCH + index, tenants)).collect();
            let begun = Instant::now();
            let (records, choices) = self.lease.partition_batch(records, &self.view.partitions);
            for (choice, record) in choices.unwrap().into_iter().zip(&records) {
                placed(self.route.chosen(choice, record, &self.view).unwrap(), table);
            }
            nanos += begun.elapsed().as_secs_f64() * 1e9;
        }
        nanos / (BATCHES * BATCH) as f64
    }

    fn one_by_one(&mut self, table: &Table, tenants: usize) -> f64 {
        let mut nanos = 0.0;
        for index in 0..BATCHES * BATCH / 4 {
            let record = record(index, tenants);
            let begun = Instant::now();
            let (record, decided) = self.route.decide(&mut self.lease, record, &self.view);
            placed(decided.unwrap(), Some(table));
            nanos += begun.elapsed().as_secs_f64() * 1e9;
            drop(record);
        }
        nanos / (BATCHES * BATCH / 4) as f64
    }
}

fn placed(decided: Decided, table: Option<&Table>) {
    if let Decided::Tenant(tenant) = decided {
        let place = place(table, TOPIC, &tenant, PARTITIONS);
        assert!(matches!(place, Place::Partition(partition) if partition < PARTITIONS));
    }
}

/// Requests of 500 records by Zipf's law, in two rounds as many as a busy worker has in a second. The first only brings
/// memory. Returns what a record costs, in ns, and a round's gathering, in ms.
fn counting() -> (f64, f64) {
    const REQUEST: usize = 500;
    let metrics = Metrics::new().unwrap();
    let hashing = Hashing::with_seed(1);
    let observer = Observer::new(&hashing, 50);
    let topic: Arc<str> = Arc::from(TOPIC);
    let tenants: Vec<(String, u64)> = (0..500_000)
        .map(|index| tenant(1, index, TENANTS))
        .map(|name| (name.clone(), hashing.of(&name)))
        .collect();
    let (mut counted, mut gathered) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..3 {
        let begun = Instant::now();
        for request in tenants.chunks(REQUEST) {
            let mut counting = observer.count();
            counting.topic(&topic);
            for (name, hash) in request {
                counting.tenant(name, *hash, 1, 200);
            }
        }
        counted = begun.elapsed();
        let begun = Instant::now();
        observer.gather(Vec::new(), &metrics, begun);
        gathered = begun.elapsed();
    }
    let each = counted.as_secs_f64() * 1e9 / tenants.len() as f64;
    (each, gathered.as_secs_f64() * 1e3)
}
