//! One stream: sends records and reads outcomes at the same time.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Instant,
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{Request, body::Frame, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::sync::{Semaphore, mpsc};

use super::{
    plan::{Plan, Socket},
    report::Observed,
    request,
};
use crate::tools::cli::Load;

/// How many pieces of the body may wait between the sender and the connection.
pub(super) const PIECES: usize = 4;

/// A request's body that is sent piece by piece.
pub(crate) struct Body(pub(crate) mpsc::Receiver<Bytes>);

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(context)
            .map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// Sends pieces of `batch` records until the plan ends, and reads all outcomes.
pub(super) async fn drive(
    socket: Box<dyn Socket>,
    options: &Load,
    number: usize,
    made: Vec<Bytes>,
    plan: Plan,
) -> anyhow::Result<Observed> {
    let (mut client, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let connection = tokio::spawn(connection);
    let (pieces, body) = mpsc::channel(PIECES);
    let under_way = Arc::new(UnderWay::new(plan));
    let sending = tokio::spawn(send_pieces(made, options.batch, plan, pieces, Arc::clone(&under_way)));
    let mut request = Request::post(format!(
        "/v1/topics/{}/stream",
        request::topic(options, number % options.topics)
    ))
    .header("host", "load")
    .header("content-type", "application/x-ndjson");
    if let Some(token) = &options.token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut answer = client.send_request(request.body(Body(body))?).await?;
    if answer.status() != 200 {
        let text = answer.into_body().collect().await?.to_bytes();
        bail!("the stream was refused: {}", String::from_utf8_lossy(&text));
    }
    let (mut seen, mut lines) = (Observed::new()?, Vec::new());
    while let Some(frame) = answer.frame().await {
        lines.extend_from_slice(frame?.data_ref().map_or(&[][..], |data| data));
        let Some(end) = lines.iter().rposition(|&byte| byte == b'\n') else {
            continue;
        };
        for line in lines[..end].split(|&byte| byte == b'\n') {
            take(line, &under_way, &mut seen)?;
        }
        lines.drain(..=end);
    }
    // There will be no more outcomes that give the sender room.
    under_way.close();
    sending.await??;
    drop(client);
    connection.await??;
    seen.requests = 1;
    Ok(seen)
}

/// What the sending and the reading half of a stream share.
pub(super) struct UnderWay {
    /// Permits for more pieces.
    room: Semaphore,
    /// For each piece how many outcomes are missing, and when it was due.
    due: Mutex<VecDeque<(usize, Instant)>>,
}

impl UnderWay {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            room: Semaphore::new(plan.in_flight.unwrap_or(Semaphore::MAX_PERMITS)),
            due: Mutex::default(),
        }
    }

    /// One more outcome was told. Returns when its piece was due.
    pub(super) fn told(&self) -> anyhow::Result<Instant> {
        let mut due = self.due.lock().ok().context("no panic")?;
        let Some((left, since)) = due.front_mut() else {
            bail!("the sidecar told more outcomes than there were records");
        };
        *left -= 1;
        let (is_last, since) = (*left == 0, *since);
        if is_last {
            due.pop_front();
            self.room.add_permits(1);
        }
        Ok(since)
    }

    /// There will be no more outcomes.
    pub(super) fn close(&self) {
        self.room.close();
    }
}

/// Sends pieces of `batch` records until the plan ends.
pub(super) async fn send_pieces(
    made: Vec<Bytes>,
    batch: usize,
    plan: Plan,
    pieces: mpsc::Sender<Bytes>,
    under_way: Arc<UnderWay>,
) -> anyhow::Result<()> {
    let mut number = 0;
    loop {
        let planned = plan.due(number).await;
        let ended = "the sidecar ended the stream";
        under_way.room.acquire().await.context(ended)?.forget();
        let room = pieces.reserve().await.context(ended)?;
        let now = planned.unwrap_or_else(Instant::now);
        if now >= plan.end {
            return Ok(());
        }
        if let Ok(mut due) = under_way.due.lock() {
            due.push_back((batch, now));
        }
        room.send(made[number as usize % made.len()].clone());
        number += 1;
    }
}

fn take(line: &[u8], under_way: &UnderWay, seen: &mut Observed) -> anyhow::Result<()> {
    const ACKED: &[u8] = b"\"outcome\":\"acked\"";
    if line.starts_with(b"{\"index\"") {
        let since = under_way.told()?;
        if line.windows(ACKED.len()).any(|window| window == ACKED) {
            seen.records += 1;
            seen.latency(since.elapsed());
        } else {
            seen.other("another outcome");
        }
    } else if !line.windows(10).any(|window| window == b"\"complete\"") {
        seen.other(&format!("stream ended: {}", String::from_utf8_lossy(line)));
    }
    Ok(())
}
