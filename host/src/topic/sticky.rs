//! Picks the partition of a record that may go to any. It stays the same for a while, so that batches fill. Then another one
//! is drawn at random; the more bytes are queued for a partition, the less likely it is. The idea is Kafka's KIP-794.

use std::time::{Duration, Instant};

use super::partitions::Partitions;

/// The partition changes after this many bytes.
const BYTES: usize = 16 << 10;
/// The partition changes after this time.
const TIME: Duration = Duration::from_secs(1);

/// The present partitions for tenants whose records may go to any of several. Tenants that share a place change their
/// partitions more often than needed, which does no harm.
#[derive(Debug)]
pub struct StickyTenants([Option<(u64, Current)>; TENANTS]);

const TENANTS: usize = 64;

impl Default for StickyTenants {
    fn default() -> Self {
        Self([const { None }; TENANTS])
    }
}

impl StickyTenants {
    /// Picks one of these partitions, of which there is at least one, for a record of this size. `tenant` is a hash.
    pub fn pick(&mut self, among: &[u32], tenant: u64, partitions: &Partitions, bytes: usize, now: Instant) -> u32 {
        let place = &mut self.0[tenant as usize % TENANTS];
        if let Some((same, current)) = place
            && *same == tenant
            && among.contains(&current.partition)
            && current.stays(partitions, now)
        {
            current.bytes += bytes;
            return current.partition;
        }
        let partition = draw(among.iter().copied(), partitions).unwrap_or(among[0]);
        let current = Current {
            partition,
            since: now,
            bytes,
        };
        *place = Some((tenant, current));
        partition
    }
}

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
            && current.stays(partitions, now)
        {
            current.bytes += bytes;
            return current.partition;
        }
        let partition = draw(0..partitions.count(), partitions).unwrap_or_default();
        self.current = Some(Current {
            partition,
            since: now,
            bytes,
        });
        partition
    }
}

impl Current {
    /// Whether the next record goes there, too.
    fn stays(&self, partitions: &Partitions, now: Instant) -> bool {
        self.partition < partitions.count()
            && self.bytes < BYTES
            && now - self.since < TIME
            && partitions.leaderless.binary_search(&self.partition).is_err()
    }
}

/// Draws one of these partitions that has a leader; `None` if the topic has none of them. Its weight is the bytes by which
/// its queue is shorter than the longest, plus one: so the partition with the longest queue is drawn at times, too.
fn draw(among: impl Iterator<Item = u32> + Clone, partitions: &Partitions) -> Option<u32> {
    let among = among.filter(|partition| *partition < partitions.count());
    let has_leader = |partition: &u32| partitions.leaderless.binary_search(partition).is_err();
    let mut candidates: Vec<u32> = among.clone().filter(has_leader).collect();
    if candidates.is_empty() {
        candidates = among.collect();
    }
    let queued = |partition: u32| partitions.quotas[partition as usize].bytes() as u64;
    let queued: Vec<u64> = candidates.iter().map(|&partition| queued(partition)).collect();
    let longest = queued.iter().copied().max()?;
    let weights = queued.iter().map(|queued| longest - queued + 1);
    let mut left = fastrand::u64(0..weights.clone().sum::<u64>().max(1));
    for (&partition, weight) in candidates.iter().zip(weights) {
        match left.checked_sub(weight) {
            Some(rest) => left = rest,
            None => return Some(partition),
        }
    }
    candidates.last().copied()
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
