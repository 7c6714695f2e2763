//! `POST /v1/topics/{topic}/stream`: records in and outcomes out at the same time, one on each line.
//!
//! Each stream has two tasks. The [reader] cuts the body into whole [lines] and hands their records over, in order, as
//! far as the window has room. The [`outcome_writer`] writes the outcomes in the same order, each as soon as it and all
//! before it are known. An outcome gives back its room in the window when it has been written to the client. So a
//! client that does not read is not read any more. The last line says how the stream ended and how many outcomes were
//! written; no record after those was taken.

pub(super) mod body;
mod lines;
mod outcome_writer;
mod parts;
mod reader;
mod window;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use bytes::Bytes;
use hyper::{
    HeaderMap, Response,
    header::{CONTENT_TYPE, HeaderValue},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::timeout,
};

use self::{
    body::Body,
    outcome_writer::{NOBODY_READS, OutcomeWriter},
    window::{WINDOW, Window},
};
use super::{
    error::IngestError,
    incoming::{Incoming, Source},
    outgoing::Reply,
    parse::Format,
    timed::InRequest,
};
use crate::{
    base::metrics::GaugeGuard,
    config::Limits,
    pipeline::{NotTaken, Pipeline, Submitted},
};

/// Pieces of the reply between the writer and the connection.
const PIECES: usize = 16;

/// Everything that a stream needs.
pub(crate) struct Stream {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) limits: Limits,
    pub(crate) topic: Arc<str>,
    pub(crate) trace: bool,
    /// Becomes true when the process is about to end.
    pub(crate) drain: watch::Receiver<bool>,
}

/// How a stream ended.
#[derive(Debug, Clone)]
enum End {
    /// The client has sent everything.
    Complete,
    /// The process is about to end.
    Drain,
    /// An error, as `code` and `message`.
    Error(&'static str, String),
    /// The client did not read the outcomes.
    ClientNotReading,
}

impl End {
    /// The end of a stream whose next records were not taken.
    fn not_taken(error: &NotTaken) -> Self {
        let code = match error {
            NotTaken::Busy(_) => "busy",
            NotTaken::TenantMoving { .. } => "tenant_moving",
            NotTaken::NoTable(_) => "routing_unavailable",
            NotTaken::Unavailable(_) => "kafka_unavailable",
        };
        Self::Error(code, error.to_string())
    }
}

/// Records that the reader hands to the writer.
struct Taken {
    submitted: Submitted,
    /// Room in the window, given back as outcomes are written.
    room: OwnedSemaphorePermit,
}

impl Stream {
    /// Begins the stream. The head of the reply goes out at once.
    pub(super) fn begin(self, body: Incoming, in_request: InRequest, permit: OwnedSemaphorePermit) -> Response<Reply> {
        let mut response = Response::new(Reply::Stream(Body {
            pieces: self.run(body),
            _in_request: in_request,
            _permit: permit,
        }));
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        response
    }

    /// Starts reading and writing. Returns the pieces of the reply.
    pub(crate) fn run<B: Source>(self, body: B) -> mpsc::Receiver<Bytes> {
        let (pieces, answer) = mpsc::channel(PIECES);
        // Each batch has at least one record, so the window bounds the number of batches.
        let (taken, batches) = mpsc::channel(WINDOW);
        let window = Arc::new(Window {
            room: Arc::new(Semaphore::new(WINDOW)),
            is_full: AtomicBool::new(false),
            written: AtomicU64::new(0),
        });
        let open = GaugeGuard::begin(&self.pipeline.metrics.streams);
        let reading = tokio::spawn(self.read(body, taken, Arc::clone(&window)));
        tokio::spawn(async move {
            write(batches, pieces, reading, window).await;
            drop(open);
        });
        answer
    }
}

async fn write(
    mut batches: mpsc::Receiver<Taken>,
    pieces: mpsc::Sender<Bytes>,
    reading: tokio::task::JoinHandle<End>,
    window: Arc<Window>,
) {
    // The last line gets its place first, so that nothing else can block it.
    let Ok(last) = pieces.clone().reserve_owned().await else {
        return;
    };
    let mut outcome_writer = OutcomeWriter::new(pieces, Arc::clone(&window));
    let mut not_reading = false;
    loop {
        let written = window.written.load(Ordering::Relaxed);
        let next = match timeout(NOBODY_READS, batches.recv()).await {
            Ok(Some(next)) => next,
            Ok(None) => break,
            // All outcomes are written, and the window is full of those that the client has not read.
            Err(_) if window.is_full.load(Ordering::Relaxed) && written == window.written.load(Ordering::Relaxed) => {
                not_reading = true;
                break;
            }
            Err(_) => continue,
        };
        let Taken {
            mut submitted,
            mut room,
        } = next;
        if outcome_writer.tell(&mut submitted, &mut room).await.is_err() {
            not_reading = true;
            break;
        }
    }
    // The reader notices this when it hands over the next batch.
    batches.close();
    let end = match not_reading {
        true => End::ClientNotReading,
        false => reading
            .await
            .unwrap_or_else(|_| End::Error("internal_error", "the stream met a mistake in the sidecar".to_owned())),
    };
    last.send(end.line(outcome_writer.told));
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

/// Only one format can be cut into records while it comes.
pub(super) fn check_format(headers: &HeaderMap) -> Result<(), IngestError> {
    match Format::of(headers)? {
        Format::Ndjson => Ok(()),
        Format::Json | Format::Octet | Format::Packed => Err(IngestError::UnsupportedContentType(
            "a stream takes application/x-ndjson only: one record a line".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
