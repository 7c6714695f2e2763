//! Connections over pipes within the process, by a clock that the tests move.

use std::{
    io,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex},
    time::Instant,
};

use super::*;
use crate::{
    config::{Apis, Limits, Listen},
    ingest::{api::Api, grpc::Readiness, serve::Server, workers::Workers},
    pipeline,
    produce::memory::MemoryProducer,
};

/// A socket that remembers the size of the last buffer that it was read into: hyper's buffers are large.
struct Watched {
    socket: DuplexStream,
    buffer: Arc<AtomicUsize>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.buffer.store(buffer.remaining(), Ordering::Relaxed);
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

struct Client {
    socket: DuplexStream,
    buffer: Arc<AtomicUsize>,
    drain: watch::Sender<bool>,
    limits: Limits,
    producer: Arc<MemoryProducer>,
    _workers: Workers,
}

impl Client {
    /// A client whose pipe holds `room` bytes each way.
    fn connect(room: usize) -> Self {
        let (limits, producer) = (Limits::default(), Arc::new(MemoryProducer::default()));
        producer.create_topic("t", 1);
        let pipeline = pipeline::tests::pipeline(&producer, &limits);
        let api = Api::new(
            pipeline,
            limits.clone(),
            (Apis::default(), None),
            (false, Readiness::by(|| true)),
            Duration::from_secs(100),
        );
        let workers = Workers::start().unwrap();
        let server = Arc::new(Server::new(
            Arc::new(api),
            workers.share(),
            limits.clone(),
            &Listen::default(),
        ));
        let ((ours, theirs), (drain, draining), buffer) = (duplex(room), watch::channel(false), Arc::default());
        let watched = Watched {
            socket: theirs,
            buffer: Arc::clone(&buffer),
        };
        let phase = server.http.phase();
        tokio::spawn(async move { server.http.connection(watched, Owner::User(0), phase, draining).await });
        Self {
            socket: ours,
            buffer,
            drain,
            limits,
            producer,
            _workers: workers,
        }
    }

    async fn send(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).await.unwrap();
    }

    /// The body of one reply.
    async fn answer(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(self.socket.read_u8().await.unwrap().into());
        }
        let length = head.split("content-length: ").nth(1).unwrap();
        let mut body = vec![0; length.split("\r\n").next().unwrap().parse().unwrap()];
        self.socket.read_exact(&mut body).await.unwrap();
        String::from_utf8(body).unwrap()
    }

    fn sleeps(&self) -> bool {
        self.buffer.load(Ordering::Relaxed) <= PREFACE.len()
    }

    /// Everything that comes until the connection is closed.
    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        self.socket.read_to_end(&mut rest).await.unwrap();
        String::from_utf8(rest).unwrap()
    }

    /// The values of all produced records.
    fn values(&self) -> Vec<Bytes> {
        let log = self.producer.log();
        log.into_iter().filter_map(|(_, record)| record.value).collect()
    }

    /// Sends nothing for this time.
    async fn wait(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

fn request(value: &str) -> String {
    let length = value.len();
    format!(
        "POST /v1/topics/t/records HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\ncontent-length: {length}\r\n\r\n{value}"
    )
}

const LONG: Duration = Duration::from_millis(2_500);

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_idle_holds_no_buffers_and_goes_on_where_it_was() {
    let mut client = Client::connect(1 << 16);
    client.wait(Duration::from_millis(1)).await;
    assert!(client.sleeps(), "before its first byte");
    for round in 0..3 {
        let request = request(&format!("value {round}"));
        // First a few bytes that say little, then a pause in the middle of the header, then one in the middle of the
        // body.
        let (some, more) = request.split_at(3);
        let (more, rest) = more.split_at(40);
        let (rest, last) = rest.split_at(rest.len() - 2);
        for part in [some, more, rest, last] {
            client.send(part).await;
            client.wait(LONG).await;
            assert!(part == last || !client.sleeps(), "in the middle of request {round}");
        }
        assert!(client.answer().await.contains("\"acked\""));
        client.wait(LONG).await;
        assert!(client.sleeps(), "after request {round}");
    }
    assert_eq!(client.values(), ["value 0", "value 1", "value 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_with_an_answer_that_its_client_has_not_read_keeps_it() {
    let mut client = Client::connect(64);
    let sending = request("value");
    // The pipe is too small for the request as well.
    client.send(&sending).await;
    for _ in 0..4 {
        client.wait(LONG).await;
        assert!(!client.sleeps());
    }
    assert!(client.answer().await.contains("\"acked\""));
    client.wait(LONG).await;
    assert!(client.sleeps());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_idle_is_closed_in_its_time_and_when_the_process_ends() {
    for drain in [false, true] {
        let mut client = Client::connect(1 << 16);
        client.send(&request("value")).await;
        client.answer().await;
        client.wait(LONG).await;
        assert!(client.sleeps());
        let begun = Instant::now();
        if drain {
            client.drain.send_replace(true);
        }
        assert_eq!(client.socket.read(&mut [0]).await.unwrap(), 0, "its end");
        let left = client.limits.idle_timeout() - LONG;
        let expected = if drain { Duration::ZERO } else { left };
        assert!(
            begun.elapsed() <= expected + Duration::from_millis(100),
            "{:?}",
            begun.elapsed()
        );
        assert!(
            begun.elapsed() + Duration::from_millis(100) >= expected,
            "{:?}",
            begun.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_begins_as_http2_does_and_is_not_is_still_answered() {
    let mut client = Client::connect(1 << 16);
    client.send("P").await;
    client.wait(Duration::from_millis(10)).await;
    client.send(&request("value")[1..]).await;
    assert!(client.answer().await.contains("\"acked\""));
}

const STREAM: &str = "POST /v1/topics/t/stream HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\n\
                      transfer-encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

#[tokio::test(start_paused = true)]
async fn what_is_a_part_of_a_body_is_never_taken_for_a_request() {
    // A stream ends early. Its client does not know that yet and goes on, at three moments after the end.
    for after in [Duration::from_millis(10), LONG, Duration::from_secs(40)] {
        let mut client = Client::connect(1 << 16);
        client.send(STREAM).await;
        client.send(&chunk("{\"value\":1}\n")).await;
        client.wait(client.limits.idle_timeout() + after).await;
        assert!(!client.sleeps(), "it is not known where the body ends");
        for more in [chunk(&request("smuggled")), request("smuggled as well")] {
            // The sidecar may already have closed the connection.
            let _ = client.socket.write_all(more.as_bytes()).await;
            client.wait(LONG).await;
        }
        let told = client.rest().await;
        assert!(told.contains("stream_idle") && !told.contains("\"offset\":1"), "{told}");
        assert_eq!(client.values(), ["1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_refused_before_its_end_is_never_taken_for_a_request() {
    let heads = [
        // This body is not read, since its client waits for 100 Continue.
        "POST /v1/topics/t/nothing HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1000\r\n\r\n",
        // This body is read for a limited time only.
        "POST /v1/topics/t/nothing HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
        "POST /v1/topics/t/records HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n",
    ];
    for head in heads {
        let mut client = Client::connect(1 << 16);
        client.send(head).await;
        client.wait(LONG).await;
        // The sidecar may already have closed the connection.
        let _ = client.socket.write_all(request("smuggled").as_bytes()).await;
        client.wait(LONG).await;
        let told = client.rest().await;
        assert!(told.contains("HTTP/1.1 4") && !told.contains("acked"), "{head}: {told}");
        assert_eq!(client.values(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_closed_its_side_still_hears_its_answer() {
    let mut client = Client::connect(1 << 16);
    client.send(&request("value")).await;
    client.socket.shutdown().await.unwrap();
    assert!(client.rest().await.contains("\"acked\""));
}

#[tokio::test(start_paused = true)]
async fn the_beginning_of_a_header_that_came_with_the_request_before_buys_no_time() {
    let mut client = Client::connect(1 << 16);
    client.send(&(request("value") + "POST /v1/topics")).await;
    assert!(client.answer().await.contains("\"acked\""));
    let begun = Instant::now();
    assert_eq!(client.socket.read(&mut [0]).await.unwrap(), 0, "its end");
    let expected = client.limits.header_timeout() + ASLEEP_AFTER;
    assert!(begun.elapsed() <= expected, "{:?}", begun.elapsed());
    assert_eq!(client.values(), ["value"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_reads_is_not_kept_for_ever() {
    let mut client = Client::connect(64);
    client.send(&request("value")).await;
    let begun = Instant::now();
    // The pipe holds the beginning of the reply; the reply's end says that the connection is over.
    client
        .wait(client.limits.write_timeout() - Duration::from_secs(1))
        .await;
    assert!(client.socket.read_u8().await.is_ok(), "it was kept so far");
    client.wait(client.limits.write_timeout() + LONG).await;
    let told = client.rest().await;
    assert!(!told.contains("\"acked\""), "after {:?}: {told}", begun.elapsed());
}
