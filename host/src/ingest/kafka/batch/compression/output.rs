//! The buffer that decompressed bytes go to.

use bytes::Bytes;

use crate::ingest::{kafka::batch::error::BatchError, parse::Memory};

/// Decompressed bytes. They are counted before they are allocated, and never become more than the bound and one byte.
#[derive(Debug)]
pub(super) struct Output<'m> {
    /// All of it is initialised, so that growing is all that ever has to write zeroes.
    bytes: Vec<u8>,
    /// How many of the bytes have been written.
    written: usize,
    /// The bound.
    most: usize,
    /// What the bytes are counted in.
    memory: &'m Memory,
}

impl<'m> Output<'m> {
    /// Takes at most this many bytes.
    pub(super) fn new(most: usize, memory: &'m Memory) -> Self {
        Self {
            bytes: Vec::new(),
            written: 0,
            most,
            memory,
        }
    }

    /// Room for so many bytes after those that have been written. Fewer, but never none, where more would be too large.
    pub(super) fn room(&mut self, wanted: usize) -> Result<&mut [u8], BatchError> {
        // The byte beyond the bound is how a codec that does not know its size shows that it has more.
        let limit = self.most.saturating_add(1);
        if self.written == limit {
            return Err(self.too_large());
        }
        let end = self.written.saturating_add(wanted).min(limit);
        let here = self.bytes.len();
        if end > here {
            self.grow(end.max(here.saturating_mul(2)).min(limit))?;
        }
        Ok(&mut self.bytes[self.written..end])
    }

    /// So many bytes have been written to the room.
    pub(super) fn advance(&mut self, written: usize) {
        self.written += written;
    }

    /// The room that is written already, and room for so many bytes after it, as [`Output::room`].
    pub(super) fn split(&mut self, wanted: usize) -> Result<(&[u8], &mut [u8]), BatchError> {
        let room = self.room(wanted)?.len();
        let (before, after) = self.bytes.split_at_mut(self.written);
        Ok((before, &mut after[..room]))
    }

    /// There is more than the bound.
    #[cold]
    pub(super) fn too_large(&self) -> BatchError {
        BatchError::TooLarge { most: self.most }
    }

    /// What has been written.
    pub(super) fn finish(mut self) -> Result<Bytes, BatchError> {
        if self.written > self.most {
            return Err(self.too_large());
        }
        let spare = self.bytes.len() - self.written;
        self.bytes.truncate(self.written);
        self.bytes.shrink_to_fit();
        self.memory.give_back(spare);
        Ok(self.bytes.into())
    }

    /// Makes the buffer this large.
    fn grow(&mut self, to: usize) -> Result<(), BatchError> {
        let here = self.bytes.len();
        if self.written == 0 {
            // Nothing has to be copied.
            self.bytes = Vec::new();
            self.memory.give_back(here);
            self.memory.take(to)?;
            self.bytes = vec![0; to];
        } else {
            // Until the old bytes have been copied, both are there.
            self.memory.take(to)?;
            self.bytes.reserve_exact(to - here);
            self.bytes.resize(to, 0);
            self.memory.give_back(here);
        }
        Ok(())
    }
}
