//! What a body holds of the memory.

use std::{mem, sync::Arc};

use super::gate::Gate;

/// Bytes of a body.
#[derive(Debug)]
pub struct Held {
    gate: Arc<Gate>,
    reading: usize,
    bytes: usize,
}

impl Held {
    pub(super) fn none(gate: &Arc<Gate>) -> Self {
        Self {
            gate: Arc::clone(gate),
            reading: 0,
            bytes: 0,
        }
    }

    pub(super) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// How many.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes these over; they have been taken already.
    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    pub(super) fn add_reading(&mut self, bytes: usize) {
        self.reading += bytes;
    }

    /// Adds what another one holds.
    pub fn merge(&mut self, mut other: Self) {
        self.bytes += mem::take(&mut other.bytes);
        self.reading += mem::take(&mut other.reading);
    }

    /// Some of them, as one of its own.
    pub fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        let mut part = Self::none(&self.gate);
        part.add(bytes);
        part
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gate.release_body(self.bytes, self.reading);
    }
}
