//! Those who wait for room, in the order of their coming, and what they lack.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;

use super::wants::Wants;

/// What those before have been short of, in this round.
#[derive(Debug, Default)]
pub(super) struct Short {
    pub(super) round: u64,
    pub(super) large: bool,
    pub(super) small: bool,
    pub(super) bytes: bool,
    pub(super) records: bool,
}

#[derive(Debug, Default)]
pub(super) struct Line {
    /// Those who have left are only taken out with the next look.
    pub(super) waiters: VecDeque<Arc<Waiter>>,
    pub(super) short: Short,
    /// Held by those who wait for a partition.
    pub(super) waiting_bytes: usize,
    /// Whether somebody looks after the line.
    pub(super) looked_after: bool,
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) wants: Wants,
    pub(super) for_partition: bool,
    pub(super) taken: AtomicBool,
    pub(super) left: AtomicBool,
    pub(super) bell: Notify,
}

pub(super) struct Lack {
    pub(super) large: bool,
    pub(super) small: bool,
    pub(super) bytes: bool,
    pub(super) records: bool,
    /// The first load whose partition may not hold it.
    pub(super) partition: Option<usize>,
    /// Free records and bytes that this was found with.
    pub(super) room: (usize, usize),
}

impl Lack {
    pub(super) fn anything(&self) -> bool {
        self.any_bytes() || self.records || self.partition.is_some()
    }

    pub(super) fn any_bytes(&self) -> bool {
        self.large || self.small || self.bytes
    }

    /// Those who come later and want the same stand behind this one.
    pub(super) fn mark(&self, wants: &Wants, short: &mut Short) {
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
    /// Of another round: nobody is short of anything yet.
    pub(super) fn after(before: &Self) -> Self {
        Self {
            round: before.round + 1,
            ..Self::default()
        }
    }
}

impl Line {
    pub(super) fn enter(&mut self, waiter: &Arc<Waiter>) {
        self.waiting_bytes += waiter.holds();
        self.waiters.push_back(Arc::clone(waiter));
    }

    /// It is taken out with the next look: to look for it here would take the longer the more leave.
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

    /// What counts for the bound of those who wait for a partition.
    pub(super) fn holds(&self) -> usize {
        match self.for_partition {
            true => self.wants.held,
            false => 0,
        }
    }
}
