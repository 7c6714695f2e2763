//! A listener for ordinary Kafka producers: it speaks Kafka's own protocol.
//!
//! A producer connects here as it would to a cluster of one broker, which leads one partition of every topic. So its own partitioner
//! decides nothing; the route does, as for every record.
//!
//! [`connection`] reads [`frames`] and takes the requests in them ([`request`], of the kinds in [`api`], by the fields of [`wire`]) in the order in which they
//! come. A Produce request ([`produce`]) has a [`batch`] for each partition. A batch is decided
//! as a whole, handed to the [pipeline](crate::pipeline), and its [`outcomes`] become one [`answer`] (in [`writing`]); [`told`] is the one place that
//! says which error code stands for what. Batches of idempotent [`producers`] go through [`crate::ordering::numbered`].

mod answer;
mod api;
pub mod batch;
mod connection;
mod frames;
mod metadata;
mod outcomes;
mod produce;
mod producers;
mod request;
mod sasl;
mod told;
mod wire;
mod writing;

use std::sync::Arc;

use super::api::Api;
use crate::{config::Limits, ordering::numbered::Numbered, pipeline::Pipeline};

/// What all connections of the listener share. Built once.
pub(super) struct KafkaApi {
    pipeline: Arc<Pipeline>,
    limits: Limits,
    /// The clients with numbered requests, HTTP's among them.
    numbered: Arc<Numbered>,
    /// The password that clients must send, if one is configured.
    token: Option<String>,
    /// `listen.kafka_partitions`: how many partitions each topic shows.
    partitions: i32,
}

impl KafkaApi {
    /// A listener that hands records to the same pipeline as this handler, and requires the same token.
    pub(super) fn beside(api: &Api, partitions: u16) -> Self {
        Self {
            pipeline: Arc::clone(&api.pipeline),
            limits: api.limits.clone(),
            numbered: Arc::clone(&api.numbered),
            token: api.token.clone(),
            partitions: partitions.into(),
        }
    }
}
