//! What reading a body may allocate: three bytes of it can become a record of some hundred.

use std::cell::Cell;

use crate::{
    base::{outcome::REPLY_BYTES_A_RECORD, record::Header},
    pipeline::{DECIDED_BYTES, Parsed},
    produce::batch::SLOT_BYTES,
};

/// What a record takes beside its bytes, from here to its reply: twice in lists that grow, once with its partition, its slot, what
/// is told of it.
pub(crate) const RECORD_BYTES: usize = 2 * size_of::<Parsed>() + DECIDED_BYTES + SLOT_BYTES + REPLY_BYTES_A_RECORD;
/// The allocator gives no less.
const LEAST: usize = 16;
/// So much more than here a header takes in the producer's queue: what is held for a body is always enough for its records there.
const QUEUED: usize = 16;

/// A bound on what is allocated, and what was.
#[derive(Debug, Clone)]
pub struct Memory {
    most: usize,
    used: Cell<usize>,
}

/// There was more to allocate than there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct NoMemory;

impl Memory {
    /// Up to so many bytes.
    pub fn of(most: usize) -> Self {
        Self {
            most,
            used: Cell::new(0),
        }
    }

    /// As many as it takes.
    pub fn unbounded() -> Self {
        Self::of(usize::MAX)
    }

    /// Bytes so far.
    pub fn used(&self) -> usize {
        self.used.get()
    }

    /// Whether it was not enough.
    pub fn is_over(&self) -> bool {
        self.used.get() > self.most
    }

    /// Everything is read again.
    pub(super) fn again(&self) {
        self.used.set(0);
    }

    pub(super) fn take(&self, bytes: usize) -> Result<(), NoMemory> {
        self.used.set(self.used.get().saturating_add(bytes));
        if self.is_over() { Err(NoMemory) } else { Ok(()) }
    }

    /// A record, its bytes not counted.
    pub(super) fn take_record(&self, parsed: &Parsed) -> Result<(), NoMemory> {
        let headers = |headers: &[Header]| -> usize {
            let names = headers.iter().map(|header| header.name.len().max(LEAST) + QUEUED);
            size_of_val(headers) + names.sum::<usize>()
        };
        self.take(match parsed {
            Ok(record) => RECORD_BYTES + headers(&record.headers),
            // Told once more in the reply, where it may need escapes.
            Err(error) => RECORD_BYTES + 3 * error.message.len(),
        })
    }

    /// Bytes that are no part of the body.
    pub(super) fn take_copied(&self, bytes: usize) {
        // Whether it was too much is asked with the record.
        let _ = self.take(bytes);
    }
}
