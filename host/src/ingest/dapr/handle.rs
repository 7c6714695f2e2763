//! Does what a request to Dapr's API asks for.

use std::{
    hash::RandomState,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{
    HeaderMap, Method, Response,
    header::{CONTENT_TYPE, HeaderName},
    http::request::Parts,
};

use super::{
    about, absent, answer,
    asked::{Asked, Target},
    bulk::Entries,
    event::{Event, Now, Publication, TraceContext},
    metadata::Metadata,
    refusal::{Refusal, is_json},
};
use crate::{
    admission::Reservation,
    ingest::{
        api::Api,
        body::{self, Whole},
        error::IngestError,
        incoming::Incoming,
        numbering,
        parse::{Context, Memory},
        records,
        request::{Request, Wishes},
    },
    ordering::sequence::{Number, Owner},
    produce::batch::AckMode,
};

/// Names the application. Dapr takes it from its own command line; see docs/dapr.md.
const APP_ID: HeaderName = HeaderName::from_static("dapr-app-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");

/// What the head of a request to publish says.
struct Head<'r> {
    number: Option<Number>,
    wishes: Wishes,
    publication: Publication<'r>,
}

impl Api {
    /// Answers a request to Dapr's API.
    pub(in crate::ingest) async fn dapr(
        &self,
        asked: Asked<'_>,
        head: &Parts,
        body: &mut Incoming,
        owner: Owner,
    ) -> Result<Response<Bytes>, Refusal> {
        match asked {
            Asked::Publish(target) => self.publish(target, head, body, owner).await,
            Asked::Bulk(target) => self.publish_bulk(target, head, body, owner).await,
            Asked::Metadata => {
                check_method(head, &[Method::GET], "GET")?;
                Ok(is_json(Response::new(about::document(app_of(&head.headers)))))
            }
            Asked::Health => {
                check_method(head, &[Method::GET], "GET")?;
                Ok(answer::written())
            }
            Asked::Else(path) => Err(absent::refusal(path)),
        }
    }

    async fn publish(
        &self,
        target: Target<'_>,
        head: &Parts,
        body: &mut Incoming,
        owner: Owner,
    ) -> Result<Response<Bytes>, Refusal> {
        let Head {
            number,
            wishes,
            publication,
        } = self.head(target, head, owner).await?;
        let metadata = Metadata::default();
        let content_type = text(&head.headers, &CONTENT_TYPE).unwrap_or_default();
        let records = self.events(body, |data, context| {
            let event = Event {
                index: 0,
                data: data.clone(),
                content_type,
                metadata: &metadata,
            };
            Ok(vec![publication.record(&event, context)?])
        });
        let (records, room) = records.await?;
        let outcomes = self.take(number, Request { records, room }, &wishes).await?;
        Ok(answer::to_one(&outcomes))
    }

    async fn publish_bulk(
        &self,
        target: Target<'_>,
        head: &Parts,
        body: &mut Incoming,
        owner: Owner,
    ) -> Result<Response<Bytes>, Refusal> {
        let Head {
            number,
            wishes,
            publication,
        } = self.head(target, head, owner).await?;
        let entries = self.events(body, |body, context| Entries::of(body, &publication, context));
        let (Entries { records, ids }, room) = entries.await?;
        if records.is_empty() {
            return match number {
                None => Ok(answer::written()),
                Some(_) => {
                    let error = "a numbered request has at least one event; send one, or omit the number";
                    Err(IngestError::EmptyBody(error.to_owned()).into())
                }
            };
        }
        let outcomes = self.take(number, Request { records, room }, &wishes).await?;
        Ok(self.write(outcomes, |outcomes| answer::to_bulk(outcomes, &ids)).await)
    }

    /// Reads the head of a request to publish, and looks up its topic.
    async fn head<'r>(&self, target: Target<'_>, head: &'r Parts, owner: Owner) -> Result<Head<'r>, Refusal> {
        let (pubsub, topic) = target.names()?;
        check_method(head, &[Method::POST, Method::PUT], "POST")?;
        let number = numbering::of(&head.headers, owner)?;
        let metadata = Metadata::of_query(head.uri.query())?;
        let is_raw = metadata.is_raw()?;
        check_number(number.as_ref(), is_raw)?;
        let wishes = self.dapr_wishes(self.timeout(&head.headers)?);
        let publication = Publication {
            pubsub,
            topic: self.topic(&topic).await?,
            app: app_of(&head.headers),
            trace: trace_of(&head.headers),
            is_raw,
            metadata,
            now: Now::by_the_clock(),
            ids: RandomState::new(),
        };
        Ok(Head {
            number,
            wishes,
            publication,
        })
    }

    /// Dapr's clients are told only once every event has its outcome.
    pub(super) fn dapr_wishes(&self, timeout: Duration) -> Wishes {
        Wishes {
            ack: AckMode::Waited,
            trace: false,
            deadline: Instant::now() + timeout,
        }
    }

    /// Reads the body and makes records of it.
    async fn events<T>(
        &self,
        body: &mut Incoming,
        parse: impl Fn(&Bytes, &Context<'_>) -> Result<T, Refusal>,
    ) -> Result<(T, Reservation), Refusal> {
        let whole = body::read(body, &self.limits, &self.pipeline.admission).await?;
        self.made(whole, parse).await
    }

    /// Makes something of what has come, within the memory that is free.
    pub(super) async fn made<T>(
        &self,
        whole: Whole,
        make: impl Fn(&Bytes, &Context<'_>) -> Result<T, Refusal>,
    ) -> Result<(T, Reservation), Refusal> {
        let context = Context {
            topic: None,
            limits: &self.limits,
            memory: Memory::unbounded(),
        };
        records::of(whole, context, &self.pipeline, make).await
    }
}

/// An event that is wrapped gets another id and time each time, so a repeat could not be told from another event.
pub(super) fn check_number(number: Option<&Number>, is_raw: bool) -> Result<(), Refusal> {
    match number {
        Some(_) if !is_raw => Err(IngestError::BadHeader(
            "a request with a number may publish raw events only, since others get a new id each time; add \
             metadata.rawPayload=true, or omit Pointsman-Sequence"
                .to_owned(),
        )
        .into()),
        _ => Ok(()),
    }
}

fn check_method(head: &Parts, allowed: &[Method], named: &'static str) -> Result<(), Refusal> {
    match allowed.contains(&head.method) {
        true => Ok(()),
        false => Err(IngestError::MethodNotAllowed(named).into()),
    }
}

/// Where a request belongs.
pub(super) fn trace_of(headers: &HeaderMap) -> TraceContext<'_> {
    TraceContext::of(text(headers, &TRACE_PARENT), text(headers, &TRACE_STATE))
}

/// The application, if the request names it.
pub(super) fn app_of(headers: &HeaderMap) -> Option<&str> {
    text(headers, &APP_ID)
}

/// A header, if it is text.
fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().filter(|text| !text.is_empty())
}
