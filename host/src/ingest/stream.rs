//! `POST /v1/topics/{topic}/stream`: records in and outcomes out at the same time, a line each.
//!
//! Two tasks for each stream. The reader cuts the body into whole lines and hands their records over, in order, as far as the
//! window has room; the writer tells the outcomes, in the order sent, each as soon as it and all before it are known. Room in
//! the window is given back when an outcome is on its way to the client, so a client that does not read stops being read.
//! The last line says how it ended and how many outcomes were told; records after those were not taken.

mod teller;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap, Response,
    body::{Frame, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
};
use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use self::teller::Teller;
use super::{
    parse::{self, Format},
    problem::Problem,
    timed::InRequest,
};
use crate::{
    admission::{Held, Queued},
    batch::Answer,
    config::Limits,
    pipeline::{Decided, NotTaken, Pipeline, Submitted},
};

/// Outcomes that may be outstanding, or told and not yet taken by the connection.
const WINDOW: usize = 1_000;
/// Pieces of the answer between the writer and the connection.
const PIECES: usize = 16;
/// Requests between the reader and the writer; the window bounds their records.
const BATCHES: usize = 64;
/// How long what still comes is read, and forgotten, after a stream's end.
const LINGER: Duration = Duration::from_secs(30);
const LINGER_AT_DRAIN: Duration = Duration::from_secs(1);
/// A record as JSON takes at most so many times its bytes (base64, escapes), and this much for names and marks.
const LINE_FACTOR: usize = 6;
const LINE_OVERHEAD: usize = 64 << 10;
/// Between two tries for room where many wait for one partition.
const CROWDED_PAUSE: Duration = Duration::from_millis(50);

/// The answer of a stream while it is being made.
pub(super) struct Body {
    pieces: mpsc::Receiver<Bytes>,
    /// The connection is in a request as long as this is there.
    _in_request: InRequest,
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.pieces
            .poll_recv(context)
            .map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// Where a stream's records come from.
pub(crate) trait Source:
    hyper::body::Body<Data = Bytes, Error: std::fmt::Display + Send> + Send + Unpin + 'static
{
}

impl<B: hyper::body::Body<Data = Bytes, Error: std::fmt::Display + Send> + Send + Unpin + 'static> Source for B {}

/// Everything that a stream needs.
pub(crate) struct Stream {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) limits: Limits,
    pub(crate) topic: Arc<str>,
    pub(crate) trace: bool,
    /// True once the process is about to end.
    pub(crate) drain: watch::Receiver<bool>,
}

/// Counts a stream until it is dropped.
struct Open(IntGauge);

impl Open {
    fn new(streams: &IntGauge) -> Self {
        streams.inc();
        Self(streams.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// How a stream ended.
#[derive(Debug, Clone)]
enum End {
    /// The client has sent all.
    Complete,
    /// The process is about to end.
    Drain,
    /// What `code` and `message` say.
    Error(&'static str, String),
    /// Nobody read the outcomes.
    ClientNotReading,
}

/// What the reader hands to the writer.
struct Taken {
    submitted: Submitted,
    /// Room in the window, given back as outcomes are told.
    room: OwnedSemaphorePermit,
}

impl Stream {
    /// Begins it. The answer's header goes out at once.
    pub(super) fn begin(self, body: Incoming, in_request: InRequest) -> Response<Body> {
        let mut response = Response::new(Body {
            pieces: self.run(body),
            _in_request: in_request,
        });
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        response
    }

    /// Takes what comes, and tells the outcomes in pieces.
    pub(crate) fn run<B: Source>(self, body: B) -> mpsc::Receiver<Bytes> {
        let (pieces, answer) = mpsc::channel(PIECES);
        let (taken, batches) = mpsc::channel(BATCHES);
        let trace = self.trace;
        let open = Open::new(&self.pipeline.metrics.streams);
        let reading = tokio::spawn(self.read(body, taken));
        tokio::spawn(async move {
            write(batches, pieces, trace, reading).await;
            drop(open);
        });
        answer
    }

    async fn read<B: Source>(mut self, mut body: B, taken: mpsc::Sender<Taken>) -> End {
        let end = self.read_on(&mut body, taken).await;
        let linger = match &end {
            End::Complete => Duration::ZERO,
            End::Drain => LINGER_AT_DRAIN,
            End::Error(..) | End::ClientNotReading => LINGER,
        };
        // Closing with unread bytes would reset the connection, and the client might never see the last line.
        tokio::spawn(tokio::time::timeout(linger, async move {
            while let Some(Ok(_)) = body.frame().await {}
        }));
        end
    }

    async fn read_on<B: Source>(&mut self, body: &mut B, taken: mpsc::Sender<Taken>) -> End {
        let window = Arc::new(Semaphore::new(WINDOW));
        let longest_line = self.pipeline.max_record_bytes * LINE_FACTOR + LINE_OVERHEAD;
        let mut lines = BytesMut::new();
        // What `lines` takes of the process's bounds.
        let mut held = None;
        loop {
            let frame = tokio::select! {
                biased;
                // Nobody is left to be told.
                () = taken.closed() => return End::ClientNotReading,
                _ = self.drain.wait_for(|drain| *drain) => return End::Drain,
                frame = tokio::time::timeout(self.limits.idle_timeout(), body.frame()) => frame,
            };
            let is_last = match frame {
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        if let Err(end) = self.hold(data.len(), &mut held).await {
                            return end;
                        }
                        lines.extend_from_slice(&data);
                    }
                    false
                }
                Ok(Some(Err(error))) => return End::Error("incomplete_body", format!("the body broke off: {error}")),
                Ok(None) => true,
                Err(_) => {
                    let idle = self.limits.idle_timeout_ms;
                    return End::Error(
                        "stream_idle",
                        format!("nothing came for {idle} ms (limits.idle_timeout_ms)"),
                    );
                }
            };
            let whole = match (is_last, lines.iter().rposition(|&byte| byte == b'\n')) {
                (true, _) => lines.split().freeze(),
                (false, Some(end)) => lines.split_to(end + 1).freeze(),
                (false, None) if lines.len() > longest_line => {
                    let message =
                        format!("a line is over {longest_line} bytes, which no record of message.max.bytes is");
                    return End::Error("body_too_large", message);
                }
                (false, None) => continue,
            };
            if let Err(end) = self.take(&whole, &mut held, &window, &taken).await {
                return end;
            }
            if is_last {
                return End::Complete;
            }
        }
    }

    /// Hands over the records of whole lines, a window's worth at a time.
    async fn take(
        &mut self,
        lines: &Bytes,
        held: &mut Option<Held>,
        window: &Arc<Semaphore>,
        taken: &mpsc::Sender<Taken>,
    ) -> Result<(), End> {
        let pipeline = Arc::clone(&self.pipeline);
        for part in parts(lines, self.limits.max_records) {
            let mut body = held.as_mut().map(|held| held.split(part.len()));
            let limits = self.limits.clone();
            let context = parse::Context {
                topic: Some(Arc::clone(&self.topic)),
                limits: &limits,
            };
            let records = parse::lines(&part, &context);
            if records.is_empty() {
                continue;
            }
            let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
            let room = tokio::select! {
                biased;
                () = taken.closed() => return Err(End::ClientNotReading),
                // The semaphore is never closed, and a part has no more records than the window.
                room = Arc::clone(window).acquire_many_owned(count) => room.map_err(|_| End::ClientNotReading)?,
            };
            let decided = match pipeline.decide(records, self.trace).await {
                Ok(decided) => decided,
                Err(NotTaken::Unavailable(reason)) => return Err(End::Error("kafka_unavailable", reason)),
                Err(NotTaken::Busy(busy)) => return Err(End::Error("busy", busy.to_string())),
            };
            let place = self.make_room(&pipeline, &decided, &mut body).await?;
            let submitted = pipeline.hand_over(decided, place, Answer::Streamed).await;
            if taken.send(Taken { submitted, room }).await.is_err() {
                return Err(End::ClientNotReading);
            }
        }
        Ok(())
    }

    /// A stream has flow control where a request is told to come back, so it waits for as long as it takes; unless so many wait
    /// for one partition that their bodies must not take more of the memory.
    async fn make_room(
        &self,
        pipeline: &Pipeline,
        decided: &Decided<'_>,
        body: &mut Option<Held>,
    ) -> Result<Queued, End> {
        let begun = Instant::now();
        loop {
            match pipeline.make_room(decided, body).await {
                Ok(room) => return Ok(room),
                Err(_) if *self.drain.borrow() => return Err(End::Drain),
                Err(NotTaken::Busy(busy)) if busy.waited.is_zero() => {
                    if begun.elapsed() >= self.limits.max_wait() {
                        return Err(End::Error("busy", busy.to_string()));
                    }
                    tokio::time::sleep(CROWDED_PAUSE).await;
                }
                Err(NotTaken::Busy(_)) => {}
                Err(NotTaken::Unavailable(reason)) => return Err(End::Error("kafka_unavailable", reason)),
            }
        }
    }

    /// Takes room for what has come. A stream has flow control where a request is told to come back, so it waits for as long
    /// as it takes, unless it holds a half line meanwhile: many of those could wait for one another.
    async fn hold(&mut self, bytes: usize, held: &mut Option<Held>) -> Result<(), End> {
        loop {
            match self.pipeline.admission.body(Some(bytes)).await {
                Ok(room) => {
                    match (held.as_mut(), room.whole()) {
                        (Some(held), more) => held.merge(more),
                        (None, more) => *held = Some(more),
                    }
                    return Ok(());
                }
                Err(_) if *self.drain.borrow() => return Err(End::Drain),
                Err(busy) if held.as_ref().is_some_and(|held| held.bytes() > 0) => {
                    return Err(End::Error("busy", busy.to_string()));
                }
                Err(_) => {}
            }
        }
    }
}

/// Whole lines, in parts of no more records than the window has room for, and a request may have.
fn parts(lines: &Bytes, max_records: usize) -> impl Iterator<Item = Bytes> {
    let most = max_records.min(WINDOW / 2);
    let mut rest = lines.clone();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let ends = rest.iter().enumerate().filter(|&(_, &byte)| byte == b'\n');
        let end = ends.map(|(at, _)| at + 1).nth(most - 1).unwrap_or(rest.len());
        Some(rest.split_to(end))
    })
}

async fn write(
    mut batches: mpsc::Receiver<Taken>,
    pieces: mpsc::Sender<Bytes>,
    trace: bool,
    reading: tokio::task::JoinHandle<End>,
) {
    // The last line has its place from the beginning, so that it can be said whatever else waits.
    let Ok(last) = pieces.clone().reserve_owned().await else {
        return;
    };
    let mut teller = Teller::new(pieces, trace);
    let mut not_reading = false;
    while let Some(Taken { submitted, mut room }) = batches.recv().await {
        if teller.tell(&submitted, &mut room).await.is_err() {
            not_reading = true;
            break;
        }
    }
    // The reader notices when it would hand over the next.
    batches.close();
    let end = match not_reading {
        true => End::ClientNotReading,
        false => reading
            .await
            .unwrap_or_else(|_| End::Error("internal_error", "the stream met a mistake in the sidecar".to_owned())),
    };
    last.send(end.line(teller.told));
}

impl End {
    fn line(&self, told: u64) -> Bytes {
        let (end, error) = match self {
            Self::Complete => ("complete", None),
            Self::Drain => ("drain", None),
            Self::ClientNotReading => ("client_not_reading", None),
            Self::Error(code, message) => ("error", Some(serde_json::json!({"code": code, "message": message}))),
        };
        let mut line = serde_json::json!({"end": end, "count": told});
        if let Some(error) = error {
            line["error"] = error;
        }
        Bytes::from(format!("{line}\n"))
    }
}

/// Only one form can be cut into records while it comes.
pub(super) fn check_format(headers: &HeaderMap) -> Result<(), Problem> {
    match Format::of(headers)? {
        Format::Ndjson => Ok(()),
        Format::Json | Format::Octet | Format::Packed => Err(Problem::new(
            hyper::StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_content_type",
            "a stream takes application/x-ndjson only: one record a line",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_has_more_records_than_window_and_limit_allow_and_no_line_is_cut() {
        let lines: String = (0..WINDOW * 2 + 7).map(|number| format!("{number}\n")).collect();
        let lines = Bytes::from(lines + "last");
        for max_records in [1, 2, 499, 10_000] {
            let parts: Vec<Bytes> = parts(&lines, max_records).collect();
            assert_eq!(parts.concat(), lines);
            for (index, part) in parts.iter().enumerate() {
                assert!(part.iter().filter(|&&byte| byte == b'\n').count() <= max_records.min(WINDOW / 2));
                assert!(part.ends_with(b"\n") || index == parts.len() - 1);
            }
        }
    }

    #[test]
    fn the_last_line_says_how_it_ended() {
        let line = |end: End| String::from_utf8(end.line(3).to_vec()).expect("text");
        assert_eq!(line(End::Complete), "{\"count\":3,\"end\":\"complete\"}\n");
        let error = line(End::Error("busy", "full".to_owned()));
        assert!(
            error.contains("\"end\":\"error\"") && error.contains("\"code\":\"busy\""),
            "{error}"
        );
    }
}
