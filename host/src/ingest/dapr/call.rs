//! Dapr's publish API over gRPC. A message is decoded to the events of a request, and these go the way of all others.

use std::{borrow::Cow, collections::HashSet, hash::RandomState};

use bytes::Bytes;
use hyper::{Response, StatusCode, http::request::Parts};
use pointsman_proto::dapr as runtime;
use prost::Message;

use super::{
    about, absent,
    asked::{Called, check_names},
    bulk::{no_id, same_id},
    event::{Event, Now, Publication, TraceContext, out_of_memory},
    handle::{app_of, check_number, trace_of},
    metadata::Metadata,
    refusal::{Refusal, message_of},
};
use crate::{
    ingest::{
        api::Api,
        body::Whole,
        grpc::{call, status},
        incoming::Incoming,
        messages::{
            frame,
            record::decode,
            weight::{Field, Shape, Weight},
        },
        numbering,
        outgoing::{Reply, counted},
        parse::{Context, too_many},
        reply::Outcomes,
        request::Request,
    },
    ordering::sequence::Owner,
    pipeline::Parsed,
};

/// What a pair of metadata takes beside its texts: decoded in a table that grows, then in one that is sorted. No text takes
/// less than the smallest piece that the allocator gives, and a value that is shared takes one more.
const PAIR: usize = 4 * size_of::<(String, String)>() + 2 * size_of::<(Cow<'static, str>, Bytes)>() + 96;
/// What an event of a bulk takes, decoded in a list that grows, then as an event, and its id in a set.
const EVENT: usize = 2 * size_of::<runtime::BulkPublishRequestEntry>() + size_of::<Given>() + 64;

const PAIRS: Field = Field::Repeated(PAIR, &Shape(&[(1, Field::Copied), (2, Field::Copied)]));
/// What `PublishEventRequest` takes.
const PUBLISH: Shape = Shape(&[(1, Field::Copied), (2, Field::Copied), (4, Field::Copied), (5, PAIRS)]);
/// What `BulkPublishRequest` takes.
const BULK: Shape = Shape(&[
    (1, Field::Copied),
    (2, Field::Copied),
    (
        3,
        Field::Counted(EVENT, &Shape(&[(1, Field::Copied), (3, Field::Copied), (4, PAIRS)])),
    ),
    (4, PAIRS),
]);

/// The events of a call.
struct GivenAll {
    pubsub: String,
    topic: String,
    metadata: Metadata<'static>,
    events: Vec<Given>,
}

/// One event of a call.
struct Given {
    /// Empty where there is only one event.
    id: String,
    data: Bytes,
    content_type: String,
    metadata: Metadata<'static>,
}

impl Api {
    /// Answers a call of Dapr's service.
    pub(in crate::ingest) async fn dapr_call(
        &self,
        called: Called,
        head: &Parts,
        body: &mut Incoming,
        owner: Owner,
    ) -> Result<Response<Reply>, Refusal> {
        call::check(head)?;
        match called {
            Called::Publish | Called::Bulk => self.dapr_published(called, head, body, owner).await,
            Called::Metadata => {
                self.message(head, body).await?;
                Ok(answer(&about::message(app_of(&head.headers)), None, StatusCode::OK))
            }
            Called::Else => Err(absent::method()),
        }
    }

    async fn dapr_published(
        &self,
        called: Called,
        head: &Parts,
        body: &mut Incoming,
        owner: Owner,
    ) -> Result<Response<Reply>, Refusal> {
        let number = numbering::of(&head.headers, owner)?;
        let wishes = self.dapr_wishes(self.grpc_timeout(head)?);
        let (message, room) = self.message(head, body).await?;
        let read: fn(&Bytes, &Context<'_>) -> Result<GivenAll, Refusal> = match called {
            Called::Bulk => GivenAll::of_bulk,
            _ => GivenAll::of_one,
        };
        let whole = Whole {
            bytes: message.clone(),
            room,
        };
        let (given, room) = self.made(whole, read).await?;
        let trace = trace_of(&head.headers);
        let GivenAll {
            pubsub,
            topic,
            mut metadata,
            events,
        } = given;
        check_names(&pubsub, &topic)?;
        let is_raw = metadata.is_raw()?;
        check_number(number.as_ref(), is_raw)?;
        if is_raw && called == Called::Publish {
            add_trace(&mut metadata, trace);
        }
        if events.is_empty() && number.is_none() {
            return Ok(answer(&runtime::BulkPublishResponse::default(), None, StatusCode::OK));
        }
        let publication = Publication {
            pubsub,
            topic: self.topic(&topic).await?,
            app: app_of(&head.headers),
            trace,
            is_raw,
            metadata,
            now: Now::by_the_clock(),
            ids: RandomState::new(),
        };
        let whole = Whole { bytes: message, room };
        let (records, room) = self
            .made(whole, |_, context| records(&events, &publication, context))
            .await?;
        let outcomes = self.take(number, Request { records, room }, &wishes).await?;
        match called {
            Called::Bulk => Ok(self.write(outcomes, |outcomes| to_bulk(outcomes, events)).await),
            _ => to_one(&outcomes),
        }
    }
}

impl GivenAll {
    fn of_one(message: &Bytes, context: &Context<'_>) -> Result<Self, Refusal> {
        let weight = Weight::of(message, &PUBLISH)?;
        context.memory.take(weight.bytes).map_err(out_of_memory)?;
        let request: runtime::PublishEventRequest = decode(message.clone())?;
        Ok(Self {
            pubsub: request.pubsub_name,
            topic: request.topic,
            metadata: Metadata::of_message(request.metadata),
            events: vec![Given {
                id: String::new(),
                data: request.data,
                content_type: request.data_content_type,
                metadata: Metadata::default(),
            }],
        })
    }

    fn of_bulk(message: &Bytes, context: &Context<'_>) -> Result<Self, Refusal> {
        let weight = Weight::of(message, &BULK)?;
        if weight.items > context.limits.max_records {
            return Err(too_many(context.limits).into());
        }
        context.memory.take(weight.bytes).map_err(out_of_memory)?;
        let request: runtime::BulkPublishRequest = decode(message.clone())?;
        check_ids(&request.entries)?;
        let events = request.entries.into_iter().map(|entry| Given {
            id: entry.entry_id,
            data: entry.event,
            content_type: entry.content_type,
            metadata: Metadata::of_message(entry.metadata),
        });
        Ok(Self {
            pubsub: request.pubsub_name,
            topic: request.topic,
            metadata: Metadata::of_message(request.metadata),
            events: events.collect(),
        })
    }
}

/// Each event of a bulk has an id, and no two have the same.
fn check_ids(entries: &[runtime::BulkPublishRequestEntry]) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    for (index, entry) in entries.iter().enumerate() {
        if entry.entry_id.is_empty() {
            return Err(no_id(index));
        }
        if !seen.insert(&entry.entry_id) {
            return Err(same_id(index));
        }
    }
    Ok(())
}

/// Over gRPC, Dapr adds these to what is raw.
fn add_trace(metadata: &mut Metadata<'_>, trace: TraceContext<'_>) {
    for (name, value) in [("traceid", trace.parent), ("tracestate", trace.state)] {
        if !value.is_empty() {
            metadata.insert(Cow::Borrowed(name), Bytes::copy_from_slice(value.as_bytes()));
        }
    }
}

fn records(events: &[Given], publication: &Publication<'_>, context: &Context<'_>) -> Result<Vec<Parsed>, Refusal> {
    let records = events.iter().enumerate().map(|(index, given)| {
        let event = Event {
            index,
            data: given.data.clone(),
            content_type: &given.content_type,
            metadata: &given.metadata,
        };
        // The answer has the id once more.
        context.memory.take(given.id.len()).map_err(out_of_memory)?;
        publication.record(&event, context)
    });
    records.collect()
}

fn to_one(outcomes: &Outcomes) -> Result<Response<Reply>, Refusal> {
    match outcomes.all().find_map(|told| told.outcome.error()) {
        // Its answer, google.protobuf.Empty, has no field, as this has none.
        None => Ok(answer(
            &runtime::BulkPublishResponse::default(),
            None,
            StatusCode::NO_CONTENT,
        )),
        Some(error) => Err(Refusal::of_record(error)),
    }
}

/// Which events were not written, or not certainly. SDKs look for them in an answer that is OK.
fn to_bulk(mut outcomes: Outcomes, events: Vec<Given>) -> Response<Reply> {
    let failed = outcomes.all().zip(events).filter_map(|(told, given)| {
        let error = message_of(told.outcome.error()?);
        Some(runtime::BulkPublishResponseFailedEntry {
            entry_id: given.id,
            error,
        })
    });
    let told = runtime::BulkPublishResponse {
        failed_entries: failed.collect(),
    };
    let counted_as = match told.failed_entries.is_empty() {
        true => StatusCode::NO_CONTENT,
        false => StatusCode::INTERNAL_SERVER_ERROR,
    };
    answer(&told, Some(&mut outcomes), counted_as)
}

/// An answer of one message. `outcomes` has the room for it.
fn answer(message: &impl Message, outcomes: Option<&mut Outcomes>, counted_as: StatusCode) -> Response<Reply> {
    let mut body = Vec::with_capacity(frame::HEAD + message.encoded_len());
    frame::begin(&mut body);
    // A vector grows.
    let _ = message.encode(&mut body);
    frame::end(&mut body, 0);
    let held = outcomes.and_then(Outcomes::take_held);
    status::answered(counted(body, held), counted_as)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{config::Limits, ingest::parse::Memory};

    /// What is read of a message, and the memory that was counted for it.
    fn read(message: &[u8], most: usize, read: fn(&Bytes, &Context<'_>) -> Result<GivenAll, Refusal>) -> (bool, usize) {
        let limits = Limits::default();
        let context = Context {
            topic: None,
            limits: &limits,
            memory: Memory::of(most),
        };
        let read = read(&Bytes::copy_from_slice(message), &context);
        (read.is_ok(), context.memory.used())
    }

    #[test]
    fn a_message_of_many_small_parts_is_not_decoded_before_there_is_memory_for_them() {
        let metadata = (0..1_000).map(|number: u32| (number.to_string(), String::new()));
        let one = runtime::PublishEventRequest {
            metadata: metadata.collect(),
            ..Default::default()
        };
        let entries = (0..1_000).map(|number: u32| runtime::BulkPublishRequestEntry {
            entry_id: number.to_string(),
            ..Default::default()
        });
        let bulk = runtime::BulkPublishRequest {
            entries: entries.collect(),
            ..Default::default()
        };
        let (one, bulk) = (one.encode_to_vec(), bulk.encode_to_vec());
        let one = |most| read(&one, most, GivenAll::of_one);
        let bulk = |most| read(&bulk, most, GivenAll::of_bulk);
        let (is_read, of_one) = one(usize::MAX);
        assert!(is_read && of_one >= 1_000 * PAIR, "{of_one}");
        let (is_read, of_bulk) = bulk(usize::MAX);
        assert!(is_read && of_bulk >= 1_000 * EVENT, "{of_bulk}");
        assert!(!one(of_one - 1).0 && !bulk(of_bulk - 1).0);
    }

    proptest! {
        #[test]
        fn no_message_panics(message in vec(any::<u8>(), 0..200)) {
            read(&message, usize::MAX, GivenAll::of_one);
            read(&message, usize::MAX, GivenAll::of_bulk);
        }
    }
}
