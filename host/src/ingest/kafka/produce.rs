//! Takes the batches of a Produce request, one after another: each as a whole, or nothing of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use kafka_protocol::ResponseError as Kafka;
use tokio::{sync::watch, task::yield_now};

use super::{
    KafkaApi,
    batch::{self, BatchError},
    outcomes::{PendingTopic, Taken, Waiting},
    producers,
    request::Produce,
    told::Told,
};
use crate::{
    admission::Reservation,
    base::{
        outcome::Code,
        record::{Record, valid_topic},
    },
    ingest::parse::{Context, Memory},
    ordering::{numbered::Begun, sequence::Content},
    pipeline::{NotTaken, Parsed, RequestRoom, RoutedRequest},
    produce::batch::AckMode,
};

/// A batch larger than this takes so long to read that it waits for a turn of long work.
const LARGE_BATCH: usize = 16 << 10;
/// Batches of a request that are taken before others have their turn: thousands of short ones need not wait for anything.
const BATCHES_BETWEEN_YIELDS: usize = 100;
/// Pause between two attempts to get room while many wait for one partition.
const CROWDED_PAUSE: Duration = Duration::from_millis(50);
/// The longest time in which the batches of a request are taken, however long its client would wait: until then, nobody notices that
/// the client is gone. It is what Java's and librdkafka's producers give a request.
const LONGEST_TAKING: Duration = Duration::from_secs(30);
/// The longest time that a client can give a request, ms.
const MAX_TIMEOUT_MS: u64 = 86_400_000;

/// What holds for all batches of one request.
struct Terms<'a> {
    ack: AckMode,
    /// Until when batches are taken.
    until: Instant,
    /// Becomes true when the process is about to end.
    drain: &'a watch::Receiver<bool>,
}

/// One batch as it came.
struct Sent<'a> {
    topic: &'a str,
    partition: i32,
    bytes: Bytes,
}

impl KafkaApi {
    /// Takes the batches in the order of the request. `answer` is the room for what is told of them. Must not be cancelled half-way.
    pub(super) async fn take(
        &self,
        request: Produce,
        room: Reservation,
        mut answer: Reservation,
        drain: &watch::Receiver<bool>,
    ) -> Taken {
        let (now, patience) = (Instant::now(), patience(request.timeout_ms));
        let terms = Terms {
            ack: if request.acks == 0 {
                AckMode::Unwaited
            } else {
                AckMode::Waited
            },
            until: now + patience.min(LONGEST_TAKING),
            drain,
        };
        let refusal = refusal_of_all(&request);
        // A single batch gives its room in exchange for its records'. With several, the bytes stay until the last is handed over.
        let batches: usize = request.topics.iter().map(|topic| topic.partitions.len()).sum();
        let (mut only, _all) = match batches {
            1 => (Some(room), None),
            _ => (None, Some(room)),
        };
        let (mut topics, mut taken) = (Vec::with_capacity(request.topics.len()), 0);
        for topic in request.topics {
            let name = topic.name.as_str();
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for (partition, bytes) in topic.partitions {
                let room = only.take().unwrap_or_else(|| self.pipeline.admission.reservation());
                let sent = Sent {
                    topic: name,
                    partition,
                    bytes,
                };
                let waiting = match &refusal {
                    Some(refusal) => Waiting::Told(refusal.clone()),
                    None => self.batch(sent, room, &mut answer, &terms).await,
                };
                taken += 1;
                if taken % BATCHES_BETWEEN_YIELDS == 0 {
                    yield_now().await;
                }
                partitions.push((partition, waiting));
            }
            topics.push(PendingTopic {
                name: name.to_owned(),
                partitions,
            });
        }
        Taken {
            topics,
            deadline: now + patience,
            room: answer,
        }
    }

    /// Takes one batch. If it is refused, its room becomes that of the answer, as far as the reasons need it.
    async fn batch(
        &self,
        sent: Sent<'_>,
        mut room: Reservation,
        answer: &mut Reservation,
        terms: &Terms<'_>,
    ) -> Waiting {
        match self.try_batch(sent, &mut room, terms).await {
            Ok(waiting) => waiting,
            Err(told) => {
                answer.merge(room.split(told.reasons_bytes()));
                Waiting::Told(told)
            }
        }
    }

    async fn try_batch(&self, sent: Sent<'_>, room: &mut Reservation, terms: &Terms<'_>) -> Result<Waiting, Told> {
        self.check_target(&sent)?;
        let head = batch::head(&sent.bytes, &self.limits)?;
        let Some(producer) = head.producer else {
            let topic = self.topic(&sent, terms).await?;
            let records = self.read(&head, &sent.bytes, topic, room).await?;
            let records = records.into_iter().map(Ok).collect();
            let (routed, room) = self.decide(records, room, terms).await?;
            let submitted = self.pipeline.hand_over(routed, room, terms.ack).await;
            return Ok(Waiting::Plain(submitted.batch, submitted.reply));
        };
        if terms.ack != AckMode::Waited {
            return Err(Told::new(
                Kafka::InvalidRequiredAcks,
                "an idempotent producer needs acks=all; set acks=all, or enable.idempotence=false",
            ));
        }
        let number = producers::number(&self.numbered, producer, head.records, sent.topic, sent.partition);
        let content = Content {
            records: head.records,
            // Kafka, too, knows a batch that comes again by its sequences alone.
            digest: 0,
        };
        let permit = match self.numbered.begin(number.clone(), content).await? {
            Begun::Send(permit) => permit,
            Begun::UnderWay(under_way) => return Ok(Waiting::UnderWay(under_way, number)),
            Begun::Settled(settled) => return Ok(Waiting::Settled(settled, number)),
        };
        // Not before it has its turn: what is refused from here on keeps its place before the batches behind it.
        let topic = self.topic(&sent, terms).await?;
        let records = self.read(&head, &sent.bytes, topic, room).await?;
        let records = permit.to_send(records.into_iter().map(Ok).collect());
        let (routed, room) = self.decide(records, room, terms).await?;
        let handed_over = permit.submit_routed(&self.pipeline, routed, room).await;
        Ok(Waiting::Numbered(handed_over, number))
    }

    /// Checks the topic's name and the partition that the client chose.
    fn check_target(&self, sent: &Sent<'_>) -> Result<(), Told> {
        valid_topic(sent.topic).map_err(|problem| Told::new(Kafka::InvalidTopicException, problem))?;
        if !(0..self.partitions).contains(&sent.partition) {
            return Err(Told::new(
                Kafka::UnknownTopicOrPartition,
                format!(
                    "the batch is for partition {} of topic \"{}\", of which clients see {} here (listen.kafka_partitions); the sidecar \
                     decides about partitions, so send without one",
                    sent.partition, sent.topic, self.partitions
                ),
            ));
        }
        Ok(())
    }

    /// Looks up the topic.
    async fn topic(&self, sent: &Sent<'_>, terms: &Terms<'_>) -> Result<Arc<str>, Told> {
        if terms.until <= Instant::now() {
            return Err(Told::later(
                "the time of the request was over before the batch had its turn; send it again",
            ));
        }
        let name: Arc<str> = Arc::from(sent.topic);
        self.pipeline.topics.get(&name).await?;
        Ok(name)
    }

    /// Makes records of a batch, and holds room for them. The first attempt uses the memory that is free now; if that is not enough,
    /// it waits for more.
    async fn read(
        &self,
        head: &batch::Head,
        bytes: &Bytes,
        topic: Arc<str>,
        room: &mut Reservation,
    ) -> Result<Vec<Record>, Told> {
        let admission = &self.pipeline.admission;
        let held = room.bytes();
        let most = admission.most_for_request().saturating_sub(held);
        let mut context = Context {
            topic: Some(topic),
            limits: &self.limits,
            memory: Memory::unbounded(),
        };
        let mut reserved = 0;
        loop {
            let turn = self.pipeline.long_work.permit(bytes.len() > LARGE_BATCH).await;
            let may = admission.free().min(most).max(reserved);
            context.memory = Memory::of(may);
            let read = batch::records(head, bytes, &context);
            let used = context.memory.used();
            match read {
                Err(BatchError::NoMemory) if may < most => {}
                Err(error) => return Err(error.into()),
                Ok(records) => {
                    if room.settle(held + used) {
                        turn.end().await;
                        return Ok(records);
                    }
                }
            }
            drop(turn);
            reserved = may.saturating_mul(4).max(used).min(most);
            room.grow(held + reserved)
                .await
                .map_err(|busy| Told::later(format!("{busy}; nothing of the batch was taken")))?;
        }
    }

    /// Decides about all records and waits for room, but hands nothing over: one refused record refuses the batch.
    async fn decide(
        &self,
        records: Vec<Parsed>,
        room: &mut Reservation,
        terms: &Terms<'_>,
    ) -> Result<(RoutedRequest<'_>, RequestRoom), Told> {
        let mut routed = self.pipeline.decide(records, false).await?;
        self.check(&routed)?;
        let mut body = Some(room.split(room.bytes()));
        let made = self.room_for(&mut routed, &mut body, terms).await;
        if let Some(body) = body {
            room.merge(body);
        }
        let made = made?;
        // Tenants have their partitions only now, and a topic may have been closed meanwhile.
        self.check(&routed)?;
        Ok((routed, made))
    }

    fn check(&self, routed: &RoutedRequest<'_>) -> Result<(), Told> {
        let refused: Vec<_> = routed.refusals().collect();
        if refused.is_empty() {
            return Ok(());
        }
        if let Some((_, error)) = refused.iter().find(|(_, error)| error.code == Code::SchemaUnavailable) {
            return Err(Told::later(error.message.clone()));
        }
        routed.count_refused(&self.pipeline.metrics);
        Err(Told::refused(refused))
    }

    /// Whether there is more in memory than the queue of a crowded partition, which has half at most, and those in line for it, which
    /// have a quarter. Then other batches that wait for it must not keep their memory, or other requests would find none.
    fn is_tight(&self) -> bool {
        self.pipeline.admission.buffered() > self.limits.max_buffered_bytes / 4 * 3
    }

    /// Waits for room until the client has to be told something: nothing else is read from its connection meanwhile.
    async fn room_for(
        &self,
        routed: &mut RoutedRequest<'_>,
        body: &mut Option<Reservation>,
        terms: &Terms<'_>,
    ) -> Result<RequestRoom, Told> {
        loop {
            let not_taken = match self.pipeline.make_room(routed, body).await {
                Ok(room) => return Ok(room),
                Err(not_taken) => not_taken,
            };
            let waited = match &not_taken {
                NotTaken::Busy(busy) => busy.waited,
                NotTaken::TenantMoving { waited, .. } => *waited,
                NotTaken::NoTable(_) | NotTaken::Unavailable(_) => return Err(not_taken.into()),
            };
            if *terms.drain.borrow() || Instant::now() >= terms.until {
                return Err(not_taken.into());
            }
            // Many wait for one partition, so this one was sent away at once.
            if waited.is_zero() {
                if self.is_tight() {
                    return Err(not_taken.into());
                }
                tokio::time::sleep(CROWDED_PAUSE).await;
            }
        }
    }
}

/// Why no batch of the request can be taken.
fn refusal_of_all(request: &Produce) -> Option<Told> {
    if request.transactional {
        return Some(Told::new(
            Kafka::TransactionalIdAuthorizationFailed,
            "there are no transactions here; send without transactional.id",
        ));
    }
    if !matches!(request.acks, -1..=1) {
        return Some(Told::new(
            Kafka::InvalidRequiredAcks,
            format!("acks is {}, expected -1 (all), 0 or 1", request.acks),
        ));
    }
    None
}

/// How long a client waits for its answer. The answer comes somewhat earlier, so that it finds its client still waiting.
fn patience(timeout_ms: i32) -> Duration {
    let ms = u64::from(timeout_ms.max(0).unsigned_abs());
    Duration::from_millis(ms.min(MAX_TIMEOUT_MS) / 10 * 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_never_comes_after_its_client_has_given_up() {
        assert_eq!(patience(30_000), Duration::from_secs(27));
        assert_eq!(patience(-1), Duration::ZERO);
        assert!(patience(i32::MAX) < Duration::from_hours(24));
    }
}
