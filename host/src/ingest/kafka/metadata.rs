//! Answers Metadata: which topics there are. Each has as many partitions as `listen.kafka_partitions` says, whatever the cluster
//! has, since the client's choice of a partition decides nothing.

use std::{
    collections::{HashMap, HashSet},
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use bytes::Bytes;
use kafka_protocol::ResponseError as Kafka;
use tokio::{
    task::{JoinSet, yield_now},
    time::Instant,
};

use super::{
    KafkaApi,
    answer::{self, FoundTopic},
    connection::Closing,
    request::{AnswerTo, Metadata},
    told,
    wire::Text,
};
use crate::{
    admission::Reservation,
    base::{
        outcome::{Code, RecordError},
        record::valid_topic,
    },
    routing::topics::TopicError,
};

/// Look-ups of one request at once.
const AT_ONCE: usize = 16;
/// Topics that are looked up before others have their turn.
const NAMES_BETWEEN_YIELDS: usize = 100;
/// The most that a topic takes beside its name and its partitions, here and in an answer, bytes.
const TOPIC_BYTES: usize = 128;
/// The most that a partition takes in an answer, bytes.
const PARTITION_BYTES: usize = 48;
/// An answer longer than this takes so long to make that it waits for a turn of long work.
const LARGE_ANSWER: usize = 64 << 10;

type Found = Result<(), TopicError>;

impl KafkaApi {
    /// Answers with the topics that are asked for, each once. A short request can ask for a long answer, so there is room for the answer
    /// before it is made.
    pub(super) async fn metadata(
        &self,
        to: AnswerTo,
        request: Metadata,
        address: (String, u16),
        room: &mut Reservation,
    ) -> Result<Bytes, Closing> {
        let mut topics = self.topics(request).await;
        let bytes = self.fit(&mut topics);
        let whole = room.bytes() + bytes;
        room.grow(whole)
            .await
            .map_err(|busy| Closing::NoRoom(busy.to_string()))?;
        let turn = self.pipeline.long_work.permit(bytes > LARGE_ANSWER).await;
        let answer = answer::metadata(to, address, &topics, self.partitions);
        turn.end().await;
        Ok(answer?)
    }

    /// What an answer with these topics takes, bytes. Where that is more than a request may take, the last topics are without
    /// partitions: their clients ask again, for fewer topics at best.
    fn fit(&self, topics: &mut [FoundTopic]) -> usize {
        let names: usize = topics.iter().map(|topic| TOPIC_BYTES + 2 * topic.name.len()).sum();
        let each = usize::try_from(self.partitions).unwrap_or(0) * PARTITION_BYTES;
        let most = (self.pipeline.admission.most_for_request() / 2).saturating_sub(names);
        let mut partitions = 0;
        for topic in topics.iter_mut().filter(|topic| topic.error.is_none()) {
            match partitions + each <= most {
                true => partitions += each,
                false => topic.error = Some(Kafka::LeaderNotAvailable),
            }
        }
        names + partitions
    }

    /// The topics that are asked for, each with the reason why records cannot be sent there.
    async fn topics(&self, request: Metadata) -> Vec<FoundTopic> {
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
        let mut asked = HashSet::new();
        let names: Vec<&str> = names
            .iter()
            .map(Text::as_str)
            .filter(|name| asked.insert(*name))
            .collect();
        let found = self.look_up(&names).await;
        let told = |name: &&str| FoundTopic {
            name: (*name).to_owned(),
            error: match found.get(*name) {
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
    async fn look_up(&self, names: &[&str]) -> HashMap<Arc<str>, Found> {
        let deadline = Instant::now() + self.limits.max_wait();
        let (mut found, mut asking) = (HashMap::new(), JoinSet::new());
        for (index, name) in names.iter().enumerate() {
            let name: Arc<str> = Arc::from(*name);
            if let Err(problem) = valid_topic(&name) {
                let error = RecordError::new(Code::InvalidTopic, problem);
                found.insert(name, Err(TopicError::Refused(error)));
                continue;
            }
            if index % NAMES_BETWEEN_YIELDS == NAMES_BETWEEN_YIELDS - 1 {
                yield_now().await;
            }
            let pipeline = Arc::clone(&self.pipeline);
            let mut asked = Box::pin(async move {
                let topic = pipeline.topics.get(&name).await;
                (name, topic.map(drop))
            });
            // Most topics are known, or have no route, so nothing has to be waited for.
            match poll_once(&mut asked).await {
                Some((name, topic)) => {
                    found.insert(name, topic);
                }
                None => {
                    asking.spawn(asked);
                }
            }
            if asking.len() >= AT_ONCE && !one_more(&mut asking, &mut found, deadline).await {
                return found;
            }
        }
        while one_more(&mut asking, &mut found, deadline).await {}
        found
    }
}

/// Waits for one of the look-ups. False: there is none, or the time is over.
async fn one_more(
    asking: &mut JoinSet<(Arc<str>, Found)>,
    found: &mut HashMap<Arc<str>, Found>,
    deadline: Instant,
) -> bool {
    match tokio::time::timeout_at(deadline, asking.join_next()).await {
        Ok(Some(Ok((name, topic)))) => {
            found.insert(name, topic);
            true
        }
        Ok(Some(Err(error))) => {
            tracing::error!(%error, "a topic could not be looked up");
            true
        }
        Ok(None) | Err(_) => false,
    }
}

/// What comes of this without waiting.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    poll_fn(|context| match Pin::new(&mut *future).poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
