//! The half of a stream that writes outcomes.

use std::{
    io::Write as _,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{
    end::{End, Form},
    taken::{Taken, TakenRecords},
    window::Window,
};
use crate::{
    admission::Reservation,
    ingest::{
        messages::outcome,
        reply::{self, Outcomes, Told},
    },
    pipeline::Submitted,
};

/// How long a client may read nothing while the window is full.
pub(super) const NOBODY_READS: Duration = Duration::from_secs(30);
/// A piece of the reply is sent when it has grown to this size, in bytes.
const PIECE_BYTES: usize = 16 << 10;

/// Writes outcomes, in pieces that are large enough to send.
pub(super) struct OutcomeWriter {
    form: Form,
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
    pub(super) fn new(form: Form, pieces: mpsc::Sender<Bytes>, window: Arc<Window>) -> Self {
        Self {
            form,
            pieces,
            window,
            next: 0,
            piece: Vec::new(),
            told: 0,
        }
    }

    /// Writes the outcomes of some records. The error is the end of the stream.
    pub(super) async fn tell(&mut self, taken: Taken) -> Result<(), End> {
        let Taken { records, mut room } = taken;
        match records {
            TakenRecords::Batch(mut submitted) => self.tell_batch(&mut submitted, &mut room).await,
            TakenRecords::Numbered(sequence, outcomes) => {
                let outcomes = outcomes.await.map_err(|_| End::lost())??;
                self.tell_all(sequence, outcomes, &mut room).await
            }
        }
    }

    /// Writes the outcomes of one batch, each as soon as it is known.
    async fn tell_batch(&mut self, submitted: &mut Submitted, room: &mut OwnedSemaphorePermit) -> Result<(), End> {
        let batch = Arc::clone(&submitted.batch);
        let generation = batch.generation();
        for index in 0..batch.len() {
            while batch.outcome(index).is_none() {
                // What is known is sent before this task waits.
                self.send(generation, None, &mut submitted.reply, room).await?;
                batch.progress().await;
            }
            if let Some(outcome) = batch.outcome(index) {
                let traced = submitted.trace.as_ref().map(|trace| trace.of(index));
                self.add(
                    generation,
                    &Told {
                        index,
                        outcome,
                        late: false,
                        traced: traced.unwrap_or_default(),
                    },
                );
            }
            if self.piece.len() >= PIECE_BYTES {
                self.send(generation, None, &mut submitted.reply, room).await?;
            }
        }
        self.send(generation, None, &mut submitted.reply, room).await
    }

    /// Writes the outcomes of a numbered request, in one piece.
    async fn tell_all(
        &mut self,
        sequence: u64,
        mut outcomes: Outcomes,
        room: &mut OwnedSemaphorePermit,
    ) -> Result<(), End> {
        let mut held = outcomes.take_held();
        for told in outcomes.all() {
            self.add(outcomes.generation(), &told);
        }
        self.send(outcomes.generation(), Some(sequence), &mut held, room).await
    }

    /// Adds one outcome to the piece.
    fn add(&mut self, generation: u32, told: &Told<'_>) {
        match self.form {
            Form::Messages => outcome::outcome(&mut self.piece, self.next, told),
            Form::Lines => {
                let number = self.next;
                let _ = write!(self.piece, "{{\"index\":{number},\"generation\":{generation},");
                reply::write_outcome(&mut self.piece, told.outcome);
                reply::write_traced(&mut self.piece, told.traced);
                self.piece.extend_from_slice(b"}\n");
            }
        }
        self.next += 1;
    }

    async fn send(
        &mut self,
        generation: u32,
        sequence: Option<u64>,
        reply: &mut Option<Reservation>,
        room: &mut OwnedSemaphorePermit,
    ) -> Result<(), End> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let text = match self.form {
            Form::Lines => std::mem::take(&mut self.piece),
            Form::Messages => {
                let text = outcome::piece(generation, &self.piece, sequence);
                self.piece.clear();
                text
            }
        };
        let held = reply.as_mut().map(|reply| {
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
            Ok(Err(_)) | Err(_) => Err(End::ClientNotReading),
        }
    }
}
