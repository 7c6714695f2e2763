//! A partition's queue as [`super::Turns`] sees it.

use std::{collections::VecDeque, time::Instant};

/// Names a partition's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct QueueId(pub(super) usize);

/// Records of one request for one partition.
#[derive(Debug)]
pub(crate) struct Part<T> {
    pub(crate) records: Vec<T>,
    /// Their size, bytes.
    pub(crate) bytes: usize,
}

/// Tells turns apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Serial(pub(super) u64);

#[derive(Debug)]
pub(super) struct Queue<T> {
    /// Index of the partition's leader, as far as is known.
    pub(super) broker: usize,
    waiting: VecDeque<Part<T>>,
    /// Records in `waiting`.
    records: usize,
    pub(super) running: Option<Running>,
    /// The only client that may have its turns: the one with a record whose outcome is unknown.
    pub(super) bound_to: Option<usize>,
}

/// A turn that has not ended.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) serial: Serial,
    /// Whether somebody is handing over its records.
    pub(super) is_handing_over: bool,
    /// Where its place is; the leader may have changed since.
    pub(super) broker: usize,
    pub(super) client: usize,
    /// Records without an outcome.
    pub(super) outstanding: usize,
    pub(super) since: Instant,
    /// How many turns the client had at this broker when this one began.
    pub(super) behind: u32,
    /// Whether it still holds its place.
    pub(super) has_place: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(broker: usize) -> Self {
        Self {
            broker,
            waiting: VecDeque::new(),
            records: 0,
            running: None,
            bound_to: None,
        }
    }

    /// How many records wait.
    pub(super) fn records(&self) -> usize {
        self.records
    }

    pub(super) fn push(&mut self, part: Part<T>) {
        self.records += part.records.len();
        self.waiting.push_back(part);
    }

    /// Whether the queue should stand in its broker's line.
    pub(super) fn stands(&self) -> bool {
        self.running.is_none() && !self.waiting.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether this client has the queue's turn, or must have its next one.
    pub(super) fn holds(&self, client: usize) -> bool {
        self.running.as_ref().is_some_and(|running| running.client == client) || self.bound_to == Some(client)
    }

    /// Takes out what the next turn hands over: no more bytes than `most`, but for one part alone.
    pub(super) fn take(&mut self, most: usize) -> Vec<Part<T>> {
        let (mut parts, mut bytes) = (Vec::new(), 0);
        while let Some(part) = self.waiting.pop_front() {
            if bytes > 0 && bytes + part.bytes > most {
                self.waiting.push_front(part);
                break;
            }
            bytes += part.bytes;
            self.records -= part.records.len();
            parts.push(part);
        }
        parts
    }

    /// Takes out all that waits.
    pub(super) fn give_up(&mut self) -> VecDeque<Part<T>> {
        self.records = 0;
        std::mem::take(&mut self.waiting)
    }
}
