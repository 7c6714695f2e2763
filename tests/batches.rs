//! A plugin that is asked about many records in one call decides as if it were asked about each record alone.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use pointsman::{
    admission::Admission,
    base::{
        metrics::Metrics,
        record::{Header, Record},
    },
    config,
    pipeline::{Pipeline, large_hand_overs},
    plugin::{Choice, Code, Compiler, Decision, Engine, Lease, Limits, Pool},
    produce::memory::MemoryProducer,
    routing::{
        route::{Decider, Route, Routes, Table},
        topics::{TopicLimits, Topics},
    },
    tenants::Tenants,
    topic::{Partitions, Rules},
};
use proptest::{collection::vec, option, prelude::*};

use crate::support::{
    records::keyed,
    sidecar::{eventually, plugin_dir},
};

/// The plugins, each with its configuration. All decide by the record; `round-robin` and `hostile` also by the records
/// before it.
const PLUGINS: [(&str, &str); 5] = [
    ("key-hash", "{}"),
    ("header", r#"{"name":"a"}"#),
    ("json-field", r#"{"pointer":"/id"}"#),
    ("round-robin", "{}"),
    ("hostile", "{}"),
];

fn codes() -> &'static [Arc<Code>] {
    static CODES: OnceLock<Vec<Arc<Code>>> = OnceLock::new();
    CODES.get_or_init(|| {
        let compiler = Compiler::in_process(Engine::new().unwrap());
        let load = |(name, _): &(&str, &str)| {
            let file = plugin_dir().join(format!("{name}.wasm"));
            Arc::new(Code::load(&compiler, &file, &limits()).unwrap())
        };
        PLUGINS.iter().map(load).collect()
    })
}

fn limits() -> Limits {
    Limits::from(&config::Plugins::default())
}

/// Leases a fresh instance.
fn lease(plugin: usize) -> Lease {
    let config = PLUGINS[plugin].1.to_owned();
    let pool = Pool::new(Arc::clone(&codes()[plugin]), config, limits(), &Metrics::new().unwrap()).unwrap();
    Arc::new(pool).lease_blocking().unwrap()
}

fn key() -> impl Strategy<Value = Option<Bytes>> {
    // Some of these keys mean something to `hostile`, but none makes it trap.
    let named = prop_oneof![
        Just("any"),
        Just("tenant"),
        Just("reject"),
        Just("beyond"),
        Just("huge"),
        Just("seen"),
        Just(""),
        Just("k")
    ];
    let key = prop_oneof![
        named.prop_map(Bytes::from),
        vec(any::<u8>(), 0..40).prop_map(Bytes::from)
    ];
    option::weighted(0.8, key)
}

fn record() -> impl Strategy<Value = Record> {
    let value = prop_oneof![
        Just(None),
        (0..9_u8).prop_map(|id| Some(Bytes::from(format!("{{\"id\":{id}}}")))),
        vec(any::<u8>(), 0..300).prop_map(|value| Some(Bytes::from(value))),
    ];
    let header = ("[ab]", option::of(vec(any::<u8>(), 0..9))).prop_map(|(name, value)| Header {
        name: name.into(),
        value: value.map(Bytes::from),
    });
    (key(), value, vec(header, 0..3), any::<Option<i64>>()).prop_map(|(key, value, headers, timestamp)| Record {
        topic: Arc::from("t"),
        key,
        value,
        headers,
        partition: None,
        timestamp,
        schema: None,
    })
}

fn one_by_one(lease: &mut Lease, records: &[Record], partitions: &Arc<Partitions>) -> Vec<Decision> {
    let decide = |record: &Record| lease.partition(record.clone(), partitions).1.expect("a decision");
    records.iter().map(decide).collect()
}

/// Asks in batches of these sizes, again and again.
fn by_batches(lease: &mut Lease, records: &[Record], sizes: &[usize], partitions: &Arc<Partitions>) -> Vec<Decision> {
    let (mut decided, mut rest, mut sizes) = (Vec::new(), records, sizes.iter().cycle());
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
        let (back, choices) = lease.partition_batch(batch.to_vec(), partitions);
        assert_eq!(back, batch, "the records come back as they were");
        let choices: Vec<Choice> = choices.expect("decisions");
        let of_records = choices.into_iter().zip(batch);
        decided.extend(of_records.map(|(choice, record)| choice.into_decision(record)));
        rest = after;
    }
    decided
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_batch_decides_as_its_records_one_by_one_and_in_their_order(
        records in vec(record(), 1..200),
        sizes in vec(1..129_usize, 1..5),
        partitions in 1..40_usize,
    ) {
        let partitions = Arc::new(Partitions::of(partitions));
        for (plugin, (name, _)) in PLUGINS.iter().enumerate() {
            let single = one_by_one(&mut lease(plugin), &records, &partitions);
            let batched = by_batches(&mut lease(plugin), &records, &sizes, &partitions);
            prop_assert_eq!(&single, &batched, "{}", name);
        }
    }
}

#[test]
fn a_batch_that_traps_gives_its_records_back_and_decides_none_of_them() {
    let hostile = PLUGINS.len() - 1;
    let partitions = Arc::new(Partitions::of(3));
    for bad in ["panic", "loop", "recurse", "allocate"] {
        let mut lease = lease(hostile);
        let records = vec![keyed("a"), keyed(bad), keyed("b")];
        let (back, choices) = lease.partition_batch(records.clone(), &partitions);
        assert_eq!(back, records, "{bad}");
        assert!(choices.is_none() && lease.is_spent(), "{bad}");
        assert!(
            !lease.pool().is_suspended(),
            "nobody knows yet which record is to blame"
        );
    }
}

#[test]
fn a_suspension_that_two_slow_probes_end_is_not_counted_as_ended_twice() {
    let (metrics, mut limits) = (Metrics::new().unwrap(), limits());
    limits.instances = 2;
    limits.suspend.failures = 1;
    (limits.suspend.first, limits.suspend.longest) = (Duration::from_millis(1), Duration::from_millis(1));
    let (hostile, partitions) = (PLUGINS.len() - 1, Arc::new(Partitions::of(3)));
    let code = Arc::clone(&codes()[hostile]);
    let pool = Arc::new(Pool::new(code, "{}".to_owned(), limits, &metrics).unwrap());
    let suspended = |count: i64| {
        let text = String::from_utf8(metrics.render()).unwrap();
        let line = format!("pointsman_plugin_suspended{{plugin=\"hostile\"}} {count}\n");
        assert!(text.contains(&line), "not {count}: {text}");
    };
    let ask = |lease: &mut Lease, key: &'static str| lease.partition(keyed(key), &partitions).1.is_ok();
    assert!(!ask(&mut pool.lease_blocking().unwrap(), "panic"));
    suspended(1);
    let probe = || {
        let mut lease = None;
        eventually("the pause is over", || {
            lease = pool.lease_blocking().ok();
            lease.is_some()
        });
        lease.unwrap()
    };
    let (mut first, mut second) = (probe(), probe());
    assert!(ask(&mut first, "a"));
    suspended(0);
    assert!(ask(&mut second, "a"));
    suspended(0);
}

/// A pipeline that asks this pool about every record.
fn pipeline(pool: &Arc<Pool>) -> Pipeline {
    let producer = Arc::new(MemoryProducer::default());
    producer.create_topic("t", 3);
    let route = Route::new(&config::Route::everything(), Decider::Plugin(Arc::clone(pool)), None).unwrap();
    let routes = Arc::new(Routes::new(Table::new(0, vec![Arc::new(route)])));
    let metrics = Arc::new(Metrics::new().unwrap());
    let limits = config::Limits::default();
    Pipeline {
        topics: Topics::new(
            Arc::<MemoryProducer>::clone(&producer),
            routes,
            Arc::clone(&metrics),
            TopicLimits {
                max_topics: limits.max_topics,
                timeout: Duration::from_secs(1),
                rules: Rules::default(),
            },
        ),
        producer,
        tenants: Arc::new(Tenants::off()),
        observer: None,
        schemas: Default::default(),
        stamps: false,
        admission: Arc::new(Admission::new(&limits)),
        metrics,
        max_record_bytes: 1_000,
        max_plugin_ms: 60_000,
        open: 0.into(),
        large: large_hand_overs(),
        long_work: Default::default(),
    }
}

/// How long another task on the same thread had to wait at most while a batch of slow records was asked about one by
/// one, and how long all of that took. Both are by the plugins' clock, which runs only while a plugin does.
async fn longest_wait(pool: &Arc<Pool>, pipeline: &Pipeline) -> (u64, u64) {
    let most = 128;
    // Batches grow as long as they are quick.
    while pool.lease_blocking().unwrap().batch_size() < most {
        let decided = pipeline.decide(vec![Ok(keyed("k")); 2 * most], false).await;
        assert!(decided.is_ok());
    }
    let longest = Arc::new(AtomicU64::new(0));
    let other = tokio::spawn({
        let (pool, longest) = (Arc::clone(pool), Arc::clone(&longest));
        async move {
            let mut last = pool.coarse_ms();
            loop {
                let now = pool.coarse_ms();
                longest.fetch_max(now - last, Ordering::Relaxed);
                last = now;
                tokio::task::yield_now().await;
            }
        }
    });
    tokio::task::yield_now().await;
    let begun = pool.coarse_ms();
    let mut records = vec![Ok(keyed("slow")); most];
    records[0] = Ok(keyed("panic"));
    assert!(pipeline.decide(records, false).await.is_ok());
    let all = pool.coarse_ms() - begun;
    tokio::task::yield_now().await;
    other.abort();
    (longest.load(Ordering::Relaxed), all)
}

#[tokio::test]
async fn records_that_are_asked_about_one_by_one_after_their_batch_has_failed_let_others_run_in_between() {
    let (metrics, mut limits) = (Metrics::new().unwrap(), limits());
    limits.instances = 1;
    limits.suspend.failures = usize::MAX;
    (limits.call_cpu, limits.call_wall) = (Duration::from_secs(10), Duration::from_secs(10));
    let code = Arc::clone(&codes()[PLUGINS.len() - 1]);
    let pool = Arc::new(Pool::new(code, "{}".to_owned(), limits, &metrics).unwrap());
    let pipeline = pipeline(&pool);
    // On a busy machine the whole process may have to wait, so one good measurement is enough.
    let mut waits = Vec::new();
    while waits.len() < 20 {
        let (longest, all) = longest_wait(&pool, &pipeline).await;
        waits.push((longest, all));
        if longest < all / 3 {
            return;
        }
    }
    panic!("others waited for nearly all of the time (ms, of ms): {waits:?}");
}
