//! Picks the partition of a record that may go to any. It stays the same for a while, so that batches fill. Then another one
//! is drawn at random; the more bytes are queued for a partition, the less likely it is. The idea is Kafka's KIP-794.

use std::time::{Duration, Instant};

use super::partitions::Partitions;

/// The partition changes after this many bytes.
const BYTES: usize = 16 << 10;
/// The partition changes after this time.
const TIME: Duration = Duration::from_secs(1);

/// The present partition of one topic.
#[derive(Debug, Default)]
pub struct Sticky {
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    partition: u32,
    /// When it was drawn.
    since: Instant,
    /// Bytes of the records that went there since then.
    bytes: usize,
}

impl Sticky {
    /// Picks the partition for a record of this size.
    pub fn pick(&mut self, partitions: &Partitions, bytes: usize, now: Instant) -> u32 {
        if let Some(current) = &mut self.current
            && current.partition < partitions.count()
            && current.bytes < BYTES
            && now - current.since < TIME
            && partitions.leaderless.binary_search(&current.partition).is_err()
        {
            current.bytes += bytes;
            return current.partition;
        }
        let partition = draw(partitions);
        self.current = Some(Current {
            partition,
            since: now,
            bytes,
        });
        partition
    }
}

/// Draws a partition that has a leader. Its weight is the bytes by which its queue is shorter than the longest, plus one: so
/// the partition with the longest queue is drawn at times, too.
fn draw(partitions: &Partitions) -> u32 {
    let queued = partitions.queued_bytes();
    let mut candidates: Vec<u32> = (0..partitions.count())
        .filter(|partition| partitions.leaderless.binary_search(partition).is_err())
        .collect();
    if candidates.is_empty() {
        candidates = (0..partitions.count()).collect();
    }
    let longest = candidates.iter().map(|&p| queued[p as usize]).max().unwrap_or_default();
    let weight = |partition: u32| longest - queued[partition as usize] + 1;
    let total: u64 = candidates.iter().map(|&p| weight(p)).sum();
    let mut left = fastrand::u64(0..total.max(1));
    for &partition in &candidates {
        match left.checked_sub(weight(partition)) {
            Some(rest) => left = rest,
            None => return partition,
        }
    }
    candidates.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::admission::PartitionQuota;

    fn partitions(count: usize) -> Partitions {
        Partitions {
            leaderless: Vec::new(),
            quotas: (0..count).map(|_| Default::default()).collect(),
        }
    }

    #[test]
    fn the_partition_stays_until_16_kib_or_a_second_and_not_longer() {
        let (partitions, start) = (partitions(1000), Instant::now());
        let mut sticky = Sticky::default();
        let first = sticky.pick(&partitions, 1024, start);
        for _ in 1..16 {
            assert_eq!(sticky.pick(&partitions, 1024, start), first);
        }
        let second = sticky.pick(&partitions, 1024, start);
        assert_eq!(sticky.pick(&partitions, 1, start + Duration::from_millis(999)), second);
        let later: Vec<u32> = (1..=20)
            .map(|seconds| sticky.pick(&partitions, 1, start + Duration::from_secs(seconds)))
            .collect();
        assert!(later.iter().any(|&p| p != second), "{later:?} all equal {second}");
    }

    #[test]
    fn a_partition_without_a_leader_gets_nothing_while_another_has_one() {
        let mut partitions = partitions(3);
        partitions.leaderless = vec![0, 2];
        for _ in 0..100 {
            assert_eq!(Sticky::default().pick(&partitions, 1, Instant::now()), 1);
        }
        partitions.leaderless = vec![0, 1, 2];
        assert!(Sticky::default().pick(&partitions, 1, Instant::now()) < 3);
    }

    #[test]
    fn a_long_queue_is_not_made_longer() {
        let mut partitions = partitions(2);
        partitions.quotas[0] = Arc::new(PartitionQuota::holding(1_000_000));
        let to_long = (0..1000)
            .filter(|_| Sticky::default().pick(&partitions, 1, Instant::now()) == 0)
            .count();
        assert!(to_long < 10, "{to_long} of 1000");
    }
}
