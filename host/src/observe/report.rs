//! Who loads what, as it is shown: a part of `/routes`.

use std::collections::HashMap;

use pointsman_routing::{Status, Table};
use serde::Serialize;

use super::{Observer, rates::Rate};

/// Partitions of one tenant that are listed.
const MOST_PARTITIONS: usize = 64;

/// Who loads what now, each rate an average whose half-life is 10 s.
#[derive(Debug, Serialize)]
pub struct Report {
    /// How many tenants are counted.
    pub tenants_counted: usize,
    /// So many bytes a second of any tenant may be missing: more than 0 where there are too many tenants to count all.
    pub tenant_bytes_per_s_missed: f64,
    /// The topics with tenants, or with rows.
    pub topics: Vec<TopicLoad>,
    /// The tenants that send most, the largest first.
    pub tenants: Vec<TenantLoad>,
    /// How long plugins take.
    pub plugins: Vec<PluginLoad>,
}

/// What a topic gets.
#[derive(Debug, Default, Serialize)]
pub struct TopicLoad {
    /// The topic's name.
    pub topic: String,
    /// Records of its tenants.
    pub records_per_s: f64,
    /// Their bytes.
    pub bytes_per_s: f64,
    /// Each partition, with all that it gets. Empty if the topic has no rows.
    pub partitions: Vec<PartitionLoad>,
}

/// What a partition gets.
#[derive(Debug, Serialize)]
pub struct PartitionLoad {
    /// The partition's number.
    pub partition: u32,
    /// Records.
    pub records_per_s: f64,
    /// Their bytes.
    pub bytes_per_s: f64,
    /// Bytes of records that were handed over and have no outcome yet.
    pub queued_bytes: usize,
}

/// What a tenant sends.
#[derive(Debug, Serialize)]
pub struct TenantLoad {
    /// The topic's name.
    pub topic: String,
    /// The tenant's name.
    pub tenant: String,
    /// Records.
    pub records_per_s: f64,
    /// Their bytes.
    pub bytes_per_s: f64,
    /// The bytes' share of those of all tenants of the topic.
    pub share: f64,
    /// The status of its row; none if it has no row of its own.
    pub status: Option<Status>,
    /// Where its records go by the routing table, as far as is known; at most 64.
    pub partitions: Vec<u32>,
}

/// How long a plugin takes.
#[derive(Debug, Serialize)]
pub struct PluginLoad {
    /// The plugin's name.
    pub plugin: String,
    /// How many calls were timed since the start.
    pub calls_timed: u64,
    /// How long one took, on average since the start, in microseconds.
    pub mean_us: f64,
}

impl Observer {
    /// Who loads what now, with at most so many tenants. `plugins`: each with the number of calls that were timed, and their
    /// seconds together.
    pub fn report(&self, tenants: usize, table: Option<&Table>, plugins: Vec<(String, u64, f64)>) -> Report {
        let gathered = self.gathered();
        let factor = gathered.tenants.factor();
        let mut topics: HashMap<&str, TopicLoad> = HashMap::new();
        for (name, rate) in &gathered.topics {
            let Rate { records, bytes } = rate.times(factor);
            let topic = topics.entry(&**name).or_default();
            (topic.records_per_s, topic.bytes_per_s) = (rounded(records), rounded(bytes));
        }
        for (name, partitions) in gathered.partitions.topics() {
            let loads = (0..).zip(partitions).map(|(partition, load)| {
                let Rate { records, bytes } = load.rate.times(factor);
                PartitionLoad {
                    partition,
                    records_per_s: rounded(records),
                    bytes_per_s: rounded(bytes),
                    queued_bytes: load.queued,
                }
            });
            topics.entry(&**name).or_default().partitions = loads.collect();
        }
        let hottest = gathered.tenants.hottest(tenants).into_iter().map(|(_, tenant)| {
            let of_topic = gathered
                .topics
                .get(&tenant.topic)
                .map_or(0.0, |rate| rate.bytes * factor);
            let found = table.and_then(|table| {
                let rows = table.topic(&tenant.topic)?;
                Some(rows.find(&tenant.name, table.hashing().of(&tenant.name)))
            });
            let mut partitions = found.map(|found| found.partitions(&tenant.name)).unwrap_or_default();
            partitions.truncate(MOST_PARTITIONS);
            TenantLoad {
                records_per_s: rounded(tenant.rate.records),
                bytes_per_s: rounded(tenant.rate.bytes),
                share: share(tenant.rate.bytes, of_topic),
                status: found.filter(|found| !found.is_tail()).map(|found| found.status()),
                partitions,
                topic: tenant.topic.to_string(),
                tenant: tenant.name.to_string(),
            }
        });
        let tenants = hottest.collect();
        let mut topics: Vec<TopicLoad> = topics
            .into_iter()
            .map(|(name, load)| TopicLoad {
                topic: name.to_owned(),
                ..load
            })
            .collect();
        topics.sort_unstable_by(|a, b| a.topic.cmp(&b.topic));
        Report {
            tenants_counted: gathered.tenants.len(),
            tenant_bytes_per_s_missed: rounded(gathered.tenants.missed()),
            topics,
            tenants,
            plugins: plugins.into_iter().filter_map(plugin).collect(),
        }
    }
}

fn plugin((plugin, calls_timed, seconds): (String, u64, f64)) -> Option<PluginLoad> {
    (calls_timed > 0).then(|| PluginLoad {
        plugin,
        calls_timed,
        mean_us: (seconds * 1e9 / calls_timed as f64).round() / 1e3,
    })
}

fn share(part: f64, whole: f64) -> f64 {
    match whole > 0.0 {
        true => ((part / whole).min(1.0) * 1e4).round() / 1e4,
        false => 0.0,
    }
}

/// With one digit after the point.
fn rounded(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}
