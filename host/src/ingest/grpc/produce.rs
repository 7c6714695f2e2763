//! `Produce`: a batch, and the outcomes of all its records.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{Response, http::request::Parts};
use pointsman_proto::v1;

use super::{call, status};
use crate::{
    admission::Reservation,
    ingest::{
        api::{Api, wants_trace},
        body::{self, Whole},
        error::IngestError,
        incoming::Incoming,
        messages::{compressed, frame, outcome, record},
        numbering,
        outgoing::{Reply, counted},
        parse::Memory,
        records::LARGE_BODY,
        reply,
        request::{Request, Wishes, check_ack},
    },
    ordering::sequence::{Number, Owner},
    produce::batch::AckMode,
};

impl Api {
    /// Takes the whole call, or nothing of it.
    pub(super) async fn grpc_produce(
        &self,
        head: &Parts,
        body: &mut Incoming,
        owner: Owner,
    ) -> Result<Response<Reply>, IngestError> {
        let in_metadata = numbering::of(&head.headers, owner)?;
        let deadline = Instant::now() + self.grpc_timeout(head)?;
        let (message, mut room) = self.message(head, body).await?;
        let held = room.bytes();
        let v1::ProduceRequest {
            topic,
            records,
            ack,
            number,
            trace,
        } = self.decoded(&message, &mut room).await?;
        let number = match (number, in_metadata) {
            (Some(_), Some(_)) => {
                return Err(IngestError::BadHeader(
                    "the request has a number, and its metadata has another; send one of them".to_owned(),
                ));
            }
            (Some(number), None) => Some(numbering::of_message(&number, owner)?),
            (None, number) => number,
        };
        let wishes = Wishes {
            ack: ack_mode(ack)?,
            trace: trace || wants_trace(&head.headers),
            deadline,
        };
        check_ack(number.as_ref(), wishes.ack)?;
        let request = self.records((&topic, records), message.len(), (room, held)).await?;
        self.grpc_answer(number, request, &wishes).await
    }

    async fn grpc_answer(
        &self,
        number: Option<Number>,
        request: Request,
        wishes: &Wishes,
    ) -> Result<Response<Reply>, IngestError> {
        let outcomes = self.take(number, request, wishes).await?;
        let answer = self.write(outcomes, |mut outcomes| {
            let (message, counted_as) = match wishes.ack {
                AckMode::Waited | AckMode::Streamed => (outcome::all(&outcomes), reply::status_of(&outcomes)),
                AckMode::Unwaited => {
                    let refused = outcomes.refused();
                    let status = reply::status_accepted(&refused, outcomes.len());
                    (outcome::accepted(&outcomes, &refused), status)
                }
            };
            status::answered(counted(message, outcomes.take_held()), counted_as)
        });
        Ok(answer.await)
    }

    /// How long the outcomes of this call are waited for.
    pub(in crate::ingest) fn grpc_timeout(&self, head: &Parts) -> Result<Duration, IngestError> {
        match call::timeout(&head.headers)? {
            Some(timeout) => Ok(timeout),
            None => self.timeout(&head.headers),
        }
    }

    /// The one message of a call, decompressed, and the room that it holds.
    pub(in crate::ingest) async fn message(
        &self,
        head: &Parts,
        body: &mut Incoming,
    ) -> Result<(Bytes, Reservation), IngestError> {
        let has_gzip = call::has_gzip(&head.headers)?;
        let (limits, admission) = (&self.limits, &self.pipeline.admission);
        let whole = body::read_by(body, limits, admission, |come| frame::Head::of(come, limits).map(drop));
        let Whole { bytes, mut room } = whole.await?;
        let (head, message) = frame::only(&bytes, limits)?;
        if !head.is_compressed {
            return Ok((message, room));
        }
        check_encoding(has_gzip)?;
        let message = compressed::gunzip(&message, &mut room, admission, limits).await?;
        // What came is not needed any more.
        room.set(message.len());
        Ok((message, room))
    }

    async fn decoded(&self, message: &Bytes, room: &mut Reservation) -> Result<v1::ProduceRequest, IngestError> {
        let weight = record::weigh(message, &self.limits)?;
        if weight.items == 0 {
            return Err(IngestError::EmptyBody(
                "the request has no records; send at least one".to_owned(),
            ));
        }
        self.make_room(room, weight.bytes).await?;
        let turn = self.pipeline.long_work.permit(message.len() > LARGE_BODY).await;
        let decoded = record::decode(message.clone());
        turn.end().await;
        decoded
    }

    /// Waits for room for what a message becomes, beside the message.
    pub(in crate::ingest) async fn make_room(&self, room: &mut Reservation, bytes: usize) -> Result<(), IngestError> {
        let held = room.bytes();
        if held + bytes > self.pipeline.admission.most_for_request() {
            return Err(crate::ingest::parse::no_memory());
        }
        Ok(room.grow(held + bytes).await?)
    }

    /// Makes records of what was decoded. `held` is what the message itself takes of the room.
    async fn records(
        &self,
        (topic, given): (&str, Vec<v1::Record>),
        message: usize,
        (mut room, held): (Reservation, usize),
    ) -> Result<Request, IngestError> {
        let topic: Option<Arc<str>> = match topic {
            "" => None,
            topic => Some(self.topic(topic).await?),
        };
        let turn = self.pipeline.long_work.permit(message > LARGE_BODY).await;
        let memory = Memory::unbounded();
        let records = record::records(given, topic.as_ref(), &memory);
        turn.end().await;
        record::settle(&mut room, held, &memory)?;
        Ok(Request { records, room })
    }
}

/// A message may be compressed only as its call says.
pub(super) fn check_encoding(has_gzip: bool) -> Result<(), IngestError> {
    match has_gzip {
        true => Ok(()),
        false => Err(IngestError::InvalidMessage(
            "the message says that it is compressed, and the call has no grpc-encoding; nothing was taken".to_owned(),
        )),
    }
}

fn ack_mode(given: i32) -> Result<AckMode, IngestError> {
    match v1::Ack::try_from(given) {
        Ok(v1::Ack::Unspecified | v1::Ack::All) => Ok(AckMode::Waited),
        Ok(v1::Ack::None) => Ok(AckMode::Unwaited),
        Err(_) => Err(IngestError::BadQuery(format!(
            "the request's ack is {given}; it may be ACK_ALL (1) or ACK_NONE (2)"
        ))),
    }
}
