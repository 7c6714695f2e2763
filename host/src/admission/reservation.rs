//! What a request holds of the memory.

use std::{sync::Arc, time::Duration};

use super::{
    gate::{Busy, Gate},
    wants::{SMALL, Wants},
};

/// Bytes of a request: of its body, of what reading made of it, of its slots, of its reply. Given back when this is dropped.
#[derive(Debug)]
pub struct Reservation {
    gate: Arc<Gate>,
    max_wait: Duration,
    bytes: usize,
}

impl Reservation {
    pub(super) fn none(gate: &Arc<Gate>, max_wait: Duration) -> Self {
        Self {
            gate: Arc::clone(gate),
            max_wait,
            bytes: 0,
        }
    }

    pub(super) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    pub(super) fn max_wait(&self) -> Duration {
        self.max_wait
    }

    /// How many.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sees to it that as many are held, and waits for them.
    pub async fn grow(&mut self, bytes: usize) -> Result<(), Busy> {
        if bytes > self.bytes {
            let more = bytes - self.bytes;
            let wants = Wants::whole(more, bytes <= SMALL);
            self.gate.take(wants, self.max_wait).await?;
            self.bytes += more;
        }
        Ok(())
    }

    /// Holds exactly as many, where there is room for it now. It has been allocated, and otherwise has to go.
    pub fn settle(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 && !self.gate.take_if_free(more) {
            return false;
        }
        self.gate.give_back_bytes(self.bytes.saturating_sub(bytes));
        self.bytes = bytes;
        true
    }

    /// Holds exactly as many, whether or not there is room: they have been allocated. Who does that has had enough room a moment
    /// ago.
    pub fn set(&mut self, bytes: usize) {
        self.gate.take_anyway(bytes.saturating_sub(self.bytes));
        self.gate.give_back_bytes(self.bytes.saturating_sub(bytes));
        self.bytes = bytes;
    }

    /// These have been taken already.
    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Adds what another one holds.
    pub fn merge(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Some of them, as one of its own.
    pub fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        let mut part = Self::none(&self.gate, self.max_wait);
        part.add(bytes);
        part
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.gate.give_back_bytes(self.bytes);
    }
}
