//! The table in Redis.

use std::time::Duration;

use pointsman_stores::{
    StoreError,
    conformance::{self, Load},
};

use super::{NEVER, adopted, client, is_away, next, put, stores_at};
use crate::support::redis::{PASSWORD, Redis, USER};

const SOON: Duration = Duration::from_millis(200);

#[test]
fn a_store_in_real_redis_keeps_what_every_store_promises() {
    let redis = Redis::start();
    conformance::all(&stores_at(|name| redis.url(name)), Load::FULL);
}

fn encoded(password: &str) -> String {
    password.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[test]
fn a_store_in_redis_keeps_it_by_tls_as_a_user_with_a_password_too() {
    let redis = Redis::with_tls();
    let (port, ca) = (redis.server.port, redis.ca_file().display().to_string());
    let url = |password: &str, name: &str, more: &str| {
        format!(
            "rediss://{USER}:{}@localhost:{port}/0?name={name}{more}",
            encoded(password)
        )
    };
    let trusting = format!("&ca_file={ca}");
    conformance::all(&stores_at(|name| url(PASSWORD, name, &trusting)), Load::LIGHT);
    for (url, expected) in [
        (url("wrong zQ7", "x", &trusting), "WRONGPASS"),
        (url(PASSWORD, "x", ""), "certificate"),
        (
            url(PASSWORD, "x", &format!("&ca_file={ca}.none")),
            "ca_file cannot be used",
        ),
        (url(PASSWORD, "x", "&ca_file=/dev/null"), "no certificate"),
        (format!("rediss://localhost:{port}/0?ca_file={ca}"), "NOAUTH"),
        (
            format!("redis://{USER}:{}@localhost:{port}", encoded(PASSWORD)),
            "Redis at localhost",
        ),
    ] {
        let told = is_away(|| client(&url, NEVER).load());
        assert!(told.contains(expected), "{expected}: {told}");
        assert!(!told.contains("zQ7"), "{told}");
    }
}

#[test]
fn a_frozen_redis_is_away_soon_and_the_client_comes_back_by_itself() {
    let plain = Redis::start();
    let tls = Redis::with_tls();
    let plain_url = plain.url("x");
    let (port, ca) = (tls.server.port, tls.ca_file());
    let tls_url = format!(
        "rediss://{USER}:{}@127.0.0.1:{port}/0?name=x&ca_file={}",
        encoded(PASSWORD),
        ca.display()
    );
    for (mut redis, url) in [(plain, plain_url), (tls, tls_url)] {
        let (mut reader, mut writer) = (client(&url, NEVER), client(&url, NEVER));
        let before = adopted(&mut *writer);
        reader.load().unwrap();
        redis.server.freeze();
        is_away(|| reader.changed(Duration::from_secs(1)));
        // Also where it has to connect anew, which the kernel lets it do.
        is_away(|| reader.changed(Duration::from_secs(1)));
        is_away(|| client(&url, NEVER).load());
        is_away(|| writer.apply((before.epoch(), before.version()), Vec::new()));
        redis.server.thaw();
        let after = put(&mut *writer, "a", 1);
        // The frozen server may have made the change that was not waited for.
        while next(&mut *reader).version() < after.version() {}
        redis.server.kill();
        let told = is_away(|| reader.changed(SOON));
        assert!(told.contains("Redis at 127.0.0.1"), "{told}");
        is_away(|| reader.load());
        redis.server.start_again();
        let after = put(&mut *writer, "b", 1);
        assert_eq!(next(&mut *reader).document(), after.document());
    }
}

#[test]
fn a_reader_that_missed_entries_of_the_stream_loads_the_table_anew() {
    let redis = Redis::start();
    let url = redis.url("x");
    let (mut reader, mut writer) = (client(&url, NEVER), client(&url, NEVER));
    adopted(&mut *writer);
    reader.load().unwrap();
    for tenant in ["a", "b", "c"] {
        put(&mut *writer, tenant, 1);
    }
    let stream = "pointsman:{x}:changes";
    redis.order(&["XTRIM", stream, "MAXLEN", "1"]);
    let after = writer.load().unwrap();
    assert_eq!(next(&mut *reader).document(), after.document());
    assert!(
        reader.changed(Duration::ZERO).unwrap().is_none(),
        "nothing else has changed"
    );
    // Something else than ours in the stream does no harm, and is no reason to stop.
    put(&mut *writer, "d", 1);
    redis.order(&["XADD", stream, "*", "what", "ever"]);
    let after = put(&mut *writer, "e", 2);
    while next(&mut *reader).version() < after.version() {}
    assert_eq!(reader.load().unwrap().document(), after.document());
    // Without the stream, the head is looked at.
    let mut polling = client(&url, Duration::from_millis(20));
    polling.load().unwrap();
    let after = put(&mut *writer, "f", 2);
    redis.order(&["DEL", stream]);
    assert_eq!(next(&mut *polling).document(), after.document());
}

#[test]
fn a_redis_that_lost_its_last_writes_is_noticed() {
    let mut redis = Redis::start();
    let url = redis.url("x");
    let (mut reader, mut writer) = (client(&url, NEVER), client(&url, NEVER));
    let before = adopted(&mut *writer);
    redis.back_up();
    let after = put(&mut *writer, "a", 1);
    assert_eq!(reader.load().unwrap().version(), after.version());
    redis.kill_and_start_with_backup();
    assert_eq!(
        next(&mut *reader).document(),
        before.document(),
        "as it is, to be judged by who reads it"
    );
    assert_eq!(writer.load().unwrap().version(), before.version());
    let told = writer.apply((after.epoch(), after.version()), Vec::new());
    assert!(matches!(told, Err(StoreError::Refused(_))), "{:?}", told.map(|_| ()));
    // The same version, with other rows.
    let other = put(&mut *writer, "b", 2);
    assert_eq!(other.version(), after.version());
    assert_eq!(next(&mut *reader).document(), other.document());
    redis.order(&["FLUSHALL"]);
    let mut polling = client(&url, Duration::from_millis(20));
    assert_eq!(polling.load().map(|_| ()), Err(StoreError::NoTable));
    assert_eq!(polling.changed(SOON).map(|_| ()), Err(StoreError::NoTable));
    assert_eq!(writer.init("j").unwrap().version(), 1);
    assert_eq!(&**next(&mut *reader).incarnation(), "j");
}

#[test]
fn what_is_no_table_is_told_and_never_half_written() {
    let redis = Redis::start();
    let url = redis.url("x");
    let mut store = client(&url, NEVER);
    redis.order(&["SET", "pointsman:{x}:changes", "mine"]);
    let told = is_away(|| store.init("i"));
    assert!(told.contains("is a string, expected a stream"), "{told}");
    assert_eq!(redis.order(&["EXISTS", "pointsman:{x}:head"]).trim(), "0");
    redis.order(&["DEL", "pointsman:{x}:changes"]);
    adopted(&mut *store);
    redis.order(&["HDEL", "pointsman:{x}:rows", "t/*"]);
    let told = client(&url, NEVER).load().map(|_| ()).unwrap_err().to_string();
    assert!(told.contains("a part of it is missing"), "{told}");
    redis.order(&["SET", "pointsman:{x}:head", "garbage"]);
    let told = client(&url, NEVER).load().map(|_| ()).unwrap_err().to_string();
    assert!(told.contains("cannot be read as a routing table"), "{told}");
}
