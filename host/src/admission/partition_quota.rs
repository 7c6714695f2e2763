//! One partition's share of the producer's queue.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use tokio::time::Instant;

/// One partition's share of the producer's queue. A partition may hold as much as is free of the whole queue, like the dynamic
/// thresholds of shared-memory switches (Choudhury and Hahne, 1998). One partition whose broker does not answer fills at most
/// half of the queue, and n such partitions leave 1/(n + 1) of it free.
///
/// It also tells when all records that had room here before a certain moment have outcomes, which a move of a tenant waits
/// for. For that, records are counted in two halves: those since the last mark, and those before it. A record counts in the
/// same half for as long as it is here, since it belongs to a half by the number of the fence that it was admitted after.
#[derive(Debug)]
pub struct PartitionQuota {
    /// Records that are handed over and not yet answered, or about to be handed over, in two halves.
    records: [AtomicUsize; 2],
    /// The number of the last mark, and in the lowest bit which half has the records since then.
    mark: AtomicU64,
    /// Bytes of all these records.
    bytes: AtomicUsize,
    /// All records that ever had room here, and their bytes, as `message.max.bytes` counts them.
    totals: [AtomicU64; 2],
    /// Whether `unsettled` has something: what is looked at with each acknowledgement.
    is_unsettled: AtomicBool,
    /// The producer's generation of the last record that ended `unknown`, and when that was. Such a record may still be
    /// written.
    unsettled: Mutex<Option<(u32, Instant)>>,
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
    /// The bytes that the records take in the producer's queue.
    pub bytes: usize,
    /// Bytes of the records, as `message.max.bytes` counts them.
    pub wire_bytes: usize,
}

impl Default for PartitionQuota {
    fn default() -> Self {
        Self {
            records: [AtomicUsize::new(0), AtomicUsize::new(0)],
            mark: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
            totals: Default::default(),
            is_unsettled: AtomicBool::new(false),
            unsettled: Mutex::new(None),
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
        self.records.iter().map(|half| half.load(Ordering::Relaxed)).sum()
    }

    /// How many records ever had room here, and their bytes, as `message.max.bytes` counts them.
    pub fn totals(&self) -> (u64, u64) {
        let [records, bytes] = &self.totals;
        (records.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed))
    }

    /// Records that were admitted before the last mark, and have no outcome yet.
    pub fn records_before_mark(&self) -> usize {
        // Acquire: who sees the last one gone must also see what its outcome left behind.
        self.records[(self.mark.load(Ordering::Relaxed) as usize & 1) ^ 1].load(Ordering::Acquire)
    }

    /// Since when a record with the outcome `unknown` may still be written; `None` if none may be.
    pub fn unsettled_since(&self) -> Option<Instant> {
        self.unsettled().map(|(_, since)| since)
    }

    /// Notes that a record of this generation ended `unknown`: it may still be written.
    pub fn note_unknown(&self, generation: u32) {
        *self.unsettled() = Some((generation, Instant::now()));
        self.is_unsettled.store(true, Ordering::Release);
    }

    /// Notes an acknowledgement in this generation. The broker checks sequence numbers, so whatever came before it is
    /// written by now, or never will be.
    #[inline]
    pub fn note_acked(&self, generation: u32) {
        if self.is_unsettled.load(Ordering::Relaxed) {
            self.settle(generation);
        }
    }

    fn settle(&self, generation: u32) {
        let mut unsettled = self.unsettled();
        if unsettled.is_some_and(|(of, _)| of == generation) {
            *unsettled = None;
            self.is_unsettled.store(false, Ordering::Relaxed);
        }
    }

    fn unsettled(&self) -> MutexGuard<'_, Option<(u32, Instant)>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The half that has records which were admitted after this fence.
    fn half(&self, fence: u64) -> &AtomicUsize {
        let mark = self.mark.load(Ordering::Relaxed);
        let is_before = fence < mark >> 1;
        &self.records[(mark as usize & 1) ^ usize::from(is_before)]
    }

    /// Begins to count apart what comes from now on, and calls that moment the mark of this number, which is higher than the
    /// fence of every record here. False if records from before the last mark are still here. Only under the gate's lock.
    pub(super) fn set_mark(&self, number: u64) -> bool {
        if self.records_before_mark() > 0 {
            return false;
        }
        let half = self.mark.load(Ordering::Relaxed) & 1;
        self.mark.store(number << 1 | (half ^ 1), Ordering::Relaxed);
        true
    }

    /// Sets the most bytes that the partition may hold, however much is free: what its topic takes as one batch.
    pub fn bound(&self, most_bytes: usize) {
        self.most_bytes.store(most_bytes, Ordering::Relaxed);
    }

    /// Adds records that are admitted after this fence. Only under the gate's lock.
    pub(super) fn add(&self, fence: u64, records: usize, bytes: usize) {
        self.half(fence).fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts what gets room. Only under the gate's lock, so nobody else writes the totals.
    pub(super) fn count(&self, load: &PartitionLoad) {
        let [records, bytes] = &self.totals;
        records.store(records.load(Ordering::Relaxed) + load.records as u64, Ordering::Relaxed);
        bytes.store(
            bytes.load(Ordering::Relaxed) + load.wire_bytes as u64,
            Ordering::Relaxed,
        );
    }

    /// Takes out records that were admitted after this fence.
    pub(super) fn sub(&self, fence: u64, records: usize, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.half(fence).fetch_sub(records, Ordering::Release);
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
            wire_bytes: bytes,
        };
        let quota = PartitionQuota::default();
        quota.bound(100);
        assert!(quota.fits(&load(1_000), 10, 10_000), "an empty one takes any request");
        quota.add(0, 1, 60);
        assert!(quota.fits(&load(40), 10, 10_000));
        assert!(!quota.fits(&load(41), 10, 10_000));
        quota.bound(usize::MAX);
        assert!(quota.fits(&load(41), 10, 10_000));
    }

    #[test]
    fn records_from_before_a_mark_are_counted_apart_until_they_have_outcomes() {
        let quota = PartitionQuota::default();
        quota.add(0, 3, 30);
        assert!(quota.set_mark(1));
        quota.add(1, 5, 50);
        assert_eq!((quota.records_before_mark(), quota.records()), (3, 8));
        assert!(!quota.set_mark(2), "the first mark's records are still here");
        quota.sub(1, 5, 50);
        quota.sub(0, 2, 20);
        quota.add(2, 1, 10);
        assert_eq!((quota.records_before_mark(), quota.records()), (1, 2));
        quota.sub(0, 1, 10);
        assert_eq!((quota.records_before_mark(), quota.records()), (0, 1));
        assert!(quota.set_mark(3));
        assert_eq!((quota.records_before_mark(), quota.records()), (1, 1));
        quota.sub(2, 1, 10);
        assert_eq!((quota.records_before_mark(), quota.bytes()), (0, 0));
    }

    #[test]
    fn only_a_later_acknowledgement_of_the_same_generation_settles_an_unknown_outcome() {
        let quota = PartitionQuota::default();
        quota.note_acked(1);
        assert_eq!(quota.unsettled_since(), None);
        quota.note_unknown(1);
        quota.note_acked(2);
        assert!(quota.unsettled_since().is_some());
        quota.note_acked(1);
        assert_eq!(quota.unsettled_since(), None);
    }
}
