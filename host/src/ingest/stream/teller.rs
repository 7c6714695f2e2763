//! The half of a stream that tells outcomes.

use std::{io::Write as _, time::Duration};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::super::reply;
use crate::pipeline::Submitted;

/// How long nobody may read the answer while the window is full.
const NOBODY_READS: Duration = Duration::from_secs(30);
/// A piece of the answer is sent when it has grown to this.
const PIECE_BYTES: usize = 16 << 10;

/// Nobody reads.
pub(super) struct NotReading;

/// Writes outcomes, in pieces that are worth sending.
pub(super) struct Teller {
    pieces: mpsc::Sender<Bytes>,
    trace: bool,
    /// The next record's number in the stream.
    next: u64,
    piece: Vec<u8>,
    /// Outcomes that are on their way to the client.
    pub(super) told: u64,
}

impl Teller {
    pub(super) fn new(pieces: mpsc::Sender<Bytes>, trace: bool) -> Self {
        Self {
            pieces,
            trace,
            next: 0,
            piece: Vec::new(),
            told: 0,
        }
    }

    /// Tells the outcomes of one batch, each as soon as it is known.
    pub(super) async fn tell(
        &mut self,
        submitted: &Submitted,
        room: &mut OwnedSemaphorePermit,
    ) -> Result<(), NotReading> {
        let batch = &submitted.batch;
        for index in 0..batch.len() {
            while batch.outcome(index).is_none() {
                // What is known is told before anything is waited for.
                self.send(room).await?;
                batch.progress().await;
            }
            if let Some(outcome) = batch.outcome(index) {
                let (number, generation) = (self.next, batch.generation());
                let _ = write!(self.piece, "{{\"index\":{number},\"generation\":{generation},");
                reply::write_outcome(&mut self.piece, outcome);
                if self.trace {
                    reply::write_trace(&mut self.piece, submitted.trace.get(index));
                }
                self.piece.extend_from_slice(b"}\n");
                self.next += 1;
            }
            if self.piece.len() >= PIECE_BYTES {
                self.send(room).await?;
            }
        }
        self.send(room).await
    }

    async fn send(&mut self, room: &mut OwnedSemaphorePermit) -> Result<(), NotReading> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.piece));
        match tokio::time::timeout(NOBODY_READS, self.pieces.send(piece)).await {
            Ok(Ok(())) => {
                let more = self.next - self.told;
                self.told = self.next;
                drop(room.split(usize::try_from(more).unwrap_or(usize::MAX)));
                Ok(())
            }
            Ok(Err(_)) | Err(_) => Err(NotReading),
        }
    }
}
