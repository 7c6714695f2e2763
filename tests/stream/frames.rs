//! A stream over HTTP/2, where a record may come in a frame of its own, or in many.

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
};

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

/// A body whose pieces come from a channel.
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

async fn http2(sidecar: &Sidecar) -> SendRequest<Bytes> {
    let socket = tokio::net::TcpStream::connect(sidecar.http).await.unwrap();
    let (sender, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Sends a stream of `count` records, one in each frame. Returns all lines of the answer, and the last one by itself.
async fn one_a_frame(mut sender: SendRequest<Bytes>, count: usize) -> (Vec<Value>, Value) {
    let request = Request::post("http://x/v1/topics/t/stream")
        .header("content-type", "application/x-ndjson")
        .body(())
        .unwrap();
    let (answer, mut records) = sender.send_request(request, false).unwrap();
    let sending = async {
        for number in 0..count {
            let line = Bytes::from(format!("{{\"value\":{number}}}\n"));
            // Where the sidecar takes no more, the answer says why.
            if send(&mut records, line, number + 1 == count).await.is_none() {
                break;
            }
            // So that this frame is sent before the next one is there.
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
    // Each topic has to be looked up first.
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

/// A broker that can be stopped, and go on.
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
        // Requests on their way keep their delay, so the connection is cut; the client asks again on a new one.
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
    // The window is this many outstanding outcomes.
    let (window, count) = (1_000, 10_000);
    let fits = tokio::spawn(one_a_frame(http2(&sidecar).await, window));
    eventually("all that the window has room for reach the producer", || {
        queued() == window as f64
    });
    let more = tokio::spawn(one_a_frame(http2(&sidecar).await, count));
    // Lines are taken a few at a time, so a few more may wait.
    eventually("so do those of another stream", || queued() > window as f64 * 1.5);
    assert!(!fits.is_finished() && !more.is_finished());
    assert!(queued() <= window as f64 * 2.0, "and no more");
    stands_still(&broker, false);
    check(window, &fits.await.unwrap());
    check(count, &more.await.unwrap());
}
