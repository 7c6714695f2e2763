//! A topic's partitions.

use std::sync::Arc;

use crate::admission::PartitionQuota;

/// What the brokers say about one partition. They come in lists in the order of the partitions' numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Whether the partition has a leader.
    pub has_leader: bool,
}

/// A topic's partitions at one moment.
#[derive(Debug, Default)]
pub struct Partitions {
    /// Numbers of the partitions without a leader, in ascending order.
    pub leaderless: Vec<u32>,
    /// Each partition's quota of the producer's queue. A refresh keeps them.
    pub quotas: Vec<Arc<PartitionQuota>>,
}

impl Partitions {
    /// `count` partitions, all with leaders, with nothing queued.
    pub fn of(count: usize) -> Self {
        Self {
            leaderless: Vec::new(),
            quotas: (0..count).map(|_| Arc::default()).collect(),
        }
    }

    /// The number of partitions.
    pub fn count(&self) -> u32 {
        self.quotas.len() as u32
    }

    /// Bytes that are queued now, for each partition.
    pub fn queued_bytes(&self) -> Vec<u64> {
        self.quotas.iter().map(|quota| quota.bytes() as u64).collect()
    }

    /// Whether a record of these partitions is under way or may still be written, or somebody else has them and may still
    /// send records by them.
    pub fn is_in_use(&self) -> bool {
        let is_known = |quota: &Arc<PartitionQuota>| Arc::strong_count(quota) > 1;
        let mut quotas = self.quotas.iter();
        quotas.any(|quota| is_known(quota) || quota.records() > 0 || quota.unsettled_since().is_some())
    }

    /// The partitions after a refresh. Their quotas are kept, with what is queued.
    pub(super) fn refreshed(&self, infos: &[PartitionInfo]) -> Self {
        let quotas = (0..infos.len())
            .map(|index| self.quotas.get(index).cloned().unwrap_or_default())
            .collect();
        let leaderless = (0u32..)
            .zip(infos)
            .filter(|(_, info)| !info.has_leader)
            .map(|(index, _)| index)
            .collect();
        Self { leaderless, quotas }
    }
}
