//! The cluster of three nodes that all trials share, one trial at a time.

use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};
use serde_json::Value;

use crate::support::{kafka::Kafka, kafka_proxy::KafkaProxy, sidecar::eventually};

const NODES: usize = 3;

/// The right to do harm to the cluster. Dropping it undoes the harm.
pub(super) struct Cluster {
    kafka: &'static Kafka,
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    /// Waits until no other trial runs.
    pub(super) fn take() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        static KAFKA: OnceLock<Result<Kafka, String>> = OnceLock::new();
        // A trial that failed has repaired the cluster, too.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let started =
            KAFKA.get_or_init(|| Kafka::start_behind(KafkaProxy::new(NODES)).map_err(|error| format!("{error:#}")));
        match started {
            Ok(kafka) => Self { kafka, _turn: turn },
            Err(error) => panic!("no cluster for the trials: {error}"),
        }
    }

    /// The nodes that lead a partition of the topic, counted from 0, those that lead most first. Any broker that
    /// answers is asked: the Java client would wait for a frozen one.
    pub(super) fn leaders(&self, topic: &str) -> Vec<usize> {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.bootstrap())
            .set("socket.timeout.ms", "2000")
            .create()
            .expect("a client");
        let mut leads = [0; NODES];
        eventually("a broker tells the leaders", || {
            let Ok(metadata) = client.fetch_metadata(Some(topic), Duration::from_secs(3)) else {
                return false;
            };
            for partition in metadata.topics()[0].partitions() {
                // Kafka counts from 1; -1 means that there is no leader.
                if let Some(leads) = usize::try_from(partition.leader() - 1)
                    .ok()
                    .and_then(|node| leads.get_mut(node))
                {
                    *leads += 1;
                }
            }
            true
        });
        let mut leaders: Vec<usize> = (0..NODES).filter(|node| leads[*node] > 0).collect();
        leaders.sort_by_key(|node| std::cmp::Reverse(leads[*node]));
        leaders
    }

    /// A node that leads partitions of the topic.
    pub(super) fn a_leader(&self, topic: &str) -> usize {
        *self.leaders(topic).first().expect("a leader")
    }

    pub(super) fn until_leadership_has_left(&self, topic: &str, node: usize) {
        eventually("the others have taken over", || !self.leaders(topic).contains(&node));
    }

    /// Waits until each partition of the topic is in sync on all nodes.
    pub(super) fn until_in_sync(&self, topic: &str) {
        eventually("all replicas are in sync", || {
            let Ok(description) = self.kafka.describe(topic) else {
                return false;
            };
            let description: Value = serde_json::from_str(&description).expect("JSON");
            let partitions = description["partitions"].as_array().expect("partitions");
            partitions
                .iter()
                .all(|partition| partition["isr"].as_array().is_some_and(|isr| isr.len() == NODES))
        });
    }
}

impl Deref for Cluster {
    type Target = Kafka;

    fn deref(&self) -> &Kafka {
        self.kafka
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kafka.proxy().be_kind();
        let repaired = self.kafka.repair();
        assert!(repaired.is_ok() || std::thread::panicking(), "{repaired:?}");
    }
}
