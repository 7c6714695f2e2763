//! The same over gRPC: calls of `Produce`, or one of `Stream`, over a connection of HTTP/2.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use anyhow::{Context as _, bail};
use bytes::{Buf as _, Bytes, BytesMut};
use h2::{
    RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use hyper::Request;
use pointsman_proto::v1::{self, outcome::Kind, stream_response};
use prost::Message;
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    plan::{Plan, Socket},
    report::Observed,
    request,
    stream::{PIECES, UnderWay, send_pieces},
};
use crate::tools::cli::{Load, LoadFormat};

/// What the sidecar may send before it is read: more than any answer.
const WINDOW: u32 = 4 << 20;
/// Bytes before a message.
const HEAD: usize = 5;
/// Most calls under way on a connection: as many as the sidecar takes.
const MOST_CALLS: usize = 200;

/// The requests of this connection, as messages with their heads.
pub(super) fn messages(options: &Load, connection: usize) -> Vec<Bytes> {
    request::rounds(options, |round| {
        let records = request::records(options, connection, round).map(|record| v1::Record {
            key: Some(record.key.into()),
            value: Some(record.value.into()),
            headers: Vec::from_iter(record.tenant.map(|tenant| v1::Header {
                name: request::TENANT.to_owned(),
                value: Some(tenant.into()),
            })),
            ..Default::default()
        });
        let (topic, records) = (request::topic(options, connection % options.topics), records.collect());
        // Both kinds of requests have topic and records alike.
        let request = v1::ProduceRequest {
            topic,
            records,
            ..Default::default()
        };
        vec![framed(&request)]
    })
}

fn framed(message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::from(&[0][..]);
    bytes.extend_from_slice(&(message.encoded_len() as u32).to_be_bytes());
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes.freeze()
}

/// Sends the messages in turn until the plan ends.
pub(super) async fn drive(
    socket: Box<dyn Socket>,
    options: &Load,
    made: Vec<Bytes>,
    plan: Plan,
) -> anyhow::Result<Observed> {
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        .handshake(socket)
        .await?;
    let connection = tokio::spawn(connection);
    let seen = match options.format {
        LoadFormat::GrpcStream => stream(sender, options, made, plan).await,
        _ => calls(sender, options, made, plan).await,
    };
    connection.abort();
    seen
}

/// Each of so many callers makes one call after the other.
async fn calls(sender: SendRequest<Bytes>, options: &Load, made: Vec<Bytes>, plan: Plan) -> anyhow::Result<Observed> {
    let (made, next) = (Arc::new(made), Arc::new(AtomicU32::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..plan.in_flight.unwrap_or(1).min(MOST_CALLS) {
        let (sender, options) = (sender.clone(), options.clone());
        let (made, next) = (Arc::clone(&made), Arc::clone(&next));
        callers.spawn(async move {
            let mut seen = Observed::new()?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let planned = plan.due(number).await;
                let due = planned.unwrap_or_else(Instant::now);
                if due >= plan.end {
                    return anyhow::Ok(seen);
                }
                let message = made[number as usize % made.len()].clone();
                let told = call(sender.clone(), &options, message).await?;
                seen.latency(due.elapsed());
                match told {
                    Ok(records) => {
                        seen.requests += 1;
                        seen.records += records;
                    }
                    Err(other) => seen.other(&other),
                }
            }
        });
    }
    let mut all = Observed::new()?;
    while let Some(seen) = callers.join_next().await {
        all.add(&seen??)?;
    }
    Ok(all)
}

/// Makes a call. Returns how many records were acked, or what else the answer was.
async fn call(sender: SendRequest<Bytes>, options: &Load, message: Bytes) -> anyhow::Result<Result<u64, String>> {
    let (answer, mut sending) = begin(sender, options, "Produce").await?;
    send(&mut sending, message, true).await?;
    let answer = answer.await?;
    if let Some(status) = answer.headers().get("grpc-status") {
        return Ok(Err(format!("status {}", status.to_str().unwrap_or_default())));
    }
    let mut body = answer.into_body();
    let mut bytes = BytesMut::new();
    while let Some(piece) = next(&mut body).await? {
        bytes.extend_from_slice(&piece);
    }
    bytes.advance(HEAD.min(bytes.len()));
    let response = v1::ProduceResponse::decode(bytes)?;
    let others = response.outcomes.iter().filter(|outcome| outcome.kind() != Kind::Acked);
    Ok(match others.count() {
        0 => Ok(response.outcomes.len() as u64),
        others => Err(format!("{others} records were not acked")),
    })
}

async fn stream(sender: SendRequest<Bytes>, options: &Load, made: Vec<Bytes>, plan: Plan) -> anyhow::Result<Observed> {
    let (answer, mut sending) = begin(sender, options, "Stream").await?;
    let under_way = Arc::new(UnderWay::new(plan));
    let (pieces, mut body) = mpsc::channel(PIECES);
    let making = tokio::spawn(send_pieces(made, options.batch, plan, pieces, Arc::clone(&under_way)));
    let writing = tokio::spawn(async move {
        while let Some(piece) = body.recv().await {
            send(&mut sending, piece, false).await?;
        }
        send(&mut sending, Bytes::new(), true).await
    });
    let mut answer = answer.await?.into_body();
    let (mut seen, mut bytes) = (Observed::new()?, BytesMut::new());
    while let Some(piece) = next(&mut answer).await? {
        bytes.extend_from_slice(&piece);
        while let Some(message) = message(&mut bytes) {
            take(v1::StreamResponse::decode(message)?, &under_way, &mut seen)?;
        }
    }
    // There will be no more outcomes that give the sender room.
    under_way.close();
    making.await??;
    writing.await??;
    seen.requests = 1;
    Ok(seen)
}

fn take(response: v1::StreamResponse, under_way: &UnderWay, seen: &mut Observed) -> anyhow::Result<()> {
    match response.kind {
        Some(stream_response::Kind::Outcomes(outcomes)) => {
            for outcome in &outcomes.outcomes {
                let since = under_way.told()?;
                match outcome.kind() {
                    Kind::Acked => {
                        seen.records += 1;
                        seen.latency(since.elapsed());
                    }
                    _ => seen.other("another outcome"),
                }
            }
        }
        Some(stream_response::Kind::End(end)) if end.reason() == v1::end::Reason::Complete => {}
        other => seen.other(&format!("stream ended: {other:?}")),
    }
    Ok(())
}

/// Takes the next whole message out of the bytes.
fn message(bytes: &mut BytesMut) -> Option<Bytes> {
    let (&[_, length @ ..], _) = bytes.split_first_chunk::<HEAD>()?;
    let length = u32::from_be_bytes(length) as usize;
    if bytes.len() < HEAD + length {
        return None;
    }
    bytes.advance(HEAD);
    Some(bytes.split_to(length).freeze())
}

async fn begin(
    sender: SendRequest<Bytes>,
    options: &Load,
    method: &str,
) -> anyhow::Result<(ResponseFuture, SendStream<Bytes>)> {
    let mut head = Request::post(format!("http://load/pointsman.v1.IngestService/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(token) = &options.token {
        head = head.header("authorization", format!("Bearer {token}"));
    }
    let mut ready = sender.ready().await.context("the sidecar closed the connection")?;
    Ok(ready.send_request(head.body(())?, false)?)
}

/// Sends bytes as the sidecar gives room for them.
async fn send(sending: &mut SendStream<Bytes>, mut bytes: Bytes, ends: bool) -> anyhow::Result<()> {
    if bytes.is_empty() {
        return Ok(sending.send_data(bytes, ends)?);
    }
    while !bytes.is_empty() {
        sending.reserve_capacity(bytes.len());
        let Some(capacity) = poll_fn(|context| sending.poll_capacity(context)).await else {
            bail!("the sidecar ended the call");
        };
        let piece = bytes.split_to(capacity?.min(bytes.len()));
        sending.send_data(piece, ends && bytes.is_empty())?;
    }
    Ok(())
}

async fn next(body: &mut RecvStream) -> anyhow::Result<Option<Bytes>> {
    let Some(piece) = body.data().await else {
        return Ok(None);
    };
    let piece = piece?;
    body.flow_control().release_capacity(piece.len())?;
    Ok(Some(piece))
}
