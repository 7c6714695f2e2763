//! What the partitions of a topic get, and what they have queued.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::rates::{Rate, Round};
use crate::{base::metrics::LoadMetrics, topic::Partitions};

/// The most series of partitions. Topics come in the order of their names.
const MOST_SERIES: usize = 2_000;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct PartitionRates {
    topics: BTreeMap<Arc<str>, Vec<Partition>>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Partition {
    /// All that it got so far.
    total: (u64, u64),
    pub(super) rate: Rate,
    pub(super) queued: usize,
    has_series: bool,
}

impl PartitionRates {
    /// Takes in one round of these topics; all others are forgotten.
    pub(super) fn round(&mut self, topics: Vec<(Arc<str>, Arc<Partitions>)>, round: Round, metrics: &LoadMetrics) {
        let names: HashSet<&str> = topics.iter().map(|(name, _)| &**name).collect();
        self.topics.retain(|name, partitions| {
            let stays = names.contains(&**name);
            if !stays {
                leave(name, partitions, 0, metrics);
            }
            stays
        });
        let mut series = MOST_SERIES;
        let mut sorted: Vec<&(Arc<str>, Arc<Partitions>)> = topics.iter().collect();
        sorted.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (name, now) in sorted {
            let known = self.topics.entry(Arc::clone(name)).or_default();
            let shown = now.quotas.len().min(series);
            series -= shown;
            leave(name, known, shown, metrics);
            known.resize_with(now.quotas.len(), Partition::default);
            for ((number, partition), quota) in (0..).zip(known.iter_mut()).zip(&now.quotas) {
                let total = quota.totals();
                // A topic that was made anew counts from 0.
                let before = match total.0 >= partition.total.0 {
                    true => partition.total,
                    false => (0, 0),
                };
                let load = super::sketch::Load {
                    records: total.0 - before.0,
                    bytes: total.1.saturating_sub(before.1),
                };
                partition.total = total;
                partition.queued = quota.bytes();
                partition.rate.fade(round);
                partition.rate.add(load, round);
                partition.has_series = (number as usize) < shown;
                if partition.has_series {
                    metrics.partition(name, number, load.records, partition.queued);
                }
            }
        }
    }

    /// The partitions of each topic.
    pub(super) fn topics(&self) -> impl Iterator<Item = (&Arc<str>, &[Partition])> {
        self.topics.iter().map(|(name, partitions)| (name, &**partitions))
    }
}

/// Removes the series from this partition on.
fn leave(topic: &str, partitions: &[Partition], from: usize, metrics: &LoadMetrics) {
    for (number, partition) in (0..).zip(partitions).skip(from) {
        if partition.has_series {
            metrics.partition_gone(topic, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::metrics::Metrics;

    fn series(metrics: &Metrics) -> usize {
        let text = String::from_utf8(metrics.render()).expect("text");
        let is_one = |line: &&str| line.starts_with("pointsman_partition_records_total{");
        text.lines().filter(is_one).count()
    }

    #[test]
    fn partitions_have_bounded_series_which_go_with_their_topic() {
        let metrics = Metrics::new().expect("metrics");
        let mut rates = PartitionRates::default();
        let round = Round::of(Duration::from_secs(1));
        let topic = |name: &str, partitions| (Arc::from(name), Arc::new(Partitions::of(partitions)));
        let few = vec![topic("b", 12), topic("a", 3)];
        rates.round(few.clone(), round, &metrics.load);
        assert_eq!(series(&metrics), 15);
        rates.round(few, round, &metrics.load);
        assert_eq!(series(&metrics), 15);
        rates.round(vec![topic("b", 12), topic("a", 5_000)], round, &metrics.load);
        assert_eq!(series(&metrics), MOST_SERIES, "no topic can have more");
        assert_eq!(
            rates.topics().map(|(_, partitions)| partitions.len()).sum::<usize>(),
            5_012
        );
        rates.round(vec![topic("b", 2)], round, &metrics.load);
        assert_eq!(series(&metrics), 2);
        rates.round(Vec::new(), round, &metrics.load);
        assert_eq!(series(&metrics), 0);
    }
}
