//! Every bound holds, says so, and gives way again.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::{Duration, Instant};

use crate::support::{
    http::Http,
    sidecar::{BINARY, Builder, Sidecar, eventually, to_its_end},
};

const OCTETS: (&str, &str) = ("content-type", "application/octet-stream");
const PATH: &str = "/v1/topics/t/records";

#[test]
fn a_client_that_connects_and_says_nothing_is_closed() {
    let sidecar = Builder::embedded().config("[limits]\nheader_timeout_ms = 200").start();
    sidecar.tcp().closed();
    sidecar.unix().closed();
    // Nor does the beginning of a header buy more time, be it the first one or a later one.
    let mut slow = sidecar.tcp();
    slow.raw(b"POST /v1/topics/t/records HTTP/1.1\r\nhost: ");
    slow.closed();
    let mut later = sidecar.tcp();
    assert_eq!(later.json(PATH, r#"{"value":1}"#).status, 200);
    later.raw(b"POST /v1/topics");
    later.closed();
    let mut preface = sidecar.tcp();
    preface.raw(b"PRI * HTTP/2.0\r\n");
    preface.closed();
}

#[test]
fn an_idle_connection_is_kept_beyond_the_header_time_and_closed_at_its_own() {
    let sidecar = Builder::embedded()
        .config("[limits]\nheader_timeout_ms = 100\nidle_timeout_ms = 1500")
        .start();
    let mut pooled = sidecar.tcp();
    assert_eq!(pooled.json(PATH, r#"{"value":1}"#).status, 200);
    let idle = Instant::now();
    pooled.closed();
    let kept = idle.elapsed();
    assert!(kept >= Duration::from_millis(1_400), "closed after {kept:?}");
}

#[test]
fn connections_that_are_idle_hold_no_memory_that_they_only_needed_for_their_requests() {
    let sidecar = Builder::embedded().start();
    let before = sidecar.resident_bytes();
    let mut connections: Vec<_> = (0..500).map(|_| sidecar.unix()).collect();
    for connection in &mut connections {
        assert_eq!(connection.json(PATH, r#"{"value":1}"#).status, 200);
    }
    // hyper alone has 16 KiB of buffers for each that is in use.
    eventually("it is given back", || {
        sidecar.resident_bytes().saturating_sub(before) < 500 * (12 << 10)
    });
    for connection in &mut connections {
        assert_eq!(connection.json(PATH, r#"{"value":2}"#).status, 200);
    }
}

/// A request whose body is announced, and has its room, but does not come.
fn slow_body(sidecar: &Sidecar) -> Http {
    let mut slow = sidecar.tcp();
    slow.raw(format!("POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\ncontent-length: 2000000\r\n\r\nx").as_bytes());
    eventually("its room is reserved", || {
        sidecar.metric("pointsman_buffered_bytes") == 2_000_000.0
    });
    slow
}

#[test]
fn a_slow_body_is_told_so_and_frees_its_room() {
    let sidecar = Builder::embedded()
        .config("[limits]\nbody_timeout_ms = 300\nmax_buffered_bytes = 4000000\nmax_body_bytes = 2000000\nmax_wait_ms = 60000")
        .start();
    let mut slow = slow_body(&sidecar);
    // Half of the buffer is all that bodies being read may hold, so this one waits for the slow one's end.
    let reply = sidecar.unix().post(PATH, &[OCTETS], &vec![b'y'; 100_000]);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let told = slow.reply().expect("a reply");
    assert_eq!((told.status, told.problem().as_str()), (408, "body_timeout"));
    slow.closed();
    eventually("its room is free", || sidecar.metric("pointsman_buffered_bytes") == 0.0);
}

#[test]
fn without_room_nothing_is_taken_and_the_client_may_come_again() {
    let sidecar = Builder::embedded()
        .config("[limits]\nmax_buffered_bytes = 4000000\nmax_body_bytes = 2000000\nmax_wait_ms = 50")
        .start();
    let slow = slow_body(&sidecar);
    let reply = sidecar.tcp().post(PATH, &[OCTETS], b"z");
    assert_eq!((reply.status, reply.problem().as_str()), (503, "busy"));
    assert!(reply.header("retry-after").is_some());
    drop(slow);
    eventually("there is room", || {
        sidecar.tcp().post(PATH, &[OCTETS], b"z").status == 200
    });
}

#[test]
fn one_connection_too_many_is_told_503_and_room_comes_back() {
    let sidecar = Builder::embedded().config("[limits]\nmax_connections = 2").start();
    let mut first = sidecar.tcp();
    let second = sidecar.unix();
    assert_eq!(first.json(PATH, r#"{"value":1}"#).status, 200);
    eventually("both are open", || sidecar.metric("pointsman_connections") == 2.0);
    let mut third = sidecar.tcp();
    let reply = third.reply().expect("a reply");
    assert_eq!((reply.status, reply.problem().as_str()), (503, "busy"));
    drop(second);
    eventually("a place is free", || sidecar.metric("pointsman_connections") == 1.0);
    assert_eq!(sidecar.unix().json(PATH, r#"{"value":1}"#).status, 200);
}

#[test]
fn clients_that_hold_every_connection_leave_files_for_probes() {
    // The soft limit is as low as the number of connections, as it is on many systems.
    let sidecar = Builder::embedded()
        .config("[limits]\nmax_connections = 100")
        .open_files(100)
        .start();
    let held: Vec<Http> = (0..100).map(|_| sidecar.tcp()).collect();
    eventually("all are open", || sidecar.metric("pointsman_connections") == 100.0);
    assert_eq!(sidecar.admin("/live").status, 200);
    drop(held);
}

#[test]
fn one_topic_too_many_is_refused_until_another_has_rested() {
    let sidecar = Builder::embedded().config("[limits]\nmax_topics = 2").start();
    for topic in ["a", "b", "a"] {
        let reply = sidecar
            .tcp()
            .json(&format!("/v1/topics/{topic}/records"), r#"{"value":1}"#);
        assert_eq!(reply.status, 200);
    }
    let reply = sidecar.tcp().json("/v1/topics/c/records", r#"{"value":1}"#);
    assert_eq!((reply.status, reply.problem().as_str()), (503, "too_many_topics"));
    let reply = sidecar
        .tcp()
        .json("/v1/records", r#"{"records":[{"topic":"a"},{"topic":"c"}]}"#);
    assert_eq!(reply.outcomes(), ["acked", "rejected too_many_topics"]);
    // `b` has been used once, and gives its place to the next one, with its labels.
    eventually("a topic makes room", || {
        assert_eq!(sidecar.tcp().json("/v1/topics/a/records", "{}").status, 200);
        sidecar.tcp().json("/v1/topics/c/records", r#"{"value":1}"#).status == 200
    });
    let metrics = sidecar.admin("/metrics").text();
    let has = |topic: &str| metrics.contains(&format!("topic=\"{topic}\""));
    assert_eq!([has("a"), has("b"), has("c")], [true, false, true], "{metrics}");
}

#[test]
fn the_socket_is_private_and_survives_a_dead_process_but_not_a_living_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/ingest.sock");
    let unix = path.to_str().unwrap();
    // A file without a listener: what a killed process leaves.
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();

    let first = Builder::embedded().environment("POINTSMAN_LISTEN__UNIX", unix).start();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o660, 0o700));
    let second = to_its_end(
        std::process::Command::new(BINARY)
            .args(["run", "--embedded"])
            .env("POINTSMAN_LISTEN__UNIX", unix)
            .env("POINTSMAN_LISTEN__HTTP", "127.0.0.1:0")
            .env("POINTSMAN_LISTEN__ADMIN", "127.0.0.1:0"),
    );
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("another process serves"), "{said}");
    let mut still = crate::support::http::Http::unix(&path);
    assert_eq!(still.json(PATH, r#"{"value":1}"#).status, 200);
    // SIGKILL, as its drop does, leaves the file behind.
    drop(first);
    assert!(path.exists());
    let again = Builder::embedded().environment("POINTSMAN_LISTEN__UNIX", unix).start();
    assert_eq!(
        crate::support::http::Http::unix(&path)
            .json(PATH, r#"{"value":1}"#)
            .status,
        200
    );
    drop(again);
}

#[test]
fn only_the_users_that_are_named_may_use_the_socket() {
    let me = std::fs::metadata("/proc/self").unwrap().uid();
    let allowed = Builder::embedded().listen(&format!("allow_uids = [{me}]")).start();
    assert_eq!(allowed.unix().json(PATH, r#"{"value":1}"#).status, 200);
    let refused = Builder::embedded()
        .listen(&format!("allow_uids = [{}]", me + 1))
        .start();
    refused.unix().closed();
    refused.wait_for_log("not in listen.allow_uids");
    assert_eq!(
        refused.tcp().json(PATH, r#"{"value":1}"#).status,
        200,
        "TCP is another door"
    );
}
