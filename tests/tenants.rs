//! Tenants go where the routing table says, by a real sidecar with a table in a file.

mod compared;
mod counted;
mod stamp;
mod told;
mod witnessed;

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{
    http::{Http, Reply},
    routes_file::{RoutesFile, is_clear, version},
    sidecar::{Builder, Sidecar, eventually},
    stream::Stream,
};

const ROUTE: &str = "config = { tenant = \"header:tenant-id\", shard_key = \"key\" }";

/// With the topic `t` of the embedded broker, which has four partitions.
fn adopted() -> RoutesFile {
    RoutesFile::adopted("t", 4)
}

fn sidecar(store: &RoutesFile, more: &str) -> Sidecar {
    let routing = format!("[routing]\nstore = \"{}\"\n{more}", store.url());
    Builder::embedded().route("*", "tenant", ROUTE).config(&routing).start()
}

fn record(tenant: &str, key: &str) -> String {
    json!({"key": key, "value": 1, "headers": {"tenant-id": tenant}}).to_string()
}

fn send(http: &mut Http, tenant: &str, key: &str) -> Reply {
    http.json("/v1/topics/t/records", &record(tenant, key))
}

fn partition(sidecar: &Sidecar, tenant: &str, key: &str) -> u64 {
    let reply = send(&mut sidecar.tcp(), tenant, key);
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["records"][0]["partition"].as_u64().unwrap()
}

#[test]
fn tenants_go_where_the_table_says_and_a_change_is_followed_without_a_poll() {
    let store = adopted();
    let sidecar = sidecar(&store, "poll_ms = 600000");
    let by_hash = partition(&sidecar, "acme", "k");
    let elsewhere = (by_hash + 1) % 4;
    let other = partition(&sidecar, "other", "k");
    store.routes(&format!("set t acme --slots {elsewhere} --out-of-order"));
    eventually("acme is elsewhere", || partition(&sidecar, "acme", "k") == elsewhere);
    assert_eq!(partition(&sidecar, "other", "k"), other, "nobody else moves");
    store.routes("set t big --slots 0,1,2,3 --out-of-order");
    eventually("big is spread", || {
        let mut partitions: Vec<u64> = ["a", "b", "c", "d", "e", "f"]
            .iter()
            .map(|key| partition(&sidecar, "big", key))
            .collect();
        partitions.sort_unstable();
        partitions.dedup();
        partitions.len() > 1
    });
    assert_eq!(partition(&sidecar, "big", "a"), partition(&sidecar, "big", "a"));
    store.routes("unset t acme --out-of-order");
    eventually("acme is back", || partition(&sidecar, "acme", "k") == by_hash);
    assert!(sidecar.metric("pointsman_routing_table_rows") >= 2.0);
}

#[test]
fn records_of_a_partition_that_the_topic_lacks_are_refused_and_their_batch_goes_on() {
    let store = adopted();
    store.routes("set t acme --slots 9 --out-of-order");
    let sidecar = sidecar(&store, "");
    eventually("the table is there", || version(&sidecar) == 3);
    let body = format!("{{\"records\":[{},{}]}}", record("acme", "a"), record("other", "a"));
    let reply = sidecar.tcp().json("/v1/topics/t/records", &body);
    assert_eq!(reply.status, 207, "{}", reply.text());
    let records = reply.json()["records"].clone();
    assert_eq!(records[0]["error"]["code"], "partition_out_of_range");
    let told = records[0]["error"]["message"].as_str().unwrap();
    assert!(told.contains("sends tenant \"acme\" to partition 9"), "{told}");
    assert_eq!(records[1]["outcome"], "acked");
}

/// Tables that cannot replace this one, and what is told of each.
fn unusable(good: &str) -> Vec<(String, &'static str)> {
    let row = |row: &str| {
        let (begin, _) = good.rsplit_once(']').unwrap();
        format!("{begin},\n {row}]}}").replace("\"version\":2,", "\"version\":3,")
    };
    let acme = "{\"topic\":\"t\",\"tenant\":\"acme\",\"version\":3,\"status\":\"dedicated\",\"ordering\":\"tenant\",\"slots\":[7]}";
    vec![
        (String::new(), "it is empty"),
        (good[..good.len() / 2].to_owned(), "cannot be read as a routing table"),
        (good.replace("\"rows\"", "\"lines\""), "unknown field `lines`"),
        (good.replace("\"format\":1", "\"format\":2"), "has format 2"),
        (
            good.replace("\"version\":2", "\"version\":1"),
            "the store has gone back",
        ),
        (
            row(acme).replace("\"version\":3,\"status\":\"ded", "\"version\":4,\"status\":\"ded"),
            "has version 4, and the table has version 3",
        ),
        (row(&acme.replace("[7]", "[-7]")), "invalid value: integer `-7`"),
        (row(&acme.replace("[7]", "[]")), "it has no slots"),
        (
            row(&acme
                .replace("[7]", "[7,7]")
                .replace("\"tenant\",\"slots", "\"key\",\"slots")),
            "partition 7 is there twice",
        ),
        (
            row(&acme.replace("[7]", &format!("[7{}]", ",7".repeat(65_536)))),
            "65537 slots",
        ),
        (row(&format!("{acme},{acme}")), "is there twice; keep one of the rows"),
        (row(&acme.replace("\"t\"", "\"u\"")), "no row for tenant \"*\""),
        (
            row(&acme.replace("[7]", "[1]")),
            "is dedicated, but its partition 1 is also in the row of tenant \"*\"",
        ),
        (row(&acme.replace("[7]", "[7,8]")), "its ordering is \"tenant\""),
        (
            row(&acme.replace(
                "[7]",
                "[7],\"move\":{\"id\":\"1\",\"phase\":\"pause\",\"slots\":[],\"to\":[]}",
            )),
            "its move has no slots",
        ),
        (row(&acme.replace("acme", &"x".repeat(10 << 20))), "(10485760 bytes)"),
        (row(&acme.replace("acme", "a\\u001b[2J")), "[2J"),
        (
            good.replace("\"incarnation\":\"", "\"incarnation\":\"9"),
            "another incarnation",
        ),
        (
            good.replace("\"ordering\":\"tenant\"", "\"ordering\":\"key\""),
            "the version 2 has not",
        ),
    ]
}

#[test]
fn a_table_that_cannot_be_used_changes_nothing_and_is_told_in_one_line() {
    let store = adopted();
    let sidecar = sidecar(&store, "poll_ms = 600000");
    eventually("the table is there", || version(&sidecar) == 2);
    let good = fs::read_to_string(store.file()).unwrap();
    let there = partition(&sidecar, "acme", "k");
    for (text, expected) in unusable(&good) {
        store.write(&text);
        eventually(expected, || {
            let problem = sidecar.admin("/ready").json()["routing"]["problem"].clone();
            problem.as_str().is_some_and(|problem| problem.contains(expected))
        });
        let ready = sidecar.admin("/ready");
        assert_eq!(ready.status, 200, "{}", ready.text());
        assert!(ready.text().len() < 2_000);
        assert_eq!(
            (partition(&sidecar, "acme", "k"), version(&sidecar)),
            (there, 2),
            "{expected}"
        );
        let lines = sidecar.log_text();
        let lines = lines
            .lines()
            .filter(|line| line.contains(expected) || line.contains(&expected.replace('"', "\\\"")));
        assert_eq!(lines.count(), 1, "{expected}: {}", sidecar.log_text());
        store.write(&good);
        eventually("the table is good again", || {
            sidecar.admin("/ready").json()["routing"]["problem"].is_null()
        });
    }
}

#[test]
fn a_first_start_without_a_table_is_not_ready_and_refuses_tenants_only() {
    let store = RoutesFile::new();
    let routing = format!("[routing]\nstore = \"{}\"\n", store.url());
    let sidecar = Builder::embedded()
        .route("t", "tenant", ROUTE)
        .route("plain", "key-hash", "")
        .config(&routing)
        .start();
    let ready = sidecar.admin("/ready");
    assert_eq!(ready.status, 503, "{}", ready.text());
    let reply = send(&mut sidecar.tcp(), "acme", "k");
    assert_eq!(
        (reply.status, &reply.json()["code"]),
        (503, &json!("routing_unavailable"))
    );
    let reply = sidecar.tcp().json("/v1/topics/plain/records", "{\"key\":\"k\"}");
    assert_eq!(reply.status, 200, "{}", reply.text());
    store.routes("init");
    eventually("a table makes it ready", || sidecar.admin("/ready").status == 200);
    partition(&sidecar, "acme", "k");
}

#[test]
fn a_start_without_the_store_goes_by_the_last_table() {
    let store = adopted();
    let state = tempfile::tempdir().unwrap();
    let more = format!("state_dir = \"{}\"", state.path().display());
    let by_hash = {
        let sidecar = sidecar(&store, &more);
        eventually("the table is there", || version(&sidecar) == 2);
        let by_hash = partition(&sidecar, "acme", "k");
        store.routes(&format!("set t acme --slots {} --out-of-order", (by_hash + 1) % 4));
        eventually("the change is there", || version(&sidecar) == 3);
        eventually("it is saved", || {
            let saved = fs::read_to_string(state.path().join("routes.json")).unwrap_or_default();
            saved.contains("acme")
        });
        by_hash
    };
    let table = fs::read(store.file()).unwrap();
    fs::remove_file(store.file()).unwrap();
    let sidecar = sidecar(&store, &more);
    assert_eq!(partition(&sidecar, "acme", "k"), (by_hash + 1) % 4);
    let ready = sidecar.admin("/ready");
    assert!(ready.text().contains("no routing table yet"), "{}", ready.text());
    store.write(table);
    eventually("the store is back", || {
        sidecar.admin("/ready").json()["routing"]["store_up"] == true
    });
}

#[test]
fn a_held_tenant_waits_and_goes_where_it_is_then_and_nobody_else_waits() {
    let store = adopted();
    let there = {
        let sidecar = sidecar(&store, "");
        eventually("the table is there", || version(&sidecar) == 2);
        partition(&sidecar, "acme", "k")
    };
    store.routes(&format!("set t acme --slots {there}"));
    let sidecar = sidecar(&store, "");
    eventually("the table is there", || version(&sidecar) == 3);
    partition(&sidecar, "acme", "k");
    store.hold("acme", 0);
    eventually("the hold is clear", || is_clear(&sidecar, "acme"));
    let elsewhere = (there + 1) % 4;
    let (mut stream, mut numbered) = (Stream::open(sidecar.http, "t"), sidecar.tcp());
    stream.send(&format!("{}\n", record("acme", "k")));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| send(&mut sidecar.tcp(), "acme", "k"));
        let numbered = scope.spawn(move || {
            let headers = [
                ("content-type", "application/json"),
                ("pointsman-client", "c"),
                ("pointsman-sequence", "1"),
            ];
            numbered.post("/v1/topics/t/records", &headers, record("acme", "k").as_bytes())
        });
        for _ in 0..50 {
            partition(&sidecar, "other", "k");
        }
        assert!(!waiting.is_finished() && !numbered.is_finished());
        store.switch("acme", elsewhere);
        for reply in [waiting.join().unwrap(), numbered.join().unwrap()] {
            assert_eq!(reply.status, 200, "{}", reply.text());
            assert_eq!(reply.json()["records"][0]["partition"], elsewhere);
        }
    });
    let line = stream.line();
    assert_eq!(
        (&line["outcome"], &line["partition"]),
        (&json!("acked"), &json!(elsewhere)),
        "{line}"
    );
    let held = sidecar.admin("/routes").json()["routing"]["held"].clone();
    assert_eq!(held, json!([]));
}

#[test]
fn who_waits_too_long_for_a_held_tenant_is_told_so_and_the_stop_is_in_time() {
    let store = adopted();
    let mut sidecar = {
        let routing = format!("[routing]\nstore = \"{}\"\n[limits]\nmax_wait_ms = 300\n", store.url());
        Builder::embedded().route("*", "tenant", ROUTE).config(&routing).start()
    };
    eventually("the table is there", || version(&sidecar) == 2);
    let there = partition(&sidecar, "acme", "k");
    store.routes(&format!("set t acme --slots {there}"));
    store.hold("acme", 0);
    eventually("it is held", || is_clear(&sidecar, "acme"));
    let begun = Instant::now();
    let reply = send(&mut sidecar.tcp(), "acme", "k");
    assert_eq!(
        (reply.status, &reply.json()["code"]),
        (503, &json!("tenant_moving")),
        "{}",
        reply.text()
    );
    assert!(
        begun.elapsed() >= Duration::from_millis(300),
        "only after limits.max_wait_ms"
    );
    let mut stream = Stream::open(sidecar.http, "t");
    stream.send(&format!("{}\n", record("acme", "k")));
    sidecar.terminate();
    assert!(sidecar.ended().success());
}
