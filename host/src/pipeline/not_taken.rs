//! Why nothing of a request was taken.

use std::time::Duration;

use crate::{admission::Busy, tenants::NoTable};

/// Why nothing of a request was taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// There was no room, and none came in time.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// A tenant of the request is being moved, and that took too long.
    #[error(
        "{tenant} is being moved, and that takes longer than {} ms; send it again in a moment",
        waited.as_millis()
    )]
    TenantMoving {
        /// The tenant and its topic.
        tenant: String,
        /// How long the request waited.
        waited: Duration,
    },
    /// The request has tenants, and there is no routing table yet.
    #[error(transparent)]
    NoTable(#[from] NoTable),
    /// Kafka, or the producer, cannot be used now.
    #[error("{0}")]
    Unavailable(String),
}

impl NotTaken {
    /// Kafka cannot say which partitions a topic has.
    pub fn without_partitions(topic: &str, reason: &str) -> Self {
        Self::Unavailable(format!(
            "the partitions of topic \"{topic}\" cannot be had from Kafka: {reason}"
        ))
    }
}
