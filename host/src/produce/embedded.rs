//! A broker inside this process, for trying things out: librdkafka's mock cluster. Nothing is kept.

use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};

/// Partitions of a topic that is made by its first use. librdkafka's own default; it has no public setter.
pub const PARTITIONS: u32 = 4;

/// A running mock cluster of one broker; it ends when dropped. Must outlive the producer that uses it.
pub struct EmbeddedBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl EmbeddedBroker {
    /// Starts it on a free loopback port.
    pub fn start() -> anyhow::Result<Self> {
        Ok(Self {
            cluster: MockCluster::new(1)?,
        })
    }

    /// Makes a topic, with as many partitions as any other.
    #[cfg(test)]
    pub(crate) fn create_topic(&self, name: &str) {
        let created = self.cluster.create_topic(name, PARTITIONS.cast_signed(), 1);
        created.expect("a topic");
    }

    /// The next produce request gets this answer.
    #[cfg(test)]
    pub(crate) fn answer_next_produce_with(&self, error: rdkafka::types::RDKafkaRespErr) {
        self.cluster
            .request_errors(rdkafka::types::RDKafkaApiKey::Produce, &[error]);
    }

    /// `host:port`, for any Kafka client.
    pub fn bootstrap_servers(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}
