//! The memory of one request.

use std::{sync::Arc, time::Duration};

use super::{
    gate::{Busy, Gate},
    wants::{SMALL, Wants},
};

/// Bytes that a request has reserved: for its body, for what parsing made of it, for its slots, and for its reply. Given back on
/// drop.
#[derive(Debug)]
pub struct Reservation {
    gate: Arc<Gate>,
    /// How long it may wait for room.
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

    /// How many bytes are reserved.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes sure that at least this many bytes are reserved, and waits for them if needed.
    pub async fn grow(&mut self, bytes: usize) -> Result<(), Busy> {
        if bytes > self.bytes {
            let more = bytes - self.bytes;
            let wants = Wants::whole(more, bytes <= SMALL);
            self.gate.take_bytes(wants, self.max_wait).await?;
            self.bytes += more;
        }
        Ok(())
    }

    /// Reserves exactly this many bytes, if there is room now. The bytes are already allocated; if this fails, the caller must
    /// free them.
    pub fn settle(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 && !self.gate.take_if_free(more) {
            return false;
        }
        self.gate.give_back_bytes(self.bytes.saturating_sub(bytes));
        self.bytes = bytes;
        true
    }

    /// Reserves exactly this many bytes, even if there is no room: they are already allocated. The caller must have had enough
    /// room a moment ago.
    pub fn set(&mut self, bytes: usize) {
        self.gate.take_anyway(bytes.saturating_sub(self.bytes));
        self.gate.give_back_bytes(self.bytes.saturating_sub(bytes));
        self.bytes = bytes;
    }

    /// Adds bytes that the caller has already taken from the gate.
    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Adds the bytes of another reservation.
    pub fn merge(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Moves up to this many bytes into a reservation of their own.
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
