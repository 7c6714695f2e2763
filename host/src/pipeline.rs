//! One request's way from parsed records to the producer: topics, then record by record the partition, then room for all of
//! them, then the hand-over; each in the order of the request.
//!
//! The partitions come before the room, since what there is room for depends on them ([`crate::admission`]): a request that finds
//! one of its partitions full is told so as a whole, or waits, and nothing of it has been taken.

mod decided;
mod resolved;
mod turn;
mod turns;

use std::{
    iter::Peekable,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

pub use self::{decided::Decided, turns::Turns};
use self::{
    decided::{Placed, Refused},
    resolved::{Resolved, Sendable},
    turn::Turn,
};
use crate::{
    admission::{Admission, Busy, Held, Queued},
    base::{
        metrics::Metrics,
        outcome::{Code, RecordError},
        record::Record,
    },
    plugin::Pool,
    produce::{
        Health, Producer, Sender,
        batch::{Answer, Batch, Purpose, Seen, Ticket},
    },
    routing::{
        route,
        topics::{TopicError, Topics},
    },
    topic::{Destination, Topic},
};
use tokio::sync::Semaphore;

/// Records decided or handed over before the task lets others run, where no plugin does so earlier.
/// Tests have them run between nearly all.
const RECORDS_BETWEEN_YIELDS: usize = if cfg!(test) { 3 } else { 512 };

/// What a record takes beside its bytes once its partition is known.
pub const DECIDED_BYTES: usize = size_of::<Result<Placed, Refused>>();
/// Requests of more records than are handed over between two yields, that are handed over at once: until that has ended the producer's
/// copies are there beside the bodies that they were made from.
const LARGE_HAND_OVERS: usize = 2;

/// A record as it was read, or why it could not be.
pub type Parsed = Result<Record, RecordError>;

/// Everything between a parsed request and its batch. Built once.
pub struct Pipeline {
    /// Where records go.
    pub producer: Arc<dyn Producer>,
    /// What is known of topics.
    pub topics: Topics,
    /// Room for bodies and records.
    pub admission: Arc<Admission>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// `message.max.bytes`.
    pub max_record_bytes: usize,
    /// `limits.max_plugin_ms`.
    pub max_plugin_ms: u64,
    /// Requests that are being handed over; a drain waits for them, whether or not their clients do.
    pub open: AtomicUsize,
    /// See [`large_hand_overs`].
    pub large: Semaphore,
    /// For what keeps a worker busy for long.
    pub turns: Turns,
}

/// One destination for each large request that may be handed over at once.
pub fn large_hand_overs() -> Semaphore {
    Semaphore::new(LARGE_HAND_OVERS)
}

/// Room that a request has been given: from here on it is taken.
pub struct Taken {
    records: Queued,
    slots: Option<Held>,
    reply: Option<Held>,
}

/// A request that was handed over.
pub struct Submitted {
    /// Its slots.
    pub batch: Arc<Batch>,
    /// What its reply may take.
    pub reply: Option<Held>,
    /// By record, the plugin that was asked; empty unless a trace was wanted.
    pub trace: Vec<Option<Arc<Pool>>>,
}

/// Why nothing of a request was taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// No room within the wait.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// Kafka, or the producer, cannot be used now.
    #[error("{0}")]
    Unavailable(String),
}

impl NotTaken {
    /// Kafka cannot say what partitions a topic has.
    pub fn without_partitions(topic: &str, reason: &str) -> Self {
        Self::Unavailable(format!(
            "the partitions of topic \"{topic}\" cannot be had from Kafka: {reason}"
        ))
    }
}

/// How a request wants its records handled.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    /// Whether outcomes are waited for.
    pub answer: Answer,
    /// Whether the reply says which plugin was asked.
    pub trace: bool,
}

impl Pipeline {
    /// Takes the whole request or nothing of it. Must not be cancelled half-way: run it as a task of its own.
    pub async fn submit(&self, records: Vec<Parsed>, body: Option<Held>, mode: Mode) -> Result<Submitted, NotTaken> {
        let decided = self.decide(records, mode.trace).await?;
        let room = self.make_room(&decided, &mut { body }).await?;
        Ok(self.hand_over(decided, room, mode.answer).await)
    }

    /// Finds each record's partition, in their order. Nothing is taken yet.
    pub async fn decide(&self, records: Vec<Parsed>, trace: bool) -> Result<Decided<'_>, NotTaken> {
        let open = Open::begin(&self.open);
        if let Health::Renewing(reason) = self.producer.health() {
            return Err(NotTaken::Unavailable(format!(
                "the producer is being renewed after a fatal error ({reason}); send it again in a moment"
            )));
        }
        let resolved = self
            .admission
            .in_time(self.resolve(&records))
            .await
            .unwrap_or_else(|| {
                Err(NotTaken::Unavailable(
                    "the partitions of the request's topics could not be had from Kafka within limits.max_wait_ms"
                        .to_owned(),
                ))
            })?;
        let mut decided = Decided::new(records.len(), trace, open);
        let mut turn = Turn::new(self.topics.routes(), self.max_plugin_ms);
        let mut since_yield = 0;
        let mut records = records
            .into_iter()
            .map(|parsed| self.sendable(parsed, &resolved))
            .peekable();
        while let Some(sendable) = records.next() {
            let before = decided.records.len();
            match sendable {
                Err(refused) => decided.push(Err(refused), None),
                Ok(first) => self::decide(first, &mut records, &mut turn, &mut decided).await,
            }
            since_yield += decided.records.len() - before;
            if turn.is_over() || since_yield >= RECORDS_BETWEEN_YIELDS {
                turn.pause();
                tokio::task::yield_now().await;
                turn.resume();
                since_yield = 0;
            }
        }
        drop(records);
        drop(turn);
        decided.topics = resolved.seen;
        Ok(decided)
    }

    /// The last thing that may refuse the request; after it, it is taken as a whole. What `body` holds becomes the room of its records,
    /// its slots and its reply.
    pub async fn make_room(&self, decided: &Decided<'_>, body: &mut Option<Held>) -> Result<Taken, NotTaken> {
        let (slots, reply) = (decided.slot_bytes(), decided.reply_bytes());
        if let Some(body) = body {
            // Reading has held room for all that is not refused.
            body.grow(slots + reply).await?;
        }
        let mut part = |bytes| body.as_mut().map(|body| body.split(bytes));
        let (slots, reply) = (part(slots), part(reply));
        let queued = self.admission.queue(decided.loads(), body).await;
        match queued {
            Ok(records) => Ok(Taken { records, slots, reply }),
            Err(busy) => {
                // A stream tries again.
                if let Some(body) = body {
                    slots.into_iter().chain(reply).for_each(|part| body.merge(part));
                }
                Err(decided.explain(busy).into())
            }
        }
    }

    /// Hands over, record by record, in their order. Must not be cancelled half-way.
    pub async fn hand_over(&self, decided: Decided<'_>, room: Taken, answer: Answer) -> Submitted {
        let Decided {
            records,
            topics,
            trace,
            _open,
            ..
        } = decided;
        let _large = match records.len() > RECORDS_BETWEEN_YIELDS {
            // Never closed.
            true => self.large.acquire().await.ok(),
            false => None,
        };
        let purpose = Purpose {
            generation: self.producer.generation(),
            answer,
            metrics: Arc::clone(&self.metrics),
            admission: Arc::clone(&self.admission),
            slots: room.slots,
        };
        let places = records.iter().map(|record| Some(record.as_ref().ok()?.destination));
        let batch = Batch::new(places, topics, purpose);
        room.records.hand_on();
        let mut sender = self.producer.sender(batch.generation());
        for (index, placed) in records.into_iter().enumerate() {
            match placed {
                Ok(Placed { record, destination }) => send(&mut *sender, &batch, index, &record, destination),
                Err(Refused { topic, error }) => batch.refuse(index, topic.as_deref(), error),
            }
            if index % RECORDS_BETWEEN_YIELDS == RECORDS_BETWEEN_YIELDS - 1 {
                tokio::task::yield_now().await;
            }
        }
        batch.handed_over();
        Submitted {
            batch,
            reply: room.reply,
            trace,
        }
    }

    /// Whether no record waits for its outcome, and none is about to.
    pub fn is_empty(&self) -> bool {
        self.open.load(Ordering::SeqCst) == 0 && self.admission.queued_records() == 0
    }

    /// Every topic of the request, before the first record is decided: what is unavailable refuses the whole request.
    async fn resolve(&self, records: &[Parsed]) -> Result<Resolved, NotTaken> {
        let mut resolved = Resolved::default();
        for record in records.iter().flatten() {
            if resolved.knows(&record.topic) {
                continue;
            }
            let found = match self.topics.get(&record.topic).await {
                Ok(topic) => Ok(topic),
                Err(TopicError::Refused(error)) => Err(error),
                Err(TopicError::Unavailable(reason)) => {
                    return Err(NotTaken::without_partitions(&record.topic, &reason));
                }
            };
            resolved.add(&record.topic, found);
        }
        Ok(resolved)
    }

    /// A record with its topic and its size, or why it goes nowhere, and what that counts for.
    fn sendable<'t>(&self, parsed: Parsed, resolved: &'t Resolved) -> Result<Sendable<'t>, Refused> {
        let record = parsed.map_err(|error| Refused { topic: None, error })?;
        let topic = resolved
            .find(&record.topic)
            .map_err(|error| Refused { topic: None, error })?;
        let seen = &resolved.seen[topic as usize];
        let bytes = record.wire_size();
        if bytes > self.max_record_bytes {
            return Err(Refused {
                topic: Some(Arc::clone(&seen.0)),
                error: self.too_large(bytes),
            });
        }
        let destination = Destination {
            topic,
            partition: 0,
            // librdkafka's own bound for it is far below.
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            held: u32::try_from(record.queue_bytes()).unwrap_or(u32::MAX),
            keyed: record.key.is_some(),
            timestamp: record.timestamp,
        };
        Ok(Sendable(record, destination, seen))
    }

    fn too_large(&self, size: usize) -> RecordError {
        RecordError::new(
            Code::RecordTooLarge,
            format!(
                "the record takes {size} bytes, over message.max.bytes ({}); make it smaller, or raise that",
                self.max_record_bytes
            ),
        )
    }
}

/// Hands over one record, unless its topic does not take it or is closed.
fn send(sender: &mut dyn Sender, batch: &Arc<Batch>, index: usize, record: &Record, destination: Destination) {
    let topic = batch.topic(destination);
    match topic.admit(record, destination) {
        Ok(probe) => sender.send(record, destination.partition, Ticket::new(batch, index, probe)),
        Err(error) => batch.refuse(index, Some(topic), error),
    }
}

/// Decides about a record, and about those after it that its plugin can decide about in the same call.
async fn decide<'t>(
    first: Sendable<'t>,
    records: &mut Peekable<impl Iterator<Item = Result<Sendable<'t>, Refused>>>,
    turn: &mut Turn<'_>,
    decided: &mut Decided<'_>,
) {
    let (topic, partitions) = first.2;
    if let Some(pool) = turn.wants_lease(&first.0, topic) {
        turn.lease(pool).await;
    }
    let asked = decided.traced(|| turn.asks(&first.0, topic).cloned());
    let most = match first.0.partition {
        Some(_) => 1,
        None => turn.batch_size(topic),
    };
    if most == 1 {
        return decided.push(decide_one(first.0, first.1, first.2, turn), asked);
    }
    let (mut batch, mut places) = (Vec::with_capacity(most), Vec::with_capacity(most));
    let destination = first.1;
    batch.push(first.0);
    places.push(destination);
    while batch.len() < most
        && let Some(Ok(next)) = records.next_if(|next| next.as_ref().is_ok_and(|next| next.continues(&destination)))
    {
        batch.push(next.0);
        places.push(next.1);
    }
    let (batch, partitioned) = match batch.len() {
        1 => (batch, None),
        _ => turn.decide_batch(batch, topic, partitions),
    };
    if let Some(partitioned) = partitioned {
        for ((record, destination), partition) in batch.into_iter().zip(places).zip(partitioned) {
            decided.push(placed(record, destination, partition, topic), asked.clone());
        }
        return;
    }
    // There is only one, or one of them has made the plugin fail: only that one is to suffer.
    for (record, destination) in batch.into_iter().zip(places) {
        if let Some(pool) = turn.wants_lease(&record, topic) {
            turn.lease(pool).await;
        }
        decided.push(decide_one(record, destination, first.2, turn), asked.clone());
        // Each of them may take all of its time.
        if turn.is_over() {
            turn.pause();
            tokio::task::yield_now().await;
            turn.resume();
        }
    }
}

/// Decides one record after [`Turn::wants_lease`] has been asked about it.
fn decide_one(
    record: Record,
    destination: Destination,
    (topic, partitions): &Seen,
    turn: &mut Turn<'_>,
) -> Result<Placed, Refused> {
    let (record, partition) = match record.partition {
        Some(partition) => (record, route::explicit(partition, topic, partitions)),
        None => turn.decide(record, topic, partitions),
    };
    placed(record, destination, partition, topic)
}

fn placed(
    record: Record,
    destination: Destination,
    partition: Result<u32, RecordError>,
    topic: &Arc<Topic>,
) -> Result<Placed, Refused> {
    match partition {
        Ok(partition) => Ok(Placed {
            record,
            destination: Destination {
                partition,
                ..destination
            },
        }),
        Err(error) => Err(Refused {
            topic: Some(Arc::clone(topic)),
            error,
        }),
    }
}

/// A request being handed over, until this is dropped.
struct Open<'a>(&'a AtomicUsize);

impl<'a> Open<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
pub(crate) mod tests;
