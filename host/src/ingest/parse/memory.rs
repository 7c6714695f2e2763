//! A bound on what reading a body allocates: three bytes of a body can become a record of several hundred.

use std::cell::Cell;

use crate::{
    base::{outcome::REPLY_BYTES_A_RECORD, record::Header},
    pipeline::{DECIDED_BYTES, Parsed},
    produce::batch::SLOT_BYTES,
};

/// Memory of a record beside its bytes, until its reply: twice in lists that grow, once with its partition, then its
/// slot and its part of the reply.
pub(crate) const RECORD_BYTES: usize = 2 * size_of::<Parsed>() + DECIDED_BYTES + SLOT_BYTES + REPLY_BYTES_A_RECORD;
/// The smallest piece that the allocator gives.
const LEAST: usize = 16;
/// Bytes that a header takes more in the producer's queue than here. With them, the memory of a body is always enough
/// for its records in the queue.
const QUEUED: usize = 16;

/// What a header takes whose name has this many bytes, without its value.
fn header_bytes(name: usize) -> usize {
    size_of::<Header>() + name.max(LEAST) + QUEUED
}

/// How much may be allocated, and how much has been.
#[derive(Debug, Clone)]
pub struct Memory {
    most: usize,
    used: Cell<usize>,
}

/// More memory is needed than may be allocated.
#[derive(Debug, Clone, Copy)]
pub(in crate::ingest) struct NoMemory;

impl Memory {
    /// Allows this many bytes.
    pub fn of(most: usize) -> Self {
        Self {
            most,
            used: Cell::new(0),
        }
    }

    /// Allows any number of bytes.
    pub fn unbounded() -> Self {
        Self::of(usize::MAX)
    }

    /// Bytes that have been counted so far.
    pub fn used(&self) -> usize {
        self.used.get()
    }

    /// Whether more was needed than is allowed.
    pub fn is_over(&self) -> bool {
        self.used.get() > self.most
    }

    /// Starts again at 0, before the body is read again.
    pub(super) fn again(&self) {
        self.used.set(0);
    }

    /// Counts bytes, before they are allocated.
    pub(in crate::ingest) fn take(&self, bytes: usize) -> Result<(), NoMemory> {
        self.used.set(self.used.get().saturating_add(bytes));
        if self.is_over() { Err(NoMemory) } else { Ok(()) }
    }

    /// Counts bytes no more that have been freed.
    pub(in crate::ingest) fn give_back(&self, bytes: usize) {
        self.used.set(self.used.get().saturating_sub(bytes));
    }

    /// Counts a record without its bytes.
    pub(in crate::ingest) fn take_record(&self, parsed: &Parsed) -> Result<(), NoMemory> {
        self.take(match parsed {
            Ok(record) => {
                let names = record.headers.iter().map(|header| header.name.len());
                RECORD_BYTES + names.map(header_bytes).sum::<usize>()
            }
            // The message comes once more in the reply, where it may need escapes.
            Err(error) => RECORD_BYTES + 3 * error.message.len(),
        })
    }

    /// Counts this many records without their bytes and headers, before the list of them is allocated.
    pub(in crate::ingest) fn take_records(&self, count: usize) -> Result<(), NoMemory> {
        self.take(count.saturating_mul(RECORD_BYTES))
    }

    /// Counts a header whose name has this many bytes, without its value.
    pub(in crate::ingest) fn take_header(&self, name: usize) -> Result<(), NoMemory> {
        self.take(header_bytes(name))
    }

    /// Counts bytes that are not slices of the body.
    pub(super) fn take_copied(&self, bytes: usize) {
        // [`Memory::take_record`] finds out later if this was too much.
        let _ = self.take(bytes);
    }
}
