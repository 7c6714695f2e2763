//! One partition's share of the producer's queue.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// One partition's share of the producer's queue. A partition may hold as much as is free of the whole queue, like the dynamic
/// thresholds of shared-memory switches (Choudhury and Hahne, 1998). One partition whose broker does not answer fills at most
/// half of the queue, and n such partitions leave 1/(n + 1) of it free.
#[derive(Debug)]
pub struct PartitionQuota {
    /// Records that are handed over and not yet answered, or about to be handed over.
    records: AtomicUsize,
    /// Bytes of these records.
    bytes: AtomicUsize,
    /// The most bytes that it may hold, however much is free. Only one request alone may exceed it.
    most_bytes: AtomicUsize,
    /// The last round of the gate in which a waiter found no room here. Later waiters of that round wait behind that one.
    short_in: AtomicU64,
}

/// What one request brings to one partition.
#[derive(Debug, Clone)]
pub struct PartitionLoad {
    /// The partition's quota.
    pub quota: Arc<PartitionQuota>,
    /// Number of records, at least one.
    pub records: usize,
    /// Bytes of the records, as Kafka's format counts them.
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
    /// A quota that already holds this many bytes, for tests.
    pub fn holding(bytes: usize) -> Self {
        Self {
            bytes: AtomicUsize::new(bytes),
            ..Self::default()
        }
    }

    /// Bytes of the records that are handed over and not yet answered, or about to be handed over.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Number of records that are handed over and not yet answered, or about to be handed over.
    pub fn records(&self) -> usize {
        self.records.load(Ordering::Relaxed)
    }

    /// Sets the most bytes that the partition may hold, however much is free: what its topic takes as one batch.
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

    /// Whether the partition may hold this load as well. An empty partition takes any load.
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
