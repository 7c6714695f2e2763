//! Records of whole messages of gRPC.
//!
//! A message is taken as a whole. Messages without a number are handed over together, as lines are; one with a number is
//! handed over in its turn.

use std::sync::Arc;

use bytes::Bytes;
use pointsman_proto::v1;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{
    Stream,
    end::End,
    framing::{Framing, Messages},
    taken::{Taken, TakenRecords, tell},
    window::{WINDOW, Window},
};
use crate::{
    admission::Reservation,
    base::{
        outcome::{Code, RecordError},
        record::valid_topic,
    },
    ingest::{
        error::IngestError,
        messages::{
            compressed,
            frame::{HEAD, Head},
            record,
            weight::Weight,
        },
        numbering,
        parse::{Memory, no_memory},
        records::LARGE_BODY,
        reply::{Outcomes, most_bytes},
    },
    ordering::numbered::Begun,
    pipeline::Parsed,
};

/// Records that are handed over together, as far as messages have that few.
const TOGETHER: usize = WINDOW / 2;

/// Records that are handed over together, and what they hold.
struct Gathered {
    records: Vec<Parsed>,
    held: Reservation,
    room: Option<OwnedSemaphorePermit>,
}

/// A message that may be decoded.
struct Weighed {
    message: Bytes,
    weight: Weight,
    /// Room for the message, if it was compressed, and for what it becomes.
    held: Reservation,
    /// Of the window.
    room: OwnedSemaphorePermit,
}

impl Stream {
    /// Hands over the records of whole messages.
    pub(super) async fn take_messages(
        &mut self,
        whole: &Bytes,
        taken: &mpsc::Sender<Taken>,
        window: &Window,
    ) -> Result<(), End> {
        let mut gathered = self.nothing();
        let took = self.gather(whole, &mut gathered, taken, window).await;
        // What came before an error is taken.
        self.hand_over_gathered(&mut gathered, taken).await?;
        took
    }

    /// Hands over the records of messages, but for the last few, which are gathered.
    async fn gather(
        &mut self,
        whole: &Bytes,
        gathered: &mut Gathered,
        taken: &mpsc::Sender<Taken>,
        window: &Window,
    ) -> Result<(), End> {
        let mut rest = whole.clone();
        while let Some(head) = Head::of(&rest, &self.limits)? {
            let message = rest.slice(HEAD..HEAD + head.length);
            rest = rest.slice(HEAD + head.length..);
            let weighed = self.weighed(head, message, gathered, (taken, window)).await?;
            if gathered.records.len() + weighed.weight.items > TOGETHER.min(self.limits.max_records) {
                self.hand_over_gathered(gathered, taken).await?;
            }
            self.add(weighed, gathered, taken).await?;
        }
        Ok(())
    }

    fn nothing(&self) -> Gathered {
        Gathered {
            records: Vec::new(),
            held: self.pipeline.admission.reservation(),
            room: None,
        }
    }

    /// Weighs a message, and takes room for what it becomes: first in the window, since a stream that waits for a client that
    /// does not read must hold no memory.
    async fn weighed(
        &self,
        head: Head,
        compressed: Bytes,
        gathered: &mut Gathered,
        (taken, window): (&mpsc::Sender<Taken>, &Window),
    ) -> Result<Weighed, End> {
        let mut room = None;
        loop {
            let mut held = self.pipeline.admission.reservation();
            let message = match head.is_compressed {
                true => self.decompressed(&compressed, &mut held).await?,
                false => compressed.clone(),
            };
            let weight = record::weigh(&message, &self.limits)?;
            let wanted = weight.items.clamp(1, WINDOW);
            if room.is_none() && window.room.available_permits() < wanted {
                // Those that are gathered have room in the window, which only their outcomes give back.
                self.hand_over_gathered(gathered, taken).await?;
            }
            let room = match room.take() {
                Some(room) => room,
                // What is decompressed is not kept through the wait.
                None if head.is_compressed && window.room.available_permits() < wanted => {
                    drop((message, held));
                    room = Some(self.window_room(wanted, taken, window).await?);
                    continue;
                }
                None => self.window_room(wanted, taken, window).await?,
            };
            let bytes = held.bytes() + weight.bytes;
            if bytes > self.pipeline.admission.most_for_request() {
                return Err(no_memory().into());
            }
            if !held.settle(bytes) {
                // What is gathered holds memory: many such streams could wait for one another.
                self.hand_over_gathered(gathered, taken).await?;
                self.wait_for(&mut held, bytes).await?;
            }
            return Ok(Weighed {
                message,
                weight,
                held,
                room,
            });
        }
    }

    async fn decompressed(&self, message: &Bytes, held: &mut Reservation) -> Result<Bytes, End> {
        let Framing::Messages(Messages { has_gzip: true, .. }) = self.framing else {
            return Err(End::error(
                "invalid_message",
                "a message says that it is compressed, and the call has no grpc-encoding",
            ));
        };
        let decompressing = compressed::gunzip(message, held, &self.pipeline.admission, &self.limits);
        Ok(decompressing.await?)
    }

    /// Decodes a message, and adds its records to those that are gathered. One with a number is handed over, after those.
    async fn add(&mut self, weighed: Weighed, gathered: &mut Gathered, taken: &mpsc::Sender<Taken>) -> Result<(), End> {
        let Weighed {
            message,
            weight,
            mut held,
            room,
        } = weighed;
        let turn = self.pipeline.long_work.permit(message.len() > LARGE_BODY).await;
        let v1::StreamRequest {
            topic,
            records,
            number,
            trace,
        } = record::decode(message)?;
        let memory = Memory::unbounded();
        let topic = topic_of(&mut self.framing, &topic)?;
        let records = record::records(records, topic.as_ref(), &memory);
        turn.end().await;
        self.trace |= trace;
        let kept = held.bytes().saturating_sub(weight.bytes);
        record::settle(&mut held, kept, &memory)?;
        let Some(number) = number else {
            gathered.records.extend(records);
            gathered.held.merge(held);
            match &mut gathered.room {
                Some(all) => all.merge(room),
                none => *none = Some(room),
            }
            return Ok(());
        };
        if records.is_empty() {
            return Err(End::error(
                "empty_body",
                "a request with a number has no records; send at least one",
            ));
        }
        self.hand_over_gathered(gathered, taken).await?;
        self.hand_over_numbered(&number, records, (held, room), taken).await
    }

    async fn hand_over_gathered(&self, gathered: &mut Gathered, taken: &mpsc::Sender<Taken>) -> Result<(), End> {
        let Gathered { records, held, room } = std::mem::replace(gathered, self.nothing());
        match room {
            Some(room) if !records.is_empty() => self.hand_over(records, held, room, taken).await,
            _ => Ok(()),
        }
    }

    /// Hands over a request with a number in its turn, or has its outcomes from memory.
    async fn hand_over_numbered(
        &self,
        number: &v1::Number,
        records: Vec<Parsed>,
        (held, room): (Reservation, OwnedSemaphorePermit),
        taken: &mpsc::Sender<Taken>,
    ) -> Result<(), End> {
        let Framing::Messages(Messages { owner, numbered, .. }) = &self.framing else {
            return Err(End::lost());
        };
        let number = numbering::of_message(number, *owner)?;
        let sequence = number.sequence;
        let content = numbered.content(&records);
        let begun = numbered.begin(number, content).await;
        let begun = begun.map_err(|error| {
            numbering::count(&error, &self.pipeline.metrics);
            IngestError::from(error)
        })?;
        let outcomes = match begun {
            Begun::Settled(settled) => tokio::spawn(async { Ok(Outcomes::remembered(settled, Some(held))) }),
            Begun::UnderWay(under_way) => {
                let mut reply = self.pipeline.admission.reservation();
                drop((records, held));
                tokio::spawn(async move {
                    let settled = under_way.outcomes().await.ok_or_else(End::lost)?;
                    reply.grow(most_bytes(&settled)).await.map_err(IngestError::from)?;
                    Ok(Outcomes::remembered(settled, Some(reply)))
                })
            }
            Begun::Send(permit) => {
                let pipeline = &self.pipeline;
                let decided = pipeline.decide(permit.to_send(records), self.trace).await;
                let mut decided = decided.map_err(|not_taken| End::not_taken(&not_taken))?;
                let place = self.make_room(pipeline, &mut decided, &mut Some(held)).await?;
                let handed_over = permit.submit_routed(pipeline, decided, place).await;
                // The outcomes must be remembered, whoever hears of them.
                tokio::spawn(async { Ok(handed_over.outcomes().await.into()) })
            }
        };
        let records = TakenRecords::Numbered(sequence, outcomes);
        tell(taken, Taken { records, room }).await
    }
}

/// The topic of a message: its own, or the one before.
fn topic_of(framing: &mut Framing, given: &str) -> Result<Option<Arc<str>>, End> {
    let Framing::Messages(messages) = framing else {
        return Ok(None);
    };
    if !given.is_empty() && messages.topic.as_deref() != Some(given) {
        valid_topic(given).map_err(|problem| IngestError::Topic(RecordError::new(Code::InvalidTopic, problem)))?;
        messages.topic = Some(Arc::from(given));
    }
    Ok(messages.topic.clone())
}
