//! A sidecar follows a table in a server that is killed, frozen and set back, while records flow.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    redis::{PASSWORD, Redis, USER},
    server::Server,
    sidecar::{BINARY, Builder, Sidecar, eventually, to_its_end},
    zookeeper::ZooKeeper,
};

const POLL: Duration = Duration::from_millis(1_000);
/// A busy machine may take this long for what is no wait at all.
const SLACK: Duration = Duration::from_secs(4);
const BEGIN: &str = "store cannot be used; the last table decides on";
const END: &str = "store can be used again";
const NOT_USED: &str = "routing table is not used";

/// Runs `pointsman routes`, which must succeed.
fn routes(url: &str, command: &str) {
    let words: Vec<&str> = command.split(' ').chain(["--store", url]).collect();
    let output = to_its_end(Command::new(BINARY).arg("routes").args(words));
    assert!(output.status.success(), "{command}: {output:?}");
}

/// A sidecar that follows a new table with the topic `t`, which has version 2.
fn sidecar(url: &str) -> Sidecar {
    routes(url, "init");
    routes(url, "adopt t --partitions 4");
    let sidecar = Builder::embedded()
        .route("*", "tenant", "config = { tenant = \"header:tenant-id\" }")
        .config(&format!(
            "[routing]\nstore = \"{url}\"\npoll_ms = {}\n",
            POLL.as_millis()
        ))
        .start();
    eventually("the table is there", || version(&sidecar) == 2);
    sidecar
}

fn version(sidecar: &Sidecar) -> u64 {
    sidecar.admin("/routes").json()["routing"]["version"]
        .as_u64()
        .unwrap_or_default()
}

fn problem(sidecar: &Sidecar) -> Option<String> {
    let ready = sidecar.admin("/ready");
    assert_eq!(ready.status, 200, "{}", ready.text());
    ready.json()["routing"]["problem"].as_str().map(str::to_owned)
}

fn lines(sidecar: &Sidecar, message: &str) -> usize {
    let is_it = |line: &Value| line["message"].as_str().is_some_and(|said| said.contains(message));
    sidecar.log().iter().filter(|line| is_it(line)).count()
}

/// Sends records all the time while something happens. Returns how many; all have to be acknowledged.
fn under_traffic(sidecar: &Sidecar, happens: impl FnOnce()) -> usize {
    let (is_over, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for tenant in ["acme", "other"] {
            let (is_over, sent) = (&is_over, &sent);
            scope.spawn(move || {
                let mut http = sidecar.tcp();
                let body = format!(r#"{{"value":1,"headers":{{"tenant-id":"{tenant}"}}}}"#);
                while !is_over.load(Ordering::Relaxed) {
                    let reply = http.json("/v1/topics/t/records", &body);
                    assert_eq!(reply.status, 200, "{}", reply.text());
                    sent.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(2));
                }
            });
        }
        // Also where it panics.
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _over = Over(&is_over);
        happens();
    });
    sent.into_inner()
}

/// A change is followed soon.
fn is_current(sidecar: &Sidecar, url: &str, partition: u32, since: Instant) {
    routes(url, &format!("set t acme --slots {partition} --out-of-order"));
    eventually("the table is current", || {
        let reply = sidecar
            .tcp()
            .json("/v1/topics/t/records", r#"{"value":1,"headers":{"tenant-id":"acme"}}"#);
        reply.json()["records"][0]["partition"] == partition
    });
    assert!(since.elapsed() < 2 * POLL + SLACK, "it took {:?}", since.elapsed());
    eventually("nothing is wrong", || problem(sidecar).is_none());
}

fn harm_and_follow(sidecar: &Sidecar, url: &str, server: &mut Server) {
    let sent = under_traffic(sidecar, || {
        is_current(sidecar, url, 1, Instant::now());
        server.kill();
        eventually("it is told", || problem(sidecar).is_some());
        server.start_again();
        is_current(sidecar, url, 2, Instant::now());
        server.freeze();
        eventually("it is told", || problem(sidecar).is_some());
        // Past the look after poll_ms, and past all time-outs.
        eventually("the age grows", || {
            let age = sidecar.admin("/ready").json()["routing"]["age_ms"].as_u64();
            age.unwrap_or_default() > 7_000
        });
        server.thaw();
        is_current(sidecar, url, 3, Instant::now());
    });
    assert!(sent > 100, "{sent} records");
    let log = sidecar.log_text();
    assert_eq!((lines(sidecar, BEGIN), lines(sidecar, END)), (2, 2), "{log}");
    assert!(
        !log.contains("zookeeper_client"),
        "the client's own lines are not for operators: {log}"
    );
}

#[test]
fn a_sidecar_follows_a_table_in_redis_that_is_killed_and_frozen_under_traffic() {
    let mut redis = Redis::start();
    let url = redis.url("routes");
    let sidecar = sidecar(&url);
    harm_and_follow(&sidecar, &url, &mut redis.server);
    assert_eq!(lines(&sidecar, "does not keep what it acknowledges"), 0);
}

#[test]
fn a_sidecar_follows_a_table_in_zookeeper_that_is_killed_and_frozen_under_traffic() {
    let mut zookeeper = ZooKeeper::start();
    let url = zookeeper.url("pointsman/routes");
    let sidecar = sidecar(&url);
    harm_and_follow(&sidecar, &url, &mut zookeeper.server);
}

#[test]
fn a_redis_that_lost_its_last_writes_does_not_take_a_sidecar_back() {
    let mut redis = Redis::start();
    let url = redis.url("routes");
    let sidecar = sidecar(&url);
    redis.back_up();
    is_current(&sidecar, &url, 1, Instant::now());
    under_traffic(&sidecar, || {
        redis.kill_and_start_with_backup();
        eventually("it is told", || {
            problem(&sidecar).is_some_and(|problem| problem.contains("has gone back"))
        });
        let shown = sidecar.admin("/routes").text();
        assert!(shown.contains("has gone back"), "{shown}");
        assert_eq!(version(&sidecar), 3);
        // Until the store has a newer table again.
        routes(&url, "set t other --slots 3 --out-of-order");
        eventually("it is told", || {
            problem(&sidecar).is_some_and(|problem| problem.contains("the rows have changed"))
        });
        is_current(&sidecar, &url, 2, Instant::now());
    });
    assert_eq!(version(&sidecar), 4);
    let log = sidecar.log_text();
    assert_eq!((lines(&sidecar, BEGIN), lines(&sidecar, END)), (1, 1), "{log}");
    assert_eq!(lines(&sidecar, NOT_USED), 2, "one line for each table: {log}");
}

#[test]
fn a_redis_that_keeps_nothing_is_warned_of_once() {
    let mut redis = Redis::forgetful();
    let url = redis.url("routes");
    let sidecar = sidecar(&url);
    sidecar.wait_for_log("does not keep what it acknowledges");
    under_traffic(&sidecar, || {
        redis.server.kill();
        redis.server.start_again();
        eventually("it is told", || {
            problem(&sidecar).is_some_and(|problem| problem.contains("no routing table yet"))
        });
    });
    assert_eq!(lines(&sidecar, "does not keep what it acknowledges"), 1);
}

#[test]
fn a_sidecar_finds_a_password_in_a_file_and_shows_it_nowhere() {
    let redis = Redis::with_tls();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let write = |password: &str| fs::write(&file, format!("{password}\n")).unwrap();
    write(PASSWORD);
    let (port, ca) = (redis.server.port, redis.ca_file());
    let url = format!("rediss://{USER}@127.0.0.1:{port}/0?ca_file={}", ca.display());
    let routes = |url: &str, words: &[&str]| {
        let output = to_its_end(Command::new(BINARY).arg("routes").args(words).args(["--store", url]));
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let password_file = file.to_str().unwrap();
    assert!(!routes(&url, &["init"]).0, "without the password");
    assert!(routes(&url, &["init", "--password-file", password_file]).0);
    assert!(
        routes(
            &url,
            &["adopt", "t", "--partitions", "4", "--password-file", password_file]
        )
        .0
    );
    write("wrong-zQ7");
    let (_, told) = routes(&url, &["list", "--password-file", password_file]);
    assert!(told.contains("WRONGPASS") && !told.contains("zQ7"), "{told}");
    write(PASSWORD);
    let start = |store: &str, more: &str| {
        Builder::embedded()
            .route("*", "tenant", "config = { tenant = \"header:tenant-id\" }")
            .config(&format!("[routing]\nstore = \"{store}\"\n{more}\n"))
            .start()
    };
    let by_file = start(&url, &format!("password_file = \"{password_file}\""));
    shows_no_password(&by_file, &ca);
    let encoded: String = PASSWORD.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let with_password = url.replace(USER, &format!("{USER}:{encoded}"));
    let by_url = start(&with_password, "");
    shows_no_password(&by_url, &ca);
    let config = by_url.admin("/config").text();
    assert!(config.contains("rediss://pointsman:[redacted]@127.0.0.1"), "{config}");
    assert!(!config.contains(&encoded), "{config}");
}

fn shows_no_password(sidecar: &Sidecar, ca: &Path) {
    eventually("the table is there", || version(sidecar) == 2);
    let pages = ["/routes", "/ready", "/config", "/metrics"].map(|path| sidecar.admin(path).text());
    for text in pages.iter().chain([&sidecar.log_text()]) {
        assert!(!text.contains("zQ7"), "{text}");
    }
    let store = sidecar.admin("/routes").json()["routing"]["store"].clone();
    assert!(
        store
            .as_str()
            .is_some_and(|store| store.contains(&*ca.to_string_lossy())),
        "{store}"
    );
}
