//! A topic's partitions.

use std::sync::Arc;

use crate::admission::PartitionQuota;

/// One partition of a topic, in the order of its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Whether a broker leads it.
    pub has_leader: bool,
}

/// A topic's partitions at one moment.
#[derive(Debug, Default)]
pub struct Partitions {
    /// Numbers of those without a leader, rising.
    pub leaderless: Vec<u32>,
    /// What the producer holds for each. They outlive a refresh.
    pub quotas: Vec<Arc<PartitionQuota>>,
}

impl Partitions {
    /// As many as this, all with leaders and nothing queued.
    pub fn of(count: usize) -> Self {
        Self {
            leaderless: Vec::new(),
            quotas: (0..count).map(|_| Arc::default()).collect(),
        }
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.quotas.len() as u32
    }

    /// Bytes queued now, by partition.
    pub fn queued_bytes(&self) -> Vec<u64> {
        self.quotas.iter().map(|quota| quota.bytes() as u64).collect()
    }

    /// The next view: what is queued stays counted where it was.
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
