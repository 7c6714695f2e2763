//! The table in ZooKeeper.

use std::time::{Duration, Instant};

use pointsman_routing::{Change, Row};
use pointsman_stores::{
    StoreError,
    conformance::{self, Load},
};

use super::{DEADLINE, NEVER, adopted, client, is_away, next, put, stores_at};
use crate::support::zookeeper::ZooKeeper;

#[test]
fn a_store_in_real_zookeeper_keeps_what_every_store_promises() {
    let zookeeper = ZooKeeper::start();
    conformance::all(&stores_at(|name| zookeeper.url(&format!("deep/{name}"))), Load::FULL);
}

#[test]
fn a_frozen_zookeeper_is_away_soon_and_an_expired_session_is_replaced() {
    let mut zookeeper = ZooKeeper::start();
    let url = zookeeper.url("x");
    let (mut reader, mut writer) = (client(&url, NEVER), client(&url, NEVER));
    let before = adopted(&mut *writer);
    reader.load().unwrap();
    zookeeper.server.freeze();
    // It tells so by itself, though it is never polled: longer than a session is kept.
    let begun = Instant::now();
    while reader.changed(Duration::from_secs(1)).is_ok() {
        assert!(begun.elapsed() < DEADLINE, "a frozen server is never noticed");
    }
    is_away(|| reader.changed(Duration::from_secs(1)));
    is_away(|| client(&url, NEVER).load());
    is_away(|| writer.apply((before.epoch(), before.version()), Vec::new()));
    zookeeper.server.thaw();
    let after = put(&mut *writer, "a", 1);
    while next(&mut *reader).version() < after.version() {}
    zookeeper.server.kill();
    while reader.changed(Duration::from_secs(1)).is_ok() {
        assert!(begun.elapsed() < 2 * DEADLINE, "a server that ended is never noticed");
    }
    is_away(|| reader.load());
    zookeeper.server.start_again();
    let after = put(&mut *writer, "b", 1);
    assert_eq!(next(&mut *reader).document(), after.document());
}

#[test]
fn a_shard_that_no_node_can_hold_is_refused_before_anything_is_written() {
    let zookeeper = ZooKeeper::start();
    let url = zookeeper.url("x");
    let mut store = client(&url, NEVER);
    let before = adopted(&mut *store);
    // A row of 65,536 slots has some 150 kB; ten of them in one shard are too many, and each in one of its own is not.
    let wide = |number: u32| {
        let mut row = Row::tail("t", 4).unwrap();
        row.tenant = format!("wide-{number}");
        row.slots = vec![3; 65_536];
        row.status = pointsman_routing::Status::Sharded;
        row.ordering = pointsman_routing::OrderClass::Key;
        row
    };
    let shard = |row: &Row| pointsman_routing::murmur2::positive(row.tenant.as_bytes()) % 256;
    let first = shard(&wide(0));
    let same: Vec<Change> = (0..100_000)
        .map(|number| format!("wide-{number}"))
        .filter(|name| pointsman_routing::murmur2::positive(name.as_bytes()) % 256 == first)
        .take(10)
        .map(|name| {
            Change::Put(Row {
                tenant: name,
                ..wide(0)
            })
        })
        .collect();
    let told = store
        .apply((before.epoch(), before.version()), same.clone())
        .map(|_| ());
    let Err(StoreError::TooLarge(told)) = told else {
        panic!("{told:?}")
    };
    assert!(told.contains("of topic \"t\" would have 10 rows"), "{told}");
    assert_eq!(store.load().unwrap().document(), before.document());
    // Some of them fit, in a change of several requests.
    let some: Vec<Change> = same
        .into_iter()
        .take(3)
        .chain((0..20).map(|number| Change::Put(wide(number))))
        .collect();
    let mut once: Vec<Change> = Vec::new();
    for change in some {
        if once.iter().all(|other| other.tenant() != change.tenant()) {
            once.push(change);
        }
    }
    let after = store.apply((before.epoch(), before.version()), once).unwrap();
    assert_eq!(client(&url, NEVER).load().unwrap().document(), after.document());
}

#[test]
fn a_change_is_found_by_a_look_and_a_table_that_is_made_anew_is_another_one() {
    let zookeeper = ZooKeeper::start();
    let url = zookeeper.url("x");
    let (mut reader, mut writer) = (client(&url, Duration::from_millis(20)), client(&url, NEVER));
    assert_eq!(reader.changed(Duration::ZERO).map(|_| ()), Err(StoreError::NoTable));
    let table = adopted(&mut *writer);
    assert_eq!(next(&mut *reader).document(), table.document());
    for number in 0..10 {
        let table = put(&mut *writer, "a", number);
        assert_eq!(next(&mut *reader).document(), table.document());
    }
    let table = writer.claim().unwrap();
    assert_eq!(next(&mut *reader).epoch(), table.epoch());
    assert!(reader.changed(Duration::from_millis(50)).unwrap().is_none());
}
