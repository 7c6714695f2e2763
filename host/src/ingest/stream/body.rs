//! The answer of a stream while it is being made.

use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::ingest::timed::InRequest;

/// The answer of a stream while it is being made.
pub(in crate::ingest) struct Body {
    pub(super) pieces: mpsc::Receiver<Bytes>,
    /// The connection is in a request as long as this is there, and the process too.
    pub(super) _in_request: InRequest,
    /// The request's place among those that the process has at once.
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Body {
    /// The next piece; none at its end.
    pub(in crate::ingest) async fn piece(&mut self) -> Option<Bytes> {
        self.pieces.recv().await
    }

    pub(in crate::ingest) fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.pieces.poll_recv(context)
    }

    /// Whether nothing is added any more.
    pub(in crate::ingest) fn has_ended(&self) -> bool {
        self.pieces.is_closed()
    }
}
