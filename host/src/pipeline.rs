//! The way of one request from parsed records to the producer: look up its topics, find each record's partition, take
//! room for all records, hand them over. Each step keeps the order of the request.
//!
//! Partitions come before room, since room depends on them ([`crate::admission`]). A request that finds one of its
//! partitions full waits or is refused as a whole; until then nothing of it has been taken.

mod by;
mod deciding;
mod long_work;
mod not_taken;
mod placed;
mod plugin_session;
mod request_topics;
mod routed_request;
mod schemed;
mod stamp;
mod tenant_records;
mod trace;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use pointsman_routing::rules;
use tokio::{sync::Semaphore, time::Instant};

use self::{
    by::By,
    placed::{Placed, Refused, too_large},
    plugin_session::PluginSession,
    request_topics::{RequestTopics, Sendable},
    routed_request::OpenRequest,
    schemed::RequestSchemas,
};
pub use self::{
    long_work::LongWork,
    not_taken::NotTaken,
    routed_request::RoutedRequest,
    stamp::STAMP,
    trace::{Trace, Traced, TracedRow, TracedTenant},
};
use crate::{
    admission::{self, Admission, ByTable, Queued, Reservation},
    base::{metrics::Metrics, outcome::RecordError, record::Record},
    observe::Observer,
    produce::{
        Health, Producer, Sender,
        batch::{AckMode, Batch, Purpose, Ticket},
    },
    routing::topics::{TopicError, Topics},
    schemas::Schemas,
    tenants::Tenants,
    topic::Destination,
};
/// Records that are decided or handed over before the task lets others run; plugins make it do so earlier. In tests,
/// others run after nearly every record.
const RECORDS_BETWEEN_YIELDS: usize = if cfg!(test) { 3 } else { 512 };

/// So many bytes that are encoded take about the time of a record that is not.
const ENCODED_AS_A_RECORD: usize = 256;

/// Memory for a record beside its bytes, once its partition is known.
pub const DECIDED_BYTES: usize = size_of::<Result<Placed, Refused>>();
/// Large hand-overs at once. A hand-over is large if it has to let others run before its end; until that end, the
/// producer's copies exist beside the bodies that they were made from.
const LARGE_HAND_OVERS: usize = 2;

/// A record, or why it could not be read.
pub type Parsed = Result<Record, RecordError>;

/// All that takes a request from parsed records to its batch. Built once.
pub struct Pipeline {
    /// Where records go.
    pub producer: Arc<dyn Producer>,
    /// Every known topic.
    pub topics: Topics,
    /// The routing table of tenants.
    pub tenants: Arc<Tenants>,
    /// Counts who loads what, if there is a routing table to be followed.
    pub observer: Option<Arc<Observer>>,
    /// `routing.stamp`: whether tenants' records get the header [`STAMP`].
    pub stamps: bool,
    /// The schemas that records are checked and encoded by.
    pub schemas: Schemas,
    /// Room for bodies and records.
    pub admission: Arc<Admission>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// `message.max.bytes`: the largest record, in bytes.
    pub max_record_bytes: usize,
    /// `limits.max_plugin_ms`: plugin time for one request, in ms.
    pub max_plugin_ms: u64,
    /// Requests that are being handed over. A drain waits for them, even when their clients do not.
    pub open: AtomicUsize,
    /// One permit for each large hand-over; see [`large_hand_overs`].
    pub large: Semaphore,
    /// Turns for work that keeps a worker busy for long.
    pub long_work: LongWork,
}

/// One permit for each large request that may be handed over at once.
pub fn large_hand_overs() -> Semaphore {
    Semaphore::new(LARGE_HAND_OVERS)
}

/// Room that a request has been given. From here on the request is taken.
pub struct RequestRoom {
    /// In the producer's queue, for all records.
    records: Queued,
    /// Memory for the outcomes.
    slots: Option<Reservation>,
    /// Memory for the reply.
    reply: Option<Reservation>,
}

/// A request that was handed over.
pub struct Submitted {
    /// The outcomes, one slot for each record.
    pub batch: Arc<Batch>,
    /// Memory for the reply.
    pub reply: Option<Reservation>,
    /// How each record was decided, if the client wants a trace.
    pub trace: Option<Trace>,
}

/// How a request wants its records handled.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    /// Whether outcomes are waited for.
    pub ack: AckMode,
    /// Whether the reply says how each record was decided.
    pub trace: bool,
}

impl Pipeline {
    /// Takes the whole request or nothing of it. Must not be cancelled half-way: run it in a task of its own.
    pub async fn submit(
        &self,
        records: Vec<Parsed>,
        body: Option<Reservation>,
        mode: Mode,
    ) -> Result<Submitted, NotTaken> {
        let mut routed = self.decide(records, mode.trace).await?;
        let room = self.make_room(&mut routed, &mut { body }).await?;
        Ok(self.hand_over(routed, room, mode.ack).await)
    }

    /// Finds each record's partition, in the order of the request. Takes nothing yet.
    pub async fn decide(&self, records: Vec<Parsed>, trace: bool) -> Result<RoutedRequest<'_>, NotTaken> {
        let open = OpenRequest::begin(&self.open);
        if let Health::Renewing(reason) = self.producer.health() {
            return Err(NotTaken::Unavailable(format!(
                "the producer is being renewed after a fatal error ({reason}); send it again in a moment"
            )));
        }
        let request_topics = self
            .admission
            .in_time(self.resolve(&records))
            .await
            .unwrap_or_else(|| {
                Err(NotTaken::Unavailable(
                    "the partitions of the request's topics could not be had from Kafka within limits.max_wait_ms"
                        .to_owned(),
                ))
            })?;
        let table = self.topics.routes().table();
        let schemas = RequestSchemas::of(&self.schemas, &table, &records, &request_topics).await;
        let stamps = self.stamps.then_some(self.max_record_bytes);
        let mut routed = RoutedRequest::new(records.len(), trace, stamps, open);
        let mut session = PluginSession::new(self.topics.routes(), self.max_plugin_ms);
        let (mut since_yield, mut encoded) = (0, 0);
        let mut records = records
            .into_iter()
            .map(|parsed| self.sendable(parsed, &request_topics, &schemas))
            .peekable();
        while let Some(sendable) = records.next() {
            let before = routed.records.len();
            match sendable {
                Err(refused) => routed.push(Err(refused), By::default()),
                Ok(first) => deciding::decide(first, &mut records, &mut session, &mut routed).await,
            }
            since_yield += routed.records.len() - before + (routed.encoded_bytes - encoded) / ENCODED_AS_A_RECORD;
            encoded = routed.encoded_bytes;
            if session.is_over() || since_yield >= RECORDS_BETWEEN_YIELDS {
                session.pause();
                tokio::task::yield_now().await;
                session.resume();
                since_yield = 0;
            }
        }
        drop(records);
        drop(session);
        routed.topics = request_topics.views;
        Ok(routed)
    }

    /// The last step that may refuse the request; after it, the request is taken as a whole. The memory of `body`
    /// becomes the room of the records, their slots and the reply.
    ///
    /// Resolves the request's tenants first. If another routing table comes before there is room, they are resolved anew.
    pub async fn make_room(
        &self,
        routed: &mut RoutedRequest<'_>,
        body: &mut Option<Reservation>,
    ) -> Result<RequestRoom, NotTaken> {
        let begun = Instant::now();
        if let Some(body) = body {
            // What was encoded stands beside the body; a request that comes here again has it counted already.
            body.grow(body.bytes() + routed.encoded_bytes).await?;
            routed.encoded_bytes = 0;
        }
        loop {
            let by_table = routed.resolve(&self.tenants)?;
            match self.try_room(routed, by_table, body, begun).await {
                Ok(room) => return Ok(room),
                Err(admission::NotTaken::Outdated) => routed.look_anew(),
                Err(admission::NotTaken::Busy(busy)) => {
                    return Err(match routed.held() {
                        Some((tenant, topic)) => NotTaken::TenantMoving {
                            tenant: rules::name_of(topic, tenant),
                            waited: busy.waited,
                        },
                        None => routed.explain(busy).into(),
                    });
                }
            }
        }
    }

    async fn try_room(
        &self,
        routed: &RoutedRequest<'_>,
        by_table: ByTable,
        body: &mut Option<Reservation>,
        begun: Instant,
    ) -> Result<RequestRoom, admission::NotTaken> {
        let (slots, reply) = (routed.slot_bytes(), routed.reply_bytes());
        if let Some(body) = body {
            // Reading has already taken memory for everything but refusals.
            body.grow(slots + reply).await?;
        }
        let mut part = |bytes| body.as_mut().map(|body| body.split(bytes));
        let (slots, reply) = (part(slots), part(reply));
        let queued = self.admission.queue(routed.loads(), body, by_table, begun).await;
        match queued {
            Ok(records) => Ok(RequestRoom { records, slots, reply }),
            Err(error) => {
                // A stream tries again, and so does a request by a newer table: both need their memory for that.
                if let Some(body) = body {
                    slots.into_iter().chain(reply).for_each(|part| body.merge(part));
                }
                Err(error)
            }
        }
    }

    /// Hands over the records, in the order of the request. Must not be cancelled half-way.
    pub async fn hand_over(&self, routed: RoutedRequest<'_>, room: RequestRoom, ack: AckMode) -> Submitted {
        if let Some(observer) = &self.observer {
            routed.count(observer);
        }
        let RoutedRequest {
            records,
            topics,
            tenants,
            by,
            rows,
            stamp,
            _open,
            ..
        } = routed;
        let _large = match records.len() > RECORDS_BETWEEN_YIELDS {
            // The semaphore is never closed.
            true => self.large.acquire().await.ok(),
            false => None,
        };
        let purpose = Purpose {
            generation: self.producer.generation(),
            ack,
            metrics: Arc::clone(&self.metrics),
            admission: Arc::clone(&self.admission),
            fence: room.records.hand_on(),
            slots: room.slots,
        };
        let places = records.iter().map(|record| Some(record.as_ref().ok()?.destination));
        let batch = Batch::new(places, topics, purpose);
        let mut sender = self.producer.sender(batch.generation());
        for (index, placed) in records.into_iter().enumerate() {
            match placed {
                Ok(Placed {
                    mut record,
                    destination,
                }) => {
                    if let Some(stamp) = &stamp
                        && tenants.find(index).is_some()
                    {
                        stamp::put(&mut record, stamp);
                    }
                    send(&mut *sender, &batch, index, record, destination);
                }
                Err(Refused { topic, error }) => batch.refuse(index, topic.as_deref(), error),
            }
            if index % RECORDS_BETWEEN_YIELDS == RECORDS_BETWEEN_YIELDS - 1 {
                sender.hand_over();
                tokio::task::yield_now().await;
            }
        }
        sender.hand_over();
        batch.handed_over();
        Submitted {
            batch,
            reply: room.reply,
            trace: Trace::new(by, tenants, rows),
        }
    }

    /// Whether no record waits for its outcome, and no request is about to add one.
    pub fn is_empty(&self) -> bool {
        self.open.load(Ordering::SeqCst) == 0 && self.admission.queued_records() == 0
    }

    /// Looks up every topic of the request before the first record is decided: a topic that is unavailable refuses the
    /// whole request.
    async fn resolve(&self, records: &[Parsed]) -> Result<RequestTopics, NotTaken> {
        let mut request_topics = RequestTopics::default();
        for record in records.iter().flatten() {
            if request_topics.knows(&record.topic) {
                continue;
            }
            let found = match self.topics.get(&record.topic).await {
                Ok(topic) => Ok(topic),
                Err(TopicError::Refused(error)) => Err(error),
                Err(TopicError::Unavailable(reason)) => {
                    return Err(NotTaken::without_partitions(&record.topic, &reason));
                }
            };
            request_topics.add(&record.topic, found);
        }
        Ok(request_topics)
    }

    /// A record with its topic and size; or why it is refused, and the topic that the refusal counts for.
    fn sendable<'t>(
        &self,
        parsed: Parsed,
        request_topics: &'t RequestTopics,
        schemas: &RequestSchemas,
    ) -> Result<Sendable<'t>, Refused> {
        let mut record = parsed.map_err(|error| Refused { topic: None, error })?;
        let topic = request_topics
            .find(&record.topic)
            .map_err(|error| Refused { topic: None, error })?;
        let view = &request_topics.views[topic as usize];
        let refuse = |error| Refused {
            topic: Some(Arc::clone(&view.topic)),
            error,
        };
        let applied = schemas.apply(topic, &mut record).map_err(refuse)?;
        let (bytes, queue_bytes) = applied.sizes(&record);
        if bytes > self.max_record_bytes {
            let encoded = if applied.encoded.is_some() {
                " as it is encoded"
            } else {
                ""
            };
            return Err(refuse(too_large(encoded, bytes, self.max_record_bytes)));
        }
        let destination = Destination {
            topic,
            partition: 0,
            // librdkafka's own bound for this size is far below.
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            held: u32::try_from(queue_bytes).unwrap_or(u32::MAX),
            keyed: record.key.is_some(),
            timestamp: record.timestamp,
        };
        Ok(Sendable {
            record,
            destination,
            view,
            applied,
        })
    }
}

/// Hands over one record, unless its topic is closed or refuses it.
fn send(sender: &mut dyn Sender, batch: &Arc<Batch>, index: usize, record: Record, destination: Destination) {
    let topic = batch.topic(destination);
    match topic.admit(&record, destination) {
        Ok(probe) => sender.send(record, destination.partition, Ticket::new(batch, index, probe)),
        Err(error) => batch.refuse(index, Some(topic), error),
    }
}

#[cfg(test)]
pub(crate) mod tests;
