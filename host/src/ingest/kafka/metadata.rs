//! Answers Metadata: which topics there are. Each has as many partitions as `listen.kafka_partitions` says, whatever the cluster
//! has, since the client's choice of a partition decides nothing.

use std::{collections::HashMap, sync::Arc};

use kafka_protocol::ResponseError as Kafka;
use tokio::{task::JoinSet, time::Instant};

use super::{KafkaApi, answer::FoundTopic, request::Metadata, told, wire::Text};
use crate::{
    base::{
        outcome::{Code, RecordError},
        record::valid_topic,
    },
    routing::topics::TopicError,
};

/// Look-ups of one request at once.
const AT_ONCE: usize = 16;

type Found = Result<(), TopicError>;

impl KafkaApi {
    /// The topics that are asked for, each with the reason why records cannot be sent there.
    pub(super) async fn topics(&self, request: Metadata) -> Vec<FoundTopic> {
        match request.topics {
            None => self.known_topics(),
            Some(names) => self.asked_topics(&names).await,
        }
    }

    /// Those that somebody has used before, since a listing of all that a cluster has would not be bounded.
    fn known_topics(&self) -> Vec<FoundTopic> {
        let routes = self.pipeline.topics.routes().table();
        let names = self.pipeline.topics.names().into_iter();
        let routed = names.filter(|name| routes.find(name).is_some());
        let found = |name: Arc<str>| FoundTopic {
            name: name.as_ref().to_owned(),
            error: None,
        };
        routed.map(found).collect()
    }

    async fn asked_topics(&self, names: &[Text]) -> Vec<FoundTopic> {
        let found = self.look_up(names).await;
        let told = |name: &Text| FoundTopic {
            name: name.as_str().to_owned(),
            error: match found.get(name.as_str()) {
                Some(Ok(())) => None,
                Some(Err(TopicError::Refused(error))) => {
                    Some(told::class(error.code).unwrap_or(Kafka::UnknownTopicOrPartition))
                }
                // The client asks again a moment later.
                Some(Err(TopicError::Unavailable(_))) | None => Some(Kafka::LeaderNotAvailable),
            },
        };
        names.iter().map(told).collect()
    }

    /// What could be found out about these topics within `limits.max_wait_ms`.
    async fn look_up(&self, names: &[Text]) -> HashMap<Arc<str>, Found> {
        let deadline = Instant::now() + self.limits.max_wait();
        let (mut found, mut asking) = (HashMap::new(), JoinSet::new());
        let mut names = names.iter();
        loop {
            while asking.len() < AT_ONCE
                && let Some(name) = names.next()
            {
                let name: Arc<str> = Arc::from(name.as_str());
                if let Err(problem) = valid_topic(&name) {
                    let error = RecordError::new(Code::InvalidTopic, problem);
                    found.insert(name, Err(TopicError::Refused(error)));
                    continue;
                }
                let pipeline = Arc::clone(&self.pipeline);
                asking.spawn(async move {
                    let topic = pipeline.topics.get(&name).await;
                    (name, topic.map(drop))
                });
            }
            match tokio::time::timeout_at(deadline, asking.join_next()).await {
                Ok(Some(Ok((name, topic)))) => {
                    found.insert(name, topic);
                }
                Ok(Some(Err(error))) => tracing::error!(%error, "a topic could not be looked up"),
                Ok(None) | Err(_) => return found,
            }
        }
    }
}
