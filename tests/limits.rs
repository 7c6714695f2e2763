//! Every limit holds, says so in its message, and lets requests in again afterwards.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::{Duration, Instant};

use crate::support::{
    http::{Http, Reply},
    sidecar::{BINARY, Builder, Sidecar, eventually, to_its_end},
};

const OCTETS: (&str, &str) = ("content-type", "application/octet-stream");
const PATH: &str = "/v1/topics/t/records";

#[test]
fn a_client_that_connects_and_says_nothing_is_closed() {
    let sidecar = Builder::embedded().config("[limits]\nheader_timeout_ms = 200").start();
    sidecar.tcp().closed();
    sidecar.unix().closed();
    // The beginning of a header buys no more time, either, whether of the first request or a later one.
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
    // hyper alone has 16 KiB of buffers for each connection in use, besides what a connection takes anyway.
    eventually("it is given back", || {
        sidecar.resident_bytes().saturating_sub(before) < 500 * (16 << 10)
    });
    for connection in &mut connections {
        assert_eq!(connection.json(PATH, r#"{"value":2}"#).status, 200);
    }
}

/// A request whose body has come, but for its last byte.
fn slow_body(sidecar: &Sidecar) -> Http {
    let mut slow = sidecar.tcp();
    slow.raw(format!("POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\ncontent-length: 2000000\r\n\r\n").as_bytes());
    slow.raw(&vec![b'x'; 1_999_999]);
    eventually("it holds its room", || {
        sidecar.metric("pointsman_buffered_bytes") == 2_000_000.0
    });
    slow
}

/// The reply to a slow body whose room another body waits for, with this timeout for bodies; also its connection and
/// the sidecar.
fn told_beside_another(body_timeout_ms: u64) -> (Reply, Http, Sidecar) {
    let sidecar = Builder::embedded()
        .config(&format!(
            "[limits]\nbody_timeout_ms = {body_timeout_ms}\nmax_buffered_bytes = 4000000\nmax_body_bytes = 2000000\nmax_wait_ms = 60000"
        ))
        .start();
    let mut slow = slow_body(&sidecar);
    // Bodies that are being read may hold half of the buffer, so this body waits until the slow one ends.
    let reply = sidecar.unix().post(PATH, &[OCTETS], &vec![b'y'; 100_000]);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let told = slow.reply().expect("a reply");
    assert_eq!((told.status, told.problem().as_str()), (408, "body_timeout"));
    (told, slow, sidecar)
}

#[test]
fn a_slow_body_is_told_so_and_frees_its_room() {
    let (_, mut slow, sidecar) = told_beside_another(2_000);
    slow.closed();
    eventually("its room is free", || sidecar.metric("pointsman_buffered_bytes") == 0.0);
}

#[test]
fn a_body_that_stands_still_gives_way_to_one_that_moves() {
    let (told, ..) = told_beside_another(600_000);
    assert!(told.text().contains("stood still"), "{}", told.text());
}

#[test]
fn without_room_nothing_is_taken_and_the_client_may_come_again() {
    let sidecar = Builder::embedded()
        .config("[limits]\nmax_buffered_bytes = 4000000\nmax_body_bytes = 2000000\nmax_wait_ms = 50")
        .start();
    let slow = slow_body(&sidecar);
    let large = vec![b'z'; 100_000];
    let reply = sidecar.tcp().post(PATH, &[OCTETS], &large);
    assert_eq!((reply.status, reply.problem().as_str()), (503, "busy"));
    assert!(reply.header("retry-after").is_some());
    assert_eq!(
        sidecar.tcp().post(PATH, &[OCTETS], b"small").status,
        200,
        "its room is its own"
    );
    drop(slow);
    eventually("there is room", || {
        sidecar.tcp().post(PATH, &[OCTETS], &large).status == 200
    });
}

#[test]
fn a_body_that_is_only_announced_takes_nothing() {
    let sidecar = Builder::embedded().start();
    let silent: Vec<Http> = (0..40)
        .map(|_| {
            let mut silent = sidecar.tcp();
            silent.raw(format!("POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\ncontent-length: 8000000\r\n\r\n").as_bytes());
            silent
        })
        .collect();
    let large = vec![b'z'; 8 << 20];
    assert_eq!(sidecar.unix().post(PATH, &[OCTETS], &large[..900_000]).status, 200);
    let reply = sidecar.unix().json(PATH, r#"{"value":1}"#);
    assert_eq!(reply.status, 200, "{}", reply.text());
    drop(silent);
}

#[test]
fn a_body_of_unknown_length_is_taken_with_the_smallest_buffer() {
    let sidecar = Builder::embedded()
        .config("[limits]\nmax_buffered_bytes = 20000\nmax_body_bytes = 5000\nmax_wait_ms = 50")
        .start();
    let mut chunked = sidecar.tcp();
    chunked.raw(
        format!(
            "POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        .as_bytes(),
    );
    chunked.raw(b"b\r\n{\"value\":1}\r\n0\r\n\r\n");
    let reply = chunked.reply().expect("a reply");
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[test]
fn who_connects_and_says_nothing_shuts_nobody_out() {
    let sidecar = Builder::embedded()
        .config("[limits]\nmax_connections = 20\nheader_timeout_ms = 600000")
        .start();
    let mut busy = sidecar.tcp();
    assert_eq!(busy.json(PATH, r#"{"value":1}"#).status, 200);
    let silent: Vec<Http> = (0..100).map(|_| sidecar.tcp()).collect();
    eventually("their places are taken", || {
        sidecar.metric("pointsman_connections") >= 15.0
    });
    assert_eq!(sidecar.unix().json(PATH, r#"{"value":1}"#).status, 200);
    assert_eq!(sidecar.tcp().json(PATH, r#"{"value":1}"#).status, 200);
    drop(silent);
}

/// Sends part of a request, so that the connection is in use.
fn in_request(mut connection: Http) -> Http {
    connection.raw(
        format!(
            "POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\ncontent-length: 2\r\n\r\nx"
        )
        .as_bytes(),
    );
    connection
}

#[test]
fn one_connection_too_many_is_told_503_and_room_comes_back() {
    let sidecar = Builder::embedded().config("[limits]\nmax_connections = 2").start();
    let (mut first, second) = (in_request(sidecar.tcp()), in_request(sidecar.unix()));
    eventually("both are in use", || sidecar.metric("pointsman_buffered_bytes") == 4.0);
    for mut third in [sidecar.tcp(), sidecar.unix()] {
        // Its request is on its way already, and the answer must arrive all the same.
        third.send("POST", PATH, &[OCTETS], &vec![b'x'; 100_000]);
        let reply = third.reply().expect("a reply");
        assert_eq!((reply.status, reply.problem().as_str()), (503, "busy"));
    }
    drop(second);
    eventually("a place is free", || sidecar.metric("pointsman_connections") == 1.0);
    assert_eq!(sidecar.unix().json(PATH, r#"{"value":1}"#).status, 200);
    first.raw(b"y");
    assert_eq!(first.reply().expect("a reply").status, 200);
}

#[test]
fn clients_that_hold_every_connection_leave_files_for_probes() {
    // The soft limit is as low as the number of connections, as on many systems.
    let sidecar = Builder::embedded()
        .config("[limits]\nmax_connections = 100")
        .open_files(100)
        .start();
    let held: Vec<Http> = (0..75)
        .map(|_| sidecar.tcp())
        .chain((0..25).map(|_| sidecar.unix()))
        .collect();
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
    // `b` has rested the longest, so it and its labels make room for the next topic.
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
    // A socket file without a listener, as a killed process leaves it.
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
    // The drop sends SIGKILL, so the socket file stays behind.
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

#[tokio::test(flavor = "multi_thread")]
async fn http2_works_with_the_smallest_buffer_too() {
    let sidecar = Builder::embedded()
        .config("[limits]\nmax_buffered_bytes = 20000\nmax_body_bytes = 5000")
        .start();
    let socket = tokio::net::TcpStream::connect(sidecar.http).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let request =
            hyper::Request::post(format!("http://localhost{PATH}")).header("content-type", "application/json");
        let (answer, mut body) = sender.send_request(request.body(()).unwrap(), false).unwrap();
        body.send_data(bytes::Bytes::from_static(b"{\"value\":"), false)
            .unwrap();
        body.send_data(bytes::Bytes::from_static(b"1}"), true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_an_http2_client_gives_no_room_for_is_not_kept_for_ever() {
    let sidecar = Builder::embedded().config("[limits]\nwrite_timeout_ms = 300").start();
    let socket = tokio::net::TcpStream::connect(sidecar.http).await.unwrap();
    let mut builder = h2::client::Builder::new();
    let (mut sender, connection) = builder.initial_window_size(0).handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::post(format!("http://localhost{PATH}")).header("content-type", "application/json");
    let (answer, mut body) = sender.send_request(request.body(()).unwrap(), false).unwrap();
    body.send_data(bytes::Bytes::from_static(b"{\"value\":1}"), true)
        .unwrap();
    let mut answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    let told = answer.body_mut().data().await.expect("an end");
    assert!(told.expect_err("it was given up").is_reset());
    eventually("its room is free", || sidecar.metric("pointsman_buffered_bytes") == 0.0);
    // The connection goes on.
    let request = hyper::Request::post("http://localhost/nothing").body(()).unwrap();
    let (answer, _) = sender.send_request(request, true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 404);
}

#[test]
fn one_request_too_many_is_told_so_at_once() {
    let sidecar = Builder::embedded()
        .config("[limits]\nmax_requests = 2\nmax_wait_ms = 600000")
        .start();
    let mut held = [in_request(sidecar.tcp()), in_request(sidecar.unix())];
    eventually("both are under way", || {
        sidecar.metric("pointsman_buffered_bytes") == 4.0
    });
    let reply = sidecar.tcp().json(PATH, r#"{"value":1}"#);
    assert_eq!((reply.status, reply.problem().as_str()), (503, "busy"));
    assert!(reply.text().contains("limits.max_requests"), "{}", reply.text());
    held[0].raw(b"y");
    assert_eq!(held[0].reply().expect("a reply").status, 200);
    eventually("there is a place", || {
        sidecar.tcp().json(PATH, r#"{"value":1}"#).status == 200
    });
}
