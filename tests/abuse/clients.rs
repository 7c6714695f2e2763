//! What each kind of client does, over and over until its time is up.
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{self, SendRequest};
use h2::{RecvStream, SendStream};
use hyper::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use crate::support::{http2::send, sidecar::Sidecar};

pub(super) const MIB: usize = 1 << 20;

/// The sidecar that the clients attack, and until when.
#[derive(Clone)]
pub(super) struct Target {
    http: SocketAddr,
    /// The listener of Kafka's protocol.
    pub(super) kafka: Option<SocketAddr>,
    unix: PathBuf,
    until: Instant,
}

impl Target {
    pub(super) fn of(sidecar: &Sidecar, until: Instant) -> Self {
        Self {
            http: sidecar.http,
            kafka: sidecar.kafka,
            unix: sidecar.unix.clone(),
            until,
        }
    }

    /// Runs `count` clients of one kind at once. A client that ends, because it was refused or cut off, begins again.
    pub(super) fn each<F: Future<Output = Option<()>> + Send + 'static>(
        &self,
        count: usize,
        client: impl Fn(Self, usize) -> F,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut clients = JoinSet::new();
            let begin = |clients: &mut JoinSet<usize>, number: usize| {
                let playing = client(self.clone(), number);
                clients.spawn(async move {
                    playing.await;
                    number
                });
            };
            (0..count).for_each(|number| begin(&mut clients, number));
            let playing = async {
                while let Some(ended) = clients.join_next().await {
                    // Spread out, so that this process can keep up.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    begin(&mut clients, ended.unwrap_or(0));
                }
            };
            let _ = tokio::time::timeout_at(self.until.into(), playing).await;
        });
        runtime.shutdown_background();
    }

    pub(super) async fn tcp(&self) -> Option<TcpStream> {
        TcpStream::connect(self.http).await.ok()
    }

    pub(super) async fn http2(&self, window: u32) -> Option<SendRequest<Bytes>> {
        let (sender, connection) = client::Builder::new()
            .initial_window_size(window)
            .handshake(self.tcp().await?)
            .await
            .ok()?;
        tokio::spawn(connection);
        Some(sender)
    }
}

/// Keeps `held` open and does nothing, until the clients are stopped.
pub(super) async fn rest<T>(held: T) -> Option<()> {
    let () = std::future::pending().await;
    drop(held);
    None
}

/// Reads and ignores what comes, until the other side closes.
pub(super) async fn until_closed(socket: &mut TcpStream) -> Option<()> {
    let mut answer = vec![0; 16 << 10];
    while socket.read(&mut answer).await.ok()? > 0 {}
    None
}

fn head(path: &str, kind: &str, length: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\n{length}\r\n\r\n")
}

pub(super) fn sized(path: &str, kind: &str, length: usize) -> String {
    head(path, kind, &format!("content-length: {length}"))
}

const OCTETS: &str = "application/octet-stream";
const NDJSON: &str = "application/x-ndjson";
const CHUNKED: &str = "transfer-encoding: chunked";

pub(super) fn stalled_bodies(target: &Target) {
    target.each(120, |target, _| async move {
        let mut socket = target.tcp().await?;
        let length = 8 * MIB;
        let head = sized("/v1/topics/t/records", OCTETS, length);
        socket.write_all(head.as_bytes()).await.ok()?;
        let piece = vec![b'x'; 64 << 10];
        for _ in 0..length / piece.len() - 1 {
            socket.write_all(&piece).await.ok()?;
        }
        socket.write_all(&piece[1..]).await.ok()?;
        until_closed(&mut socket).await
    });
}

pub(super) fn announced_bodies(target: &Target) {
    target.each(60, |target, number| async move {
        let length = 8 * MIB;
        if number % 2 == 0 {
            let mut socket = target.tcp().await?;
            let head = sized("/v1/topics/t/records", OCTETS, length);
            socket.write_all(head.as_bytes()).await.ok()?;
            return until_closed(&mut socket).await;
        }
        let mut sender = target.http2(65_535).await?;
        let mut held = Vec::new();
        for _ in 0..33 {
            held.push(request(&mut sender, "/v1/topics/t/records", OCTETS, Some(length)).await?);
        }
        rest(held).await
    });
}

pub(super) fn bodies_without_outcomes(target: &Target) {
    let record = format!("{{\"value\":\"{}\"}}\n", "x".repeat(100 << 10));
    let body = record.repeat(MIB / record.len());
    target.each(200, move |target, _| {
        let body = body.clone();
        async move {
            let mut socket = target.tcp().await?;
            let head = sized("/v1/topics/frozen/records", NDJSON, body.len());
            socket.write_all(head.as_bytes()).await.ok()?;
            socket.write_all(body.as_bytes()).await.ok()?;
            until_closed(&mut socket).await
        }
    });
}

/// Sends whole bodies to the topic whose brokers never answer.
fn whole_bodies(target: &Target, count: usize, body: &str) {
    let body = Bytes::copy_from_slice(body.as_bytes());
    target.each(count, move |target, _| {
        let body = body.clone();
        async move {
            let mut socket = target.tcp().await?;
            let head = sized("/v1/topics/frozen/records", NDJSON, body.len());
            socket.write_all(head.as_bytes()).await.ok()?;
            socket.write_all(&body).await.ok()?;
            until_closed(&mut socket).await
        }
    });
}

pub(super) fn tiny_records(target: &Target) {
    whole_bodies(target, 400, &"{}\n".repeat(9_900));
}

pub(super) fn tiny_headers(target: &Target) {
    let headers: Vec<String> = (0..1_000).map(|number| format!("\"{:x}\":\"\"", number % 16)).collect();
    let record = format!("{{\"headers\":{{{}}}}}\n", headers.join(","));
    whole_bodies(target, 200, &record.repeat(100));
}

/// Records of three bytes each that make a long reply.
fn wrong_records() -> String {
    "[]\n".repeat(9_900)
}

pub(super) fn unread_replies(target: &Target) {
    let body = Bytes::from(wrong_records());
    target.each(250, move |target, _| {
        let body = body.clone();
        async move {
            let mut socket = target.tcp().await?;
            loop {
                let head = sized("/v1/topics/t/records", NDJSON, body.len());
                socket.write_all(head.as_bytes()).await.ok()?;
                socket.write_all(&body).await.ok()?;
            }
        }
    });
}

pub(super) fn unread_replies_over_http2(target: &Target) {
    let body = Bytes::from(wrong_records());
    target.each(4, move |target, _| {
        let body = body.clone();
        async move {
            // The client gives the sidecar no window to send anything.
            let mut sender = target.http2(0).await?;
            let mut held = Vec::new();
            for _ in 0..200 {
                let (answer, mut sending) =
                    request(&mut sender, "/v1/topics/t/records", NDJSON, Some(body.len())).await?;
                send(&mut sending, body.clone(), true).await?;
                held.push(tokio::spawn(answer));
            }
            rest((sender, held)).await
        }
    });
}

pub(super) fn many_http2_bodies(target: &Target) {
    target.each(300, |target, _| async move {
        let mut sender = target.http2(65_535).await?;
        let mut held = Vec::new();
        for _ in 0..4 {
            let (answer, mut sending) = request(&mut sender, "/v1/topics/t/records", OCTETS, Some(8 * MIB)).await?;
            held.push((
                tokio::spawn(answer),
                tokio::spawn(async move { send(&mut sending, Bytes::from(vec![b'x'; 4 * MIB]), false).await }),
            ));
        }
        rest((sender, held)).await
    });
}

pub(super) fn many_http2_heads(target: &Target) {
    target.each(100, |target, _| async move {
        let mut sender = target.http2(65_535).await?;
        let mut held = Vec::new();
        for number in 0..200 {
            sender = sender.ready().await.ok()?;
            let mut request = Request::post("http://x/v1/topics/frozen/records").header("content-type", OCTETS);
            for header in 0..10 {
                request = request.header(format!("x-{header}"), format!("{number}{}", "y".repeat(1_400)));
            }
            let (answer, mut sending) = sender.send_request(request.body(()).ok()?, false).ok()?;
            send(&mut sending, Bytes::from_static(b"value"), true).await?;
            held.push(tokio::spawn(answer));
        }
        rest((sender, held)).await
    });
}

pub(super) fn frames_of_a_byte(target: &Target) {
    target.each(30, |target, number| async move {
        let mut sender = target.http2(65_535).await?;
        let topic = if number % 2 == 0 { "t" } else { "frozen" };
        let (answer, mut sending) = request(&mut sender, &format!("/v1/topics/{topic}/stream"), NDJSON, None).await?;
        let reading = tokio::spawn(async move {
            let mut answer: RecvStream = answer.await.ok()?.into_body();
            while let Some(Ok(data)) = answer.data().await {
                answer.flow_control().release_capacity(data.len()).ok()?;
            }
            Some(())
        });
        loop {
            for byte in b"{\"value\":1}\n" {
                send(&mut sending, Bytes::copy_from_slice(&[*byte]), false).await?;
            }
            if reading.is_finished() {
                return None;
            }
        }
    });
}

/// Sends the head of a stream, and the beginning of a line that never ends.
async fn endless_line(target: &Target, length: usize) -> Option<TcpStream> {
    let mut socket = target.tcp().await?;
    socket
        .write_all(head("/v1/topics/t/stream", NDJSON, CHUNKED).as_bytes())
        .await
        .ok()?;
    let piece = "x".repeat(64 << 10);
    for _ in 0..length / piece.len() {
        chunk(&mut socket, &piece).await?;
    }
    Some(socket)
}

async fn chunk(socket: &mut TcpStream, text: &str) -> Option<()> {
    let chunk = format!("{:x}\r\n{text}\r\n", text.len());
    socket.write_all(chunk.as_bytes()).await.ok()
}

pub(super) fn endless_lines(target: &Target) {
    target.each(24, |target, _| async move {
        let mut socket = endless_line(&target, 5 * MIB).await?;
        loop {
            chunk(&mut socket, "x").await?;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
}

pub(super) fn pieces_of_lines(target: &Target) {
    target.each(8, |target, _| async move {
        let mut socket = endless_line(&target, 3 * MIB).await?;
        loop {
            chunk(&mut socket, "xxxxxxxxxx").await?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

pub(super) fn unread_outcomes(target: &Target) {
    let lines = "[]\n".repeat(2_000);
    target.each(300, move |target, _| {
        let lines = lines.clone();
        async move {
            let mut socket = target.tcp().await?;
            let head = head("/v1/topics/t/stream", NDJSON, CHUNKED);
            socket.write_all(head.as_bytes()).await.ok()?;
            loop {
                chunk(&mut socket, &lines).await?;
            }
        }
    });
}

pub(super) fn silent_connections(target: &Target) {
    target.each(1_400, |target, number| async move {
        if number % 7 == 0 {
            let mut socket = UnixStream::connect(&target.unix).await.ok()?;
            let _ = socket.read(&mut [0]).await;
            return None;
        }
        let mut socket = target.tcp().await?;
        until_closed(&mut socket).await
    });
}

type Answer = client::ResponseFuture;

async fn request(
    sender: &mut SendRequest<Bytes>,
    path: &str,
    kind: &str,
    length: Option<usize>,
) -> Option<(Answer, SendStream<Bytes>)> {
    let mut request = Request::post(format!("http://x{path}")).header("content-type", kind);
    if let Some(length) = length {
        request = request.header("content-length", length);
    }
    let mut ready = sender.clone().ready().await.ok()?;
    let sent = ready.send_request(request.body(()).ok()?, false).ok();
    *sender = ready;
    sent
}

/// Sends bodies to the topic of tenants, whose short answers it reads. `body` makes the next one of a client.
fn to_tenants(target: &Target, count: usize, body: fn(&mut fastrand::Rng) -> String) {
    target.each(count, move |target, number| async move {
        let mut random = fastrand::Rng::with_seed(number as u64);
        let mut socket = target.tcp().await?;
        let mut answer = vec![0; 64 << 10];
        loop {
            let body = body(&mut random);
            let head = sized("/v1/topics/tenants/records?ack=none", NDJSON, body.len());
            socket.write_all(head.as_bytes()).await.ok()?;
            socket.write_all(body.as_bytes()).await.ok()?;
            if socket.read(&mut answer).await.ok()? == 0 {
                return None;
            }
        }
    });
}

/// Each record has another tenant, whose name is as long as a name may be.
pub(super) fn endless_tenants(target: &Target) {
    to_tenants(target, 8, |random| {
        let record = |_| {
            let name = format!("{:0>255}", random.u64(..));
            format!("{{\"value\":1,\"headers\":{{\"tenant-id\":\"{name}\"}}}}\n")
        };
        (0..500).map(record).collect()
    });
}

/// The tenant is held, and stays so.
pub(super) fn held_tenants(target: &Target) {
    to_tenants(target, 200, |_| {
        let record = "{\"value\":\"some text\",\"headers\":{\"tenant-id\":\"held\"}}\n";
        record.repeat(4_000)
    });
}
