//! The request handler of the ingest listeners.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{
    HeaderMap, Method, Request, Response,
    header::{AUTHORIZATION, EXPECT, HeaderName, HeaderValue},
    http::request::Parts,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{
    body,
    error::IngestError,
    grpc::{Readiness, call, services::Services},
    incoming::Incoming,
    numbering,
    outgoing::{CountedAs, Reply},
    stream::{self, Framing, Stream},
    surface::Surface,
    timed::{InRequest, Phase},
};
use crate::{
    base::{
        outcome::{Code, RecordError},
        record::valid_topic,
        token,
    },
    config::{Apis, Limits},
    ingest::origin,
    ordering::{numbered::Numbered, sequence::Owner},
    pipeline::{NotTaken, Pipeline},
    routing::topics::TopicError,
};

const INSTANCE: HeaderName = HeaderName::from_static("pointsman-instance");
const EMBEDDED: HeaderName = HeaderName::from_static("pointsman-embedded");
/// Where Dapr's clients have the token.
const DAPR_TOKEN: HeaderName = HeaderName::from_static("dapr-api-token");
const TRACE: &str = "pointsman-trace";

/// What a request needs to know of its connection.
pub(super) struct Connection {
    /// The user at the other end.
    pub(super) owner: Owner,
    /// Keeps the connection in a request until this is dropped.
    pub(super) in_request: InRequest,
    /// Becomes true when the process is about to end.
    pub(super) drain: watch::Receiver<bool>,
}

impl Connection {
    /// For a request that begins now.
    pub(super) fn new(owner: Owner, phase: &Phase, is_h2: bool, drain: &watch::Receiver<bool>) -> Self {
        Self {
            owner,
            in_request: phase.request(is_h2),
            drain: drain.clone(),
        }
    }
}

/// Handles ingest requests. Built once; all connections share it.
pub struct Api {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) limits: Limits,
    /// The bearer token that TCP clients must send, if one is configured.
    pub(super) token: Option<String>,
    /// Whether the broker is the embedded one, so that replies must say that nothing is kept.
    embedded: bool,
    /// The protocols that are spoken.
    pub(super) apis: Apis,
    /// What gRPC has beside records.
    pub(super) services: Services,
    /// How long a request's outcomes are waited for, unless the request names a time.
    pub(super) timeout: Duration,
    /// The clients with numbered requests.
    pub(super) numbered: Arc<Numbered>,
    /// Names this process in every reply, since what it remembers of clients ends with it.
    instance: HeaderValue,
    /// One permit for each request that may be under way at once.
    requests: Arc<Semaphore>,
    /// One permit for each of them that may be a stream.
    streams: Arc<Semaphore>,
}

impl Api {
    /// A handler that hands records to this pipeline, from clients of these protocols with this token. `timeout` is for requests that name none.
    pub fn new(
        pipeline: Arc<Pipeline>,
        limits: Limits,
        (apis, token): (Apis, Option<String>),
        (embedded, readiness): (bool, Readiness),
        timeout: Duration,
    ) -> Self {
        let metrics = Arc::clone(&pipeline.metrics);
        Self {
            pipeline,
            numbered: Numbered::new((&limits).into(), limits.max_wait(), metrics),
            requests: Arc::new(Semaphore::new(limits.requests().min(Semaphore::MAX_PERMITS))),
            streams: Arc::new(Semaphore::new(limits.streams().min(Semaphore::MAX_PERMITS))),
            limits,
            apis,
            services: Services::new(readiness),
            token,
            embedded,
            timeout,
            instance: instance(),
        }
    }

    /// The name of this process, as replies carry it.
    pub fn instance(&self) -> &HeaderValue {
        &self.instance
    }

    /// The pipeline that requests are handed to.
    pub fn pipeline(&self) -> &Arc<Pipeline> {
        &self.pipeline
    }

    /// Replies to any request.
    pub(super) async fn handle(&self, request: Request<Incoming>, from: Connection) -> Response<Reply> {
        let begun = Instant::now();
        let (head, body) = request.into_parts();
        let surface = Surface::of(&head);
        let Ok(permit) = Arc::clone(&self.requests).try_acquire_owned() else {
            return self.told(surface.refusal(&self.too_many()), begun);
        };
        let answered = match self.admit(&head, surface, &from) {
            Err(error) => Err((surface.refusal(&error), Some(body))),
            Ok(()) => self.answer(surface, &head, body, (from, permit)).await,
        };
        let response = match answered {
            Ok(response) => response,
            Err((refusal, body)) => {
                // A client that waits for 100 Continue has sent nothing yet, and reading would ask it to send.
                if let Some(mut body) = body
                    && !head.headers.contains_key(EXPECT)
                {
                    body::discard(&mut body, &self.limits).await;
                }
                refusal
            }
        };
        self.told(response, begun)
    }

    /// Answers a request by its protocol. The error is an answer, too: to a request that was not taken, whose body may not have
    /// been read.
    async fn answer(
        &self,
        surface: Surface<'_>,
        head: &Parts,
        mut body: Incoming,
        (from, permit): (Connection, OwnedSemaphorePermit),
    ) -> Result<Response<Reply>, (Response<Reply>, Option<Incoming>)> {
        let owner = from.owner;
        let refused = |error: IngestError| surface.refusal(&error);
        let answered = match surface {
            Surface::Grpc(method) => {
                let called = self.call(method, head, body, from, permit).await;
                return called.map_err(|(error, body)| (refused(error), body));
            }
            Surface::Stream(topic) => match self.stream(head, topic, &from).await {
                Ok((stream, place)) => return Ok(stream.begin(body, from.in_request, (permit, place))),
                Err(error) => Err(refused(error)),
            },
            Surface::Records => {
                let produced = self.produce(head, &mut body, owner).await;
                produced.map(whole).map_err(refused)
            }
            Surface::ConfluentV2 => {
                let produced = Box::pin(self.produce_v2(head, &mut body, owner)).await;
                produced.map(whole).map_err(refused)
            }
            Surface::Dapr(asked) => {
                let published = Box::pin(self.dapr(asked, head, &mut body, owner)).await;
                published.map(whole).map_err(|refusal| whole(refusal.response()))
            }
            Surface::DaprCall(called) => {
                let published = Box::pin(self.dapr_call(called, head, &mut body, owner)).await;
                published.map_err(|refusal| refusal.status())
            }
        };
        answered.map_err(|refusal| (refusal, Some(body)))
    }

    /// What is checked of every request, by whatever protocol it comes.
    fn admit(&self, head: &Parts, surface: Surface<'_>, from: &Connection) -> Result<(), IngestError> {
        if from.owner.is_tcp() && !surface.is_open() {
            self.authorize(&head.headers)?;
        }
        self.check_header_size(head)?;
        call::check_version(head)?;
        match surface.is_on(head, &self.apis) {
            true => Ok(()),
            false => Err(surface.is_off()),
        }
    }

    /// Replies to a request of which nothing can be read.
    pub(super) fn refuse(&self, error: &IngestError) -> Response<Reply> {
        self.told(error.problem().document().map(Reply::Whole), Instant::now())
    }

    /// Adds what every reply carries, and counts the reply.
    fn told(&self, mut response: Response<Reply>, begun: Instant) -> Response<Reply> {
        response.headers_mut().insert(INSTANCE, self.instance.clone());
        if self.embedded {
            response
                .headers_mut()
                .insert(EMBEDDED, HeaderValue::from_static("true"));
        }
        let counted_as = response.extensions().get::<CountedAs>();
        let status = counted_as.map_or(response.status(), |CountedAs(status)| *status);
        self.pipeline.metrics.request(status.as_u16(), begun.elapsed());
        response
    }

    fn too_many(&self) -> IngestError {
        IngestError::Busy(format!(
            "{} requests are under way (limits.max_requests); send fewer at once, or retry later",
            self.limits.requests()
        ))
    }

    /// Opens a stream, after every check that is possible before its first record.
    async fn stream(
        &self,
        head: &Parts,
        topic: &str,
        from: &Connection,
    ) -> Result<(Stream, OwnedSemaphorePermit), IngestError> {
        if head.method != Method::POST {
            return Err(IngestError::MethodNotAllowed("POST"));
        }
        if head.uri.query().is_some_and(|query| !query.is_empty()) {
            return Err(IngestError::BadQuery(
                "a stream has no query; its outcomes come as they are known".to_owned(),
            ));
        }
        if numbering::of(&head.headers, from.owner)?.is_some() {
            return Err(IngestError::BadHeader(
                "a stream is not numbered: it is one ordered stream by itself; omit Pointsman-Sequence".to_owned(),
            ));
        }
        let topic = self.topic(topic).await?;
        stream::check_format(&head.headers)?;
        let stream = Stream {
            pipeline: Arc::clone(&self.pipeline),
            limits: self.limits.clone(),
            trace: wants_trace(&head.headers),
            drain: from.drain.clone(),
            framing: Framing::Lines(topic),
        };
        Ok((stream, self.place_for_stream()?))
    }

    /// A place among the streams. They may stay for as long as their clients like, so they never have all places.
    pub(super) fn place_for_stream(&self) -> Result<OwnedSemaphorePermit, IngestError> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            IngestError::Busy(format!(
                "{} streams are open, and half of limits.max_requests is kept for other requests; end one, or retry later",
                self.limits.streams()
            ))
        })
    }

    /// Looks up the topic of the path, before any of the body is read.
    pub(super) async fn topic(&self, name: &str) -> Result<Arc<str>, IngestError> {
        valid_topic(name).map_err(|problem| IngestError::Topic(RecordError::new(Code::InvalidTopic, problem)))?;
        let name: Arc<str> = Arc::from(name);
        match self.pipeline.topics.get(&name).await {
            Ok(_) => Ok(name),
            Err(TopicError::Refused(error)) => Err(IngestError::Topic(error)),
            Err(TopicError::Unavailable(reason)) => Err(NotTaken::without_partitions(&name, &reason).into()),
        }
    }

    pub(super) fn authorize(&self, headers: &HeaderMap) -> Result<(), IngestError> {
        let Some(token) = &self.token else {
            return Ok(origin::check(headers)?);
        };
        let is_bearer = |given: &HeaderValue| token::is_bearer(given.as_bytes(), token);
        let is_token = |given: &HeaderValue| token::is_token(given.as_bytes(), token);
        match headers.get(AUTHORIZATION).is_some_and(is_bearer) || headers.get(DAPR_TOKEN).is_some_and(is_token) {
            true => Ok(()),
            false => Err(IngestError::Unauthorized(
                "the bearer token is missing or wrong; send Authorization: Bearer <the text of listen.token_file>"
                    .to_owned(),
            )),
        }
    }

    pub(super) fn check_header_size(&self, head: &Parts) -> Result<(), IngestError> {
        // Each line has a colon, a space and a line break; the first has the method, two spaces and the version.
        let lines: usize = head
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 4)
            .sum();
        let first = head.uri.path_and_query().map_or(0, |path| path.as_str().len()) + 20;
        if lines + first <= self.limits.max_header_bytes {
            return Ok(());
        }
        Err(IngestError::HeaderTooLarge(format!(
            "the header block is over limits.max_header_bytes ({}); send less in it, or raise that",
            self.limits.max_header_bytes
        )))
    }
}

fn whole(response: Response<Bytes>) -> Response<Reply> {
    response.map(Reply::Whole)
}

/// A random name: no two processes have the same one.
fn instance() -> HeaderValue {
    let name = format!("{:032x}", fastrand::u128(..));
    // Hexadecimal digits are always a valid header value.
    HeaderValue::try_from(name).unwrap_or_else(|_| HeaderValue::from_static("unnamed"))
}

pub(super) fn wants_trace(headers: &HeaderMap) -> bool {
    headers.get(TRACE).is_some_and(|value| value == "1")
}
