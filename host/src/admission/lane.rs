//! What the producer holds for one partition.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// A partition's part of the producer's queue. It may hold as much as is free of the whole, the idea of dynamic thresholds of
/// shared-memory switches (Choudhury and Hahne, 1998): alone it gets half, and n partitions that nobody takes anything from leave
/// 1/(n + 1) free.
#[derive(Debug, Default)]
pub struct Lane {
    records: AtomicUsize,
    bytes: AtomicUsize,
    /// The round of the gate in which somebody found no room here: who comes later waits behind them.
    short_in: AtomicU64,
}

/// What a request brings to one partition.
#[derive(Debug, Clone)]
pub struct Load {
    /// Where to.
    pub lane: Arc<Lane>,
    /// At least one.
    pub records: usize,
    /// As Kafka's format counts them.
    pub bytes: usize,
}

impl Lane {
    /// With this many bytes in it, for whoever wants to see how it is taken into account.
    pub fn holding(bytes: usize) -> Self {
        Self {
            bytes: AtomicUsize::new(bytes),
            ..Self::default()
        }
    }

    /// Bytes that are handed over and not yet answered, or about to be handed over.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Records that are handed over and not yet answered, or about to be handed over.
    pub fn records(&self) -> usize {
        self.records.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, records: usize, bytes: usize) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn sub(&self, records: usize, bytes: usize) {
        self.records.fetch_sub(records, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether this much more may be held. An empty one takes whatever the whole has room for.
    pub(super) fn fits(&self, load: &Load, free_records: usize, free_bytes: usize) -> bool {
        let records = self.records();
        records == 0 || (records + load.records <= free_records && self.bytes() + load.bytes <= free_bytes)
    }

    pub(super) fn is_short(&self, round: u64) -> bool {
        self.short_in.load(Ordering::Relaxed) == round
    }

    pub(super) fn mark_short(&self, round: u64) {
        self.short_in.store(round, Ordering::Relaxed);
    }
}
