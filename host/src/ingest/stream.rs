//! Records in and outcomes out at the same time: `POST /v1/topics/{topic}/stream`, a record on each line; and `Stream` of
//! gRPC, several in each message.
//!
//! Each stream has two tasks. The [reader] cuts the body into whole [pieces] and hands their records over, in order, as
//! far as the window has room: [by_lines] or [by_messages]. The [`outcome_writer`] writes the outcomes in the same order, each as soon as it and all
//! before it are known. An outcome gives back its room in the window when it has been written to the client. So a
//! client that does not read is not read any more. The last piece says how the stream ended and how many outcomes were
//! written; no record after those was taken.

pub(super) mod body;
mod by_lines;
mod by_messages;
mod end;
mod framing;
mod outcome_writer;
mod parts;
mod pieces;
mod reader;
mod taken;
mod window;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use bytes::Bytes;
use hyper::{HeaderMap, Response};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

pub(crate) use self::framing::{Framing, Messages};
use self::{
    body::Body,
    end::{End, Form},
    outcome_writer::{NOBODY_READS, OutcomeWriter},
    taken::Taken,
    window::{WINDOW, Window},
};
use super::{
    error::IngestError,
    incoming::{Incoming, Source},
    outgoing::Reply,
    parse::Format,
    timed::InRequest,
};
use crate::{base::metrics::GaugeGuard, config::Limits, pipeline::Pipeline};

/// Pieces of the reply between the writer and the connection.
const PIECES: usize = 16;

/// The places of a stream: among all requests, and among the streams.
pub(crate) type Permits = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// Everything that a stream needs.
pub(crate) struct Stream {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) limits: Limits,
    pub(crate) trace: bool,
    /// Becomes true when the process is about to end.
    pub(crate) drain: watch::Receiver<bool>,
    pub(crate) framing: Framing,
}

impl Stream {
    /// Begins the stream. The head of the reply goes out at once.
    pub(super) fn begin(self, body: Incoming, in_request: InRequest, permits: Permits) -> Response<Reply> {
        let form = Form::of(&self.framing);
        let mut response = Response::new(Reply::Stream(Body {
            pieces: self.run(body),
            trailers: form.trailers(),
            _in_request: in_request,
            _permits: permits,
        }));
        form.dress(response.headers_mut());
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
        let form = Form::of(&self.framing);
        let reading = tokio::spawn(self.read(body, taken, Arc::clone(&window)));
        tokio::spawn(async move {
            write(form, batches, pieces, reading, window).await;
            drop(open);
        });
        answer
    }
}

async fn write(
    form: Form,
    mut batches: mpsc::Receiver<Taken>,
    pieces: mpsc::Sender<Bytes>,
    reading: JoinHandle<End>,
    window: Arc<Window>,
) {
    // The last line gets its place first, so that nothing else can block it.
    let Ok(last) = pieces.clone().reserve_owned().await else {
        return;
    };
    let mut outcome_writer = OutcomeWriter::new(form, pieces, Arc::clone(&window));
    let mut ended = None;
    loop {
        let written = window.written.load(Ordering::Relaxed);
        let next = match timeout(NOBODY_READS, batches.recv()).await {
            Ok(Some(next)) => next,
            Ok(None) => break,
            // All outcomes are written, and the window is full of those that the client has not read.
            Err(_) if window.is_full.load(Ordering::Relaxed) && written == window.written.load(Ordering::Relaxed) => {
                ended = Some(End::ClientNotReading);
                break;
            }
            Err(_) => continue,
        };
        if let Err(end) = outcome_writer.tell(next).await {
            ended = Some(end);
            break;
        }
    }
    // The reader notices this when it hands over the next batch.
    batches.close();
    let end = match ended {
        Some(end) => end,
        None => reading.await.unwrap_or_else(|_| End::lost()),
    };
    last.send(form.end(&end, outcome_writer.told));
}

/// Only one format can be cut into records while it comes.
pub(super) fn check_format(headers: &HeaderMap) -> Result<(), IngestError> {
    match Format::of(headers, true)? {
        Format::Ndjson => Ok(()),
        Format::Json | Format::Octet | Format::Packed | Format::CloudEvents(_) => {
            Err(IngestError::UnsupportedContentType(
                "a stream takes application/x-ndjson only: one record a line".to_owned(),
            ))
        }
    }
}
