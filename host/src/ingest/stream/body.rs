//! The reply of a stream while it is being made.

use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::ingest::timed::InRequest;

/// The reply of a stream while it is being made.
pub(in crate::ingest) struct Body {
    pub(super) pieces: mpsc::Receiver<Bytes>,
    /// What comes after the last piece, if something does.
    pub(in crate::ingest) trailers: Option<HeaderMap>,
    /// Keeps the connection in a request, and the process alive, until this is dropped.
    pub(super) _in_request: InRequest,
    /// The stream's permits among the requests that may be under way at once, and among the streams.
    pub(super) _permits: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

impl Body {
    /// The next piece; none at the end of the reply.
    pub(in crate::ingest) async fn piece(&mut self) -> Option<Bytes> {
        self.pieces.recv().await
    }

    pub(in crate::ingest) fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.pieces.poll_recv(context)
    }

    /// Whether the reply is complete: no piece will be added.
    pub(in crate::ingest) fn has_ended(&self) -> bool {
        self.pieces.is_closed()
    }
}
