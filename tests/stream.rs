//! A stream: records in and outcomes out at the same time, in order, bounded, and with a last line whatever happens.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http_body_util::BodyExt as _;
use hyper::{
    Request,
    body::{Body, Frame},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};
use serde_json::{Value, json};

use crate::support::{
    consumer::read,
    http2::{send, whole},
    sidecar::{Builder, Sidecar, eventually},
    stream::Stream,
};

#[test]
fn an_outcome_comes_while_the_client_is_still_sending() {
    let sidecar = Builder::embedded().start();
    let mut stream = Stream::open(sidecar.http, "t");
    for index in 0..5 {
        stream.send(&format!("{{\"key\":\"k\",\"value\":{index}}}\n"));
        let line = stream.line();
        assert_eq!(
            (
                line["index"].as_u64(),
                line["outcome"].as_str(),
                line["generation"].as_u64()
            ),
            (Some(index), Some("acked"), Some(1)),
            "{line}"
        );
        assert_eq!(line["offset"], index);
    }
    // A last line needs no line break, and blank ones are nothing.
    stream.send("\n\n{\"key\":\"k\",\"value\":5}");
    stream.finish();
    let (lines, end) = stream.rest();
    assert_eq!(lines[0]["index"], 5);
    assert_eq!(end, json!({"end": "complete", "count": 6}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_comes_while_the_client_is_still_sending_over_http2() {
    let sidecar = Builder::embedded().start();
    let socket = tokio::net::TcpStream::connect(sidecar.http).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
        .await
        .unwrap();
    tokio::spawn(connection);
    let (records, body) = tokio::sync::mpsc::channel::<Bytes>(1);
    let request = Request::post(format!("http://{}/v1/topics/t/stream", sidecar.http))
        .header("content-type", "application/x-ndjson")
        .body(Pieces(body))
        .unwrap();
    let mut answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    for index in 0..3 {
        records
            .send(Bytes::from(format!("{{\"value\":{index}}}\n")))
            .await
            .unwrap();
        let piece = answer.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
        let line: Value = serde_json::from_slice(&piece).unwrap();
        assert_eq!(
            (line["index"].as_u64(), line["outcome"].as_str()),
            (Some(index), Some("acked"))
        );
    }
    drop(records);
    let rest = answer.body_mut().collect().await.unwrap().to_bytes();
    assert_eq!(
        serde_json::from_slice::<Value>(&rest).unwrap(),
        json!({"end": "complete", "count": 3})
    );
}

/// A body that is what a channel gives.
struct Pieces(tokio::sync::mpsc::Receiver<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0
            .poll_recv(context)
            .map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

#[test]
fn the_records_of_a_stream_keep_their_order_far_beyond_its_window() {
    let sidecar = Builder::embedded().route("*", "key-hash", "").start();
    let count = 20_000;
    let mut stream = Stream::open(sidecar.http, "t");
    let mut writer = stream.writer();
    let told = std::thread::scope(|scope| {
        scope.spawn(move || {
            for piece in (0..count).collect::<Vec<u64>>().chunks(37) {
                let lines: String = piece
                    .iter()
                    .map(|number| format!("{{\"key\":\"{}\",\"value\":{number}}}\n", number % 11))
                    .collect();
                // Cut where no line ends.
                let (first, second) = lines.split_at(lines.len() / 2);
                writer.send(first);
                writer.send(second);
            }
            writer.finish();
        });
        let (lines, end) = stream.rest();
        assert_eq!(end, json!({"end": "complete", "count": count}));
        lines
    });
    for (index, line) in told.iter().enumerate() {
        assert_eq!(
            (line["index"].as_u64(), line["outcome"].as_str()),
            (Some(index as u64), Some("acked")),
            "{line}"
        );
    }
    let mut last = [None; 4];
    for record in read(sidecar.embedded.as_deref().unwrap(), "t", count as usize) {
        let number: u64 = record.text().parse().unwrap();
        let before = last[record.partition as usize].replace(number);
        assert!(before < Some(number), "{number} stands after {before:?}");
    }
}

#[test]
fn a_line_that_cannot_be_read_is_refused_by_itself() {
    let sidecar = Builder::embedded().start();
    let mut stream = Stream::open(sidecar.http, "t");
    stream.send("{\"value\":1}\nno JSON\n{\"valeu\":1}\n{\"value\":2,\"partition\":9}\n{\"value\":3}\n");
    stream.finish();
    let (lines, end) = stream.rest();
    let outcomes: Vec<&str> = lines.iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["acked", "rejected", "rejected", "rejected", "acked"]);
    assert_eq!(lines[2]["error"]["code"], "malformed_record");
    assert_eq!(
        (end["end"].as_str(), end["count"].as_u64()),
        (Some("complete"), Some(5))
    );
}

#[test]
fn a_client_that_does_not_read_is_not_read_either_and_is_told_at_the_end() {
    let sidecar = Builder::embedded().start();
    let mut stream = Stream::open(sidecar.http, "t");
    let lines = "{\"value\":1}\n".repeat(500);
    // Far more than the window and the buffers of two sockets hold.
    let mut sent = 0;
    while stream.try_send(&lines, Duration::from_secs(2)) {
        sent += 500;
        assert!(sent < 10_000_000, "nothing holds it up");
    }
    let buffered = sidecar.metric("pointsman_buffered_bytes");
    assert!(
        buffered < 4e6,
        "{buffered} bytes are held for a client that does not read"
    );
    eventually("others are served", || {
        sidecar.tcp().json("/v1/topics/t/records", r#"{"value":1}"#).status == 200
    });
    eventually("it was given up", || sidecar.metric("pointsman_streams") == 0.0);
    let (told, end) = stream.rest();
    assert_eq!(
        (end["end"].as_str(), end["count"].as_u64()),
        (Some("client_not_reading"), Some(told.len() as u64))
    );
    assert!(told.iter().all(|line| line["outcome"] == "acked"));
}

#[test]
fn a_drain_ends_a_stream_with_the_outcomes_of_all_that_was_taken() {
    let mut sidecar = Builder::embedded().start();
    let mut stream = Stream::open(sidecar.http, "t");
    stream.send("{\"value\":1}\n{\"value\":2}\n");
    assert_eq!(stream.line()["outcome"], "acked");
    sidecar.terminate();
    let (lines, end) = stream.rest();
    assert_eq!((lines.len(), end), (1, json!({"end": "drain", "count": 2})));
    assert_eq!(sidecar.ended().code(), Some(0), "{}", sidecar.log_text());
}

#[test]
fn a_stream_on_which_nothing_comes_does_not_stay_for_ever() {
    let sidecar = Builder::embedded().config("[limits]\nidle_timeout_ms = 300").start();
    let mut stream = Stream::open(sidecar.http, "t");
    stream.send("{\"value\":1}\n{\"val");
    let (lines, end) = stream.rest();
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (end["end"].as_str(), end["error"]["code"].as_str()),
        (Some("error"), Some("stream_idle")),
        "{end}"
    );
}

#[test]
fn what_was_taken_of_a_stream_is_sent_although_the_client_goes_away() {
    let sidecar = Builder::embedded().start();
    let mut stream = Stream::open(sidecar.http, "t");
    stream.send(&"{\"key\":\"k\",\"value\":1}\n".repeat(100));
    assert_eq!(stream.line()["outcome"], "acked");
    drop(stream);
    assert_eq!(read(sidecar.embedded.as_deref().unwrap(), "t", 100).len(), 100);
    eventually("nothing is left of it", || {
        sidecar.metric("pointsman_streams") == 0.0 && sidecar.metric("pointsman_buffered_bytes") == 0.0
    });
}

#[test]
fn what_is_no_stream_is_refused_before_it_begins() {
    let sidecar = Builder::embedded().config("[[route]]\ntopics = [\"t\"]").start();
    let post = |path: &str, kind: &str, more: &[(&str, &str)]| {
        let headers = [&[("content-type", kind)], more].concat();
        let reply = sidecar.tcp().post(path, &headers, b"{\"value\":1}\n");
        (reply.status, reply.problem())
    };
    let ndjson = "application/x-ndjson";
    for (path, kind, expected) in [
        (
            "/v1/topics/t/stream",
            "application/json",
            (415, "unsupported_content_type"),
        ),
        ("/v1/topics/t/stream?ack=none", ndjson, (400, "bad_query")),
        ("/v1/topics/other/stream", ndjson, (404, "no_route")),
        ("/v1/topics/a%20b/stream", ndjson, (400, "invalid_topic")),
    ] {
        let (status, code) = post(path, kind, &[]);
        assert_eq!((status, &*code), expected, "{path} {kind}");
    }
    let numbered = post(
        "/v1/topics/t/stream",
        ndjson,
        &[("pointsman-client", "c"), ("pointsman-sequence", "1")],
    );
    assert_eq!(numbered, (400, "bad_header".to_owned()));
    let mut http = sidecar.tcp();
    assert_eq!(http.get("/v1/topics/t/stream").status, 405);
}

#[test]
fn a_small_limit_on_the_records_of_a_request_takes_no_record_from_a_stream() {
    for max_records in [1, 2, 499] {
        let sidecar = Builder::embedded()
            .config(&format!("[limits]\nmax_records = {max_records}"))
            .start();
        let mut stream = Stream::open(sidecar.http, "t");
        let lines: String = (0..1_200).map(|number| format!("{{\"value\":{number}}}\n\n")).collect();
        stream.send(&lines);
        stream.finish();
        for index in 0..1_200 {
            let line = stream.line();
            assert_eq!(
                (&line["index"], &line["outcome"]),
                (&index.into(), &"acked".into()),
                "{line}"
            );
        }
        let end = stream.line();
        assert_eq!(
            (&end["count"], &end["end"]),
            (&1_200.into(), &"complete".into()),
            "{end}"
        );
    }
}

async fn http2(sidecar: &Sidecar) -> SendRequest<Bytes> {
    let socket = tokio::net::TcpStream::connect(sidecar.http).await.unwrap();
    let (sender, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// What a stream of so many records is told that come one a frame.
async fn one_a_frame(mut sender: SendRequest<Bytes>, count: usize) -> (Vec<Value>, Value) {
    let request = Request::post("http://x/v1/topics/t/stream")
        .header("content-type", "application/x-ndjson")
        .body(())
        .unwrap();
    let (answer, mut records) = sender.send_request(request, false).unwrap();
    let sending = async {
        for number in 0..count {
            let line = Bytes::from(format!("{{\"value\":{number}}}\n"));
            // Where it takes no more, the answer says why.
            if send(&mut records, line, number + 1 == count).await.is_none() {
                break;
            }
            // One more frame goes out before the next is there.
            tokio::task::yield_now().await;
        }
    };
    let ((), answer) = tokio::join!(sending, whole(answer));
    let (status, lines) = answer.unwrap_or_else(|(error, told)| panic!("{error} after {} bytes", told.len()));
    assert_eq!(status, 200);
    let lines = String::from_utf8(lines).unwrap();
    let mut lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let end = lines.pop().unwrap();
    (lines, end)
}

fn check(count: usize, (told, end): &(Vec<Value>, Value)) {
    assert_eq!(*end, json!({"end": "complete", "count": count}));
    for (index, line) in told.iter().enumerate() {
        assert_eq!(
            (&line["index"], &line["outcome"]),
            (&index.into(), &"acked".into()),
            "{line}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_come_one_a_frame_are_all_taken() {
    let sidecar = Builder::embedded().start();
    let count = 30_000;
    check(count, &one_a_frame(http2(&sidecar).await, count).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_a_byte_a_frame_is_taken_whatever_it_waits_for() {
    let sidecar = Builder::embedded().start();
    let mut sender = http2(&sidecar).await;
    // Of a topic that has to be looked up first.
    for topic in ["t", "u", "v"] {
        let request = Request::post(format!("http://x/v1/topics/{topic}/records"))
            .header("content-type", "application/octet-stream")
            .body(())
            .unwrap();
        sender = sender.ready().await.unwrap();
        let (answer, mut body) = sender.send_request(request, false).unwrap();
        let sending = async {
            for number in 0..5_000 {
                send(&mut body, Bytes::from_static(b"x"), number == 4_999)
                    .await
                    .unwrap();
            }
        };
        let ((), answer) = tokio::join!(sending, whole(answer));
        assert_eq!(answer.unwrap().0, 200);
    }
    let values = read(sidecar.embedded.as_deref().unwrap(), "v", 1);
    assert_eq!(values[0].text(), "x".repeat(5_000));
}

/// A broker that can stand still, and go on.
fn broker() -> MockCluster<'static, DefaultProducerContext> {
    let broker = MockCluster::new(1).unwrap();
    broker.create_topic("t", 4, 1).unwrap();
    broker
}

fn stands_still(broker: &MockCluster<'_, DefaultProducerContext>, still: bool) {
    let time = if still {
        Duration::from_secs(3_600)
    } else {
        Duration::ZERO
    };
    broker.broker_round_trip_time(1, time).unwrap();
    if !still {
        // What is on its way already keeps its delay; the client asks again on a new connection.
        broker.broker_down(1).unwrap();
        broker.broker_up(1).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stands_still_slows_a_stream_of_small_frames_and_does_not_end_it() {
    let broker = broker();
    let sidecar = Builder::kafka(&broker.bootstrap_servers()).start();
    let warm = sidecar.tcp().json("/v1/topics/t/records", r#"{"value":0}"#);
    assert_eq!(warm.outcomes(), ["acked"]);
    stands_still(&broker, true);
    let queued = || tokio::task::block_in_place(|| sidecar.metric("pointsman_producer_queue_messages"));
    // The window is for so many outcomes that are outstanding.
    let (window, count) = (1_000, 10_000);
    let fits = tokio::spawn(one_a_frame(http2(&sidecar).await, window));
    eventually("all that the window has room for reach the producer", || {
        queued() == window as f64
    });
    let more = tokio::spawn(one_a_frame(http2(&sidecar).await, count));
    // A few lines are taken together, and wait together.
    eventually("so do those of another stream", || queued() > window as f64 * 1.5);
    assert!(!fits.is_finished() && !more.is_finished());
    assert!(queued() <= window as f64 * 2.0, "and no more");
    stands_still(&broker, false);
    check(window, &fits.await.unwrap());
    check(count, &more.await.unwrap());
}
