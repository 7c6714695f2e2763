//! What the producer holds for one partition.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// A partition's part of the producer's queue. It may hold as much as is free of the whole, the idea of dynamic thresholds of
/// shared-memory switches (Choudhury and Hahne, 1998): alone it gets half, and n partitions that nobody takes anything from leave
/// 1/(n + 1) free.
#[derive(Debug)]
pub struct PartitionQuota {
    records: AtomicUsize,
    bytes: AtomicUsize,
    /// More than this it never holds, unless one request brings it.
    most_bytes: AtomicUsize,
    /// The round of the gate in which somebody found no room here: who comes later waits behind them.
    short_in: AtomicU64,
}

/// What a request brings to one partition.
#[derive(Debug, Clone)]
pub struct PartitionLoad {
    /// Where to.
    pub quota: Arc<PartitionQuota>,
    /// At least one.
    pub records: usize,
    /// As Kafka's format counts them.
    pub bytes: usize,
}

impl Default for PartitionQuota {
    fn default() -> Self {
        Self {
            records: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            most_bytes: AtomicUsize::new(usize::MAX),
            short_in: AtomicU64::new(0),
        }
    }
}

impl PartitionQuota {
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

    /// From now on it holds no more than this, however much is free: as much as its topic takes as one batch.
    pub fn bound(&self, most_bytes: usize) {
        self.most_bytes.store(most_bytes, Ordering::Relaxed);
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
    pub(super) fn fits(&self, load: &PartitionLoad, free_records: usize, free_bytes: usize) -> bool {
        let records = self.records();
        let free_bytes = free_bytes.min(self.most_bytes.load(Ordering::Relaxed));
        records == 0 || (records + load.records <= free_records && self.bytes() + load.bytes <= free_bytes)
    }

    pub(super) fn is_short(&self, round: u64) -> bool {
        self.short_in.load(Ordering::Relaxed) == round
    }

    pub(super) fn mark_short(&self, round: u64) {
        self.short_in.store(round, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_quota_holds_no_more_than_its_bound_but_for_one_request() {
        let load = |bytes| PartitionLoad {
            quota: Arc::default(),
            records: 1,
            bytes,
        };
        let quota = PartitionQuota::default();
        quota.bound(100);
        assert!(quota.fits(&load(1_000), 10, 10_000), "an empty one takes any request");
        quota.add(1, 60);
        assert!(quota.fits(&load(40), 10, 10_000));
        assert!(!quota.fits(&load(41), 10, 10_000));
        quota.bound(usize::MAX);
        assert!(quota.fits(&load(41), 10, 10_000));
    }
}
