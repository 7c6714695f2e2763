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

    /// The node that leads each partition of the topic, counted from 0, in the order of the partitions. Any broker that
    /// answers is asked: the Java client would wait for a frozen one.
    pub(super) fn led_by(&self, topic: &str) -> Vec<Option<usize>> {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.bootstrap())
            .set("socket.timeout.ms", "2000")
            .create()
            .expect("a client");
        let mut led_by = Vec::new();
        eventually("a broker tells the leaders", || {
            let Ok(metadata) = client.fetch_metadata(Some(topic), Duration::from_secs(3)) else {
                return false;
            };
            let mut partitions: Vec<_> = metadata.topics()[0].partitions().iter().collect();
            partitions.sort_by_key(|partition| partition.id());
            // Kafka counts from 1; -1 means that there is no leader.
            led_by = partitions
                .iter()
                .map(|partition| usize::try_from(partition.leader() - 1).ok())
                .collect();
            true
        });
        led_by
    }

    /// The nodes that lead a partition of the topic, those that lead most first.
    pub(super) fn leaders(&self, topic: &str) -> Vec<usize> {
        let led_by = self.led_by(topic);
        let leads = |node: usize| led_by.iter().filter(|leader| **leader == Some(node)).count();
        let mut leaders: Vec<usize> = (0..NODES).filter(|node| leads(*node) > 0).collect();
        leaders.sort_by_key(|node| std::cmp::Reverse(leads(*node)));
        leaders
    }

    /// A node that leads partitions of the topic.
    pub(super) fn a_leader(&self, topic: &str) -> usize {
        *self.leaders(topic).first().expect("a leader")
    }

    pub(super) fn until_leadership_has_left(&self, topic: &str, node: usize) {
        eventually("the others have taken over", || !self.leaders(topic).contains(&node));
    }

    /// Kills a leader until others have taken over, and returns how many partitions got another leader.
    pub(super) fn kill_for_a_while(&self, topic: &str) -> u64 {
        self.without_a_leader(topic, Kafka::kill, Kafka::start_again)
    }

    /// As [`Cluster::kill_for_a_while`], with a leader that answers nothing meanwhile.
    pub(super) fn freeze_for_a_while(&self, topic: &str) -> u64 {
        self.without_a_leader(topic, Kafka::freeze, Kafka::thaw)
    }

    fn without_a_leader(&self, topic: &str, take: fn(&Kafka, usize), give_back: fn(&Kafka, usize)) -> u64 {
        let before = self.led_by(topic);
        let leader = self.a_leader(topic);
        take(self.kafka, leader);
        self.until_leadership_has_left(topic, leader);
        let after = self.led_by(topic);
        give_back(self.kafka, leader);
        self.until_in_sync(topic);
        // A partition without a leader has not got another one yet.
        let changed = |(before, after): &(_, &Option<usize>)| after.is_some() && before != after;
        before.iter().zip(&after).filter(changed).count() as u64
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
