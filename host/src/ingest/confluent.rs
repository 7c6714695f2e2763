//! The produce calls of Confluent's REST API, version 2, for what was written for Confluent's REST Proxy.
//! docs/confluent-rest.md says what is there.
//!
//! [`target`] reads the path and [`embedded`] the records; [`reply`] and [`refusal`] answer as the REST Proxy does. In
//! between, the records go the way of all others.

mod embedded;
#[cfg(test)]
mod properties;
pub(super) mod refusal;
mod reply;
pub(super) mod target;

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use hyper::{Response, http::request::Parts};

use self::embedded::Embedded;
use super::{
    api::Api,
    body,
    error::IngestError,
    incoming::Incoming,
    numbering,
    parse::{Context, Memory},
    records,
    request::{Request, Wishes},
};
use crate::{
    base::outcome::{Code, RecordError},
    ordering::sequence::Owner,
    produce::batch::AckMode,
};

impl Api {
    /// Takes all records of a produce call, or nothing of it.
    pub(super) async fn produce_v2(
        &self,
        head: &Parts,
        body: &mut Incoming,
        owner: Owner,
    ) -> Result<Response<Bytes>, IngestError> {
        let number = numbering::of(&head.headers, owner)?;
        let wishes = Wishes {
            ack: AckMode::Waited,
            trace: false,
            deadline: Instant::now() + self.timeout(&head.headers)?,
        };
        let target = target::of(&head.method, head.uri.path())?;
        let topic = self.topic(target.topic).await?;
        if let Some(partition) = target.partition {
            self.check_partition(&topic, partition).await?;
        }
        let embedded = Embedded::of(&head.headers)?;
        let whole = body::read(body, &self.limits, &self.pipeline.admission).await?;
        let context = Context {
            topic: Some(topic),
            limits: &self.limits,
            memory: Memory::unbounded(),
        };
        let parse = |body: &Bytes, context: &Context<'_>| embedded.records(body, target.partition, context);
        let (records, room) = records::of(whole, context, &self.pipeline, parse).await?;
        let outcomes = self.take(number, Request { records, room }, &wishes).await?;
        Ok(self.write(outcomes, reply::told).await)
    }

    /// 404 for a partition of the path that the topic does not have, before any of the body is read.
    async fn check_partition(&self, topic: &Arc<str>, partition: u32) -> Result<(), IngestError> {
        // The topic was found just now. If it is gone, its records are refused.
        let Ok(known) = self.pipeline.topics.get(topic).await else {
            return Ok(());
        };
        let count = known.partitions().count();
        if partition < count {
            return Ok(());
        }
        Err(IngestError::Topic(RecordError::new(
            Code::PartitionOutOfRange,
            format!(
                "the path names partition {partition}, topic \"{topic}\" has 0 to {}",
                count.saturating_sub(1)
            ),
        )))
    }
}
