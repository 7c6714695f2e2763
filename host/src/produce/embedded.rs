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

    /// `host:port`, for any Kafka client.
    pub fn bootstrap_servers(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}
