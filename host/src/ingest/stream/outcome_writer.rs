//! The half of a stream that writes outcomes.

use std::{
    io::Write as _,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{super::reply, window::Window};
use crate::{admission::Reservation, pipeline::Submitted};

/// How long a client may read nothing while the window is full.
pub(super) const NOBODY_READS: Duration = Duration::from_secs(30);
/// A piece of the reply is sent when it has grown to this size, in bytes.
const PIECE_BYTES: usize = 16 << 10;

/// The client does not read the reply.
pub(super) struct NotReading;

/// Writes outcomes, in pieces that are large enough to send.
pub(super) struct OutcomeWriter {
    pieces: mpsc::Sender<Bytes>,
    window: Arc<Window>,
    /// Number of the next record in the stream.
    next: u64,
    piece: Vec<u8>,
    /// Outcomes that were handed to the connection.
    pub(super) told: u64,
}

/// A piece of the reply. It holds its memory and its room in the window until it is written.
struct Piece {
    text: Vec<u8>,
    window: Arc<Window>,
    _held: Option<Reservation>,
    _room: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.window.written.fetch_add(1, Ordering::Relaxed);
    }
}

impl OutcomeWriter {
    pub(super) fn new(pieces: mpsc::Sender<Bytes>, window: Arc<Window>) -> Self {
        Self {
            pieces,
            window,
            next: 0,
            piece: Vec::new(),
            told: 0,
        }
    }

    /// Writes the outcomes of one batch, each as soon as it is known.
    pub(super) async fn tell(
        &mut self,
        submitted: &mut Submitted,
        room: &mut OwnedSemaphorePermit,
    ) -> Result<(), NotReading> {
        let batch = Arc::clone(&submitted.batch);
        for index in 0..batch.len() {
            while batch.outcome(index).is_none() {
                // What is known is sent before this task waits.
                self.send(submitted, room).await?;
                batch.progress().await;
            }
            if let Some(outcome) = batch.outcome(index) {
                let (number, generation) = (self.next, batch.generation());
                let _ = write!(self.piece, "{{\"index\":{number},\"generation\":{generation},");
                reply::write_outcome(&mut self.piece, outcome);
                if let Some(trace) = &submitted.trace {
                    reply::write_traced(&mut self.piece, trace.of(index));
                }
                self.piece.extend_from_slice(b"}\n");
                self.next += 1;
            }
            if self.piece.len() >= PIECE_BYTES {
                self.send(submitted, room).await?;
            }
        }
        self.send(submitted, room).await
    }

    async fn send(&mut self, submitted: &mut Submitted, room: &mut OwnedSemaphorePermit) -> Result<(), NotReading> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let text = std::mem::take(&mut self.piece);
        let held = submitted.reply.as_mut().map(|reply| {
            let mut held = reply.split(text.len());
            held.set(text.capacity());
            held
        });
        let more = self.next - self.told;
        let piece = Bytes::from_owner(Piece {
            text,
            window: Arc::clone(&self.window),
            _held: held,
            _room: room.split(usize::try_from(more).unwrap_or(usize::MAX)),
        });
        match tokio::time::timeout(NOBODY_READS, self.pieces.send(piece)).await {
            Ok(Ok(())) => {
                self.told = self.next;
                Ok(())
            }
            Ok(Err(_)) | Err(_) => Err(NotReading),
        }
    }
}
