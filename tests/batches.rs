//! A plugin that is asked about many records in one call decides as if it were asked about each by itself.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use pointsman::{
    config,
    metrics::Metrics,
    plugin::{Choice, Code, Compiler, Decision, Engine, Lease, Limits, Pool},
    record::{Header, Record},
    topics::Partitions,
};
use proptest::{collection::vec, option, prelude::*};

use crate::support::sidecar::{eventually, plugin_dir};

/// Each with a configuration; all decide by what the record holds, `round-robin` and `hostile` by what was before it, too.
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

/// A fresh instance.
fn lease(plugin: usize) -> Lease {
    let config = PLUGINS[plugin].1.to_owned();
    let pool = Pool::new(Arc::clone(&codes()[plugin]), config, limits(), &Metrics::new().unwrap()).unwrap();
    Arc::new(pool).lease_blocking().unwrap()
}

fn key() -> impl Strategy<Value = Option<Bytes>> {
    // Some of them mean something to `hostile`, none of these makes it trap.
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
    })
}

fn one_by_one(lease: &mut Lease, records: &[Record], partitions: &Arc<Partitions>) -> Vec<Decision> {
    let decide = |record: &Record| lease.partition(record.clone(), partitions).1.expect("a decision");
    records.iter().map(decide).collect()
}

/// In calls of as many as there are numbers in `sizes`, again and again.
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
    let record = |key: &'static str| Record {
        topic: Arc::from("t"),
        key: Some(Bytes::from_static(key.as_bytes())),
        value: None,
        headers: Vec::new(),
        partition: None,
        timestamp: None,
    };
    for bad in ["panic", "loop", "recurse", "allocate"] {
        let mut lease = lease(hostile);
        let records = vec![record("a"), record(bad), record("b")];
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
    let ask = |lease: &mut Lease, key: &'static str| {
        let record = Record {
            topic: Arc::from("t"),
            key: Some(Bytes::from_static(key.as_bytes())),
            value: None,
            headers: Vec::new(),
            partition: None,
            timestamp: None,
        };
        lease.partition(record, &partitions).1.is_ok()
    };
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
