//! The requests that wait for room, in the order in which they came, and what they lack.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use super::wants::Wants;

/// What the waiters that were checked so far in this round are short of. A later waiter that needs the same must wait behind
/// them. Partitions that are short are marked in their [`PartitionQuota`](super::PartitionQuota).
#[derive(Debug, Default)]
pub(super) struct Short {
    /// The number of this check of the line.
    pub(super) round: u64,
    /// Room for large bodies.
    pub(super) large: bool,
    /// Room for small bodies.
    pub(super) small: bool,
    /// Bytes for complete requests and for records.
    pub(super) bytes: bool,
    /// Records of the producer's queue.
    pub(super) records: bool,
}

/// The line of waiters.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// In the order in which they came. A waiter that has left is removed only by the next check.
    pub(super) waiters: VecDeque<Arc<Waiter>>,
    pub(super) short: Short,
    /// Bytes that the waiters for a partition hold meanwhile.
    pub(super) waiting_bytes: usize,
    /// Whether a task checks the line.
    pub(super) looked_after: bool,
    /// Requests that were resolved by a table before this version are sent back.
    pub(super) table_version: u64,
    /// The number of the last fence. Whoever is admitted from then on belongs to it.
    pub(super) fence: u64,
}

/// A request that waits for room.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) wants: Wants,
    /// Whether it waits for the quota of a partition.
    pub(super) for_partition: bool,
    /// Whether it was let in: its room is taken.
    pub(super) taken: AtomicBool,
    /// The fence that it was admitted after.
    pub(super) fence: AtomicU64,
    /// Whether it was sent back, to be resolved by a newer table.
    pub(super) sent_back: AtomicBool,
    /// Whether it waits no longer.
    pub(super) left: AtomicBool,
    /// Rings when it is let in, or sent back.
    pub(super) bell: Notify,
}

/// What is missing for one request. The flags are those of [`Short`].
pub(super) struct Lack {
    pub(super) large: bool,
    pub(super) small: bool,
    pub(super) bytes: bool,
    pub(super) records: bool,
    /// Index of the first load that its partition's quota has no room for.
    pub(super) partition: Option<usize>,
    /// Whether it has to wait for another table. Then nobody waits behind it.
    pub(super) held: bool,
    /// The free records and bytes when this was found.
    pub(super) room: (usize, usize),
}

impl Lack {
    pub(super) fn anything(&self) -> bool {
        self.held || self.any_bytes() || self.records || self.partition.is_some()
    }

    /// Whether it waits for its partitions, of which there are many, and not for what all share.
    pub(super) fn for_partition(&self) -> bool {
        self.held || self.partition.is_some()
    }

    pub(super) fn any_bytes(&self) -> bool {
        self.large || self.small || self.bytes
    }

    /// Marks what this request lacks, so that later ones that need the same wait behind it.
    pub(super) fn mark(&self, wants: &Wants, short: &mut Short) {
        if self.held {
            return;
        }
        short.large |= self.large;
        short.small |= self.small;
        short.bytes |= self.bytes;
        short.records |= self.records;
        for load in &wants.loads {
            if !load.quota.fits(load, self.room.0, self.room.1) {
                load.quota.mark_short(short.round);
            }
        }
    }
}

impl Short {
    /// The start of the next round, in which nobody is short of anything yet.
    pub(super) fn after(before: &Self) -> Self {
        Self {
            round: before.round + 1,
            ..Self::default()
        }
    }
}

impl Line {
    /// Whether a request is sent back.
    pub(super) fn is_outdated(&self, wants: &Wants) -> bool {
        wants
            .by_table
            .version
            .is_some_and(|version| version < self.table_version)
    }

    pub(super) fn enter(&mut self, waiter: &Arc<Waiter>) {
        self.waiting_bytes += waiter.holds();
        self.waiters.push_back(Arc::clone(waiter));
    }

    /// Marks a waiter as gone. Only the next check removes it: to search for it here would take long when many leave.
    pub(super) fn leave(&mut self, waiter: &Waiter) {
        if !waiter.taken.load(Ordering::Relaxed) && !waiter.left.swap(true, Ordering::Relaxed) {
            self.waiting_bytes -= waiter.holds();
        }
    }
}

impl Waiter {
    pub(super) fn has_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    /// How many bytes it adds to [`Line::waiting_bytes`].
    pub(super) fn holds(&self) -> usize {
        match self.for_partition {
            true => self.wants.held,
            false => 0,
        }
    }
}
