//! A broker inside this process, for trials: librdkafka's mock cluster. Nothing is kept after its end.

use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};

/// How many partitions a topic gets that is made on first use: librdkafka's default, which cannot be set from here.
pub const PARTITIONS: u32 = 4;

/// A running mock cluster of one broker. Dropping it ends the broker, so it must outlive the producer that uses it.
pub struct EmbeddedBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl EmbeddedBroker {
    /// Starts the broker on a free loopback port.
    pub fn start() -> anyhow::Result<Self> {
        Ok(Self {
            cluster: MockCluster::new(1)?,
        })
    }

    /// Makes a topic with [`PARTITIONS`] partitions.
    #[cfg(test)]
    pub(crate) fn create_topic(&self, name: &str) {
        let created = self.cluster.create_topic(name, PARTITIONS.cast_signed(), 1);
        created.expect("a topic");
    }

    /// Makes the broker take at least so long for each answer.
    #[cfg(test)]
    pub(crate) fn be_far(&self, round_trip: std::time::Duration) {
        let set = self.cluster.broker_round_trip_time(1, round_trip);
        set.expect("a round trip");
    }

    /// Closes the broker's connections, and takes new ones again.
    #[cfg(test)]
    pub(crate) fn be_lost_for_a_moment(&self) {
        self.cluster.broker_down(1).expect("down");
        self.cluster.broker_up(1).expect("up");
    }

    /// Has the broker answer the next produce request with this error.
    #[cfg(test)]
    pub(crate) fn answer_next_produce_with(&self, error: rdkafka::types::RDKafkaRespErr) {
        self.cluster
            .request_errors(rdkafka::types::RDKafkaApiKey::Produce, &[error]);
    }

    /// The broker's address, `host:port`.
    pub fn bootstrap_servers(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}
