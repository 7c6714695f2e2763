//! The request handler of the ingest listeners.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::{
    HeaderMap, Method, Request, Response,
    header::{AUTHORIZATION, EXPECT, HeaderName, HeaderValue},
    http::request::Parts,
};
use tokio::sync::{Semaphore, watch};

use super::{
    body,
    error::IngestError,
    incoming::Incoming,
    numbering,
    outgoing::Reply,
    stream::{self, Stream},
    target,
    timed::{InRequest, Phase},
};
use crate::{
    base::{
        outcome::{Code, RecordError},
        record::valid_topic,
        token,
    },
    config::Limits,
    ingest::origin,
    ordering::{numbered::Numbered, sequence::Owner},
    pipeline::{NotTaken, Pipeline},
    routing::topics::TopicError,
};

const INSTANCE: HeaderName = HeaderName::from_static("pointsman-instance");
const EMBEDDED: HeaderName = HeaderName::from_static("pointsman-embedded");
const TRACE: &str = "pointsman-trace";

/// What a request's connection adds to it.
pub(super) struct Connection {
    /// Who is at its other end.
    pub(super) owner: Owner,
    /// The connection is in a request until this is dropped.
    pub(super) in_request: InRequest,
    /// True once the process is about to end.
    pub(super) drain: watch::Receiver<bool>,
}

impl Connection {
    /// Of a request that begins now.
    pub(super) fn new(owner: Owner, phase: &Phase, is_h2: bool, drain: &watch::Receiver<bool>) -> Self {
        Self {
            owner,
            in_request: phase.request(is_h2),
            drain: drain.clone(),
        }
    }
}

/// Handles ingest requests. Built once, shared by all connections.
pub struct Api {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) limits: Limits,
    /// Bearer token of TCP clients.
    token: Option<String>,
    /// Whether replies say that nothing is kept.
    embedded: bool,
    /// How long a request's outcomes are waited for, if it does not say.
    pub(super) timeout: Duration,
    /// Clients with numbered requests.
    pub(super) numbered: Arc<Numbered>,
    /// Names this process in every reply: what it remembers of clients ends with it.
    instance: HeaderValue,
    /// A place for each request at once.
    requests: Arc<Semaphore>,
}

impl Api {
    /// A handler over this pipeline.
    /// `timeout` is what a request gets that names none.
    pub fn new(
        pipeline: Arc<Pipeline>,
        limits: Limits,
        token: Option<String>,
        embedded: bool,
        timeout: Duration,
    ) -> Self {
        let metrics = Arc::clone(&pipeline.metrics);
        Self {
            pipeline,
            numbered: Numbered::new((&limits).into(), limits.max_wait(), metrics),
            requests: Arc::new(Semaphore::new(limits.requests().min(Semaphore::MAX_PERMITS))),
            limits,
            token,
            embedded,
            timeout,
            instance: instance(),
        }
    }

    /// What names this process in its replies.
    pub fn instance(&self) -> &HeaderValue {
        &self.instance
    }

    /// What it hands requests to.
    pub fn pipeline(&self) -> &Arc<Pipeline> {
        &self.pipeline
    }

    /// Answers a request, whatever it is.
    pub(super) async fn handle(&self, request: Request<Incoming>, from: Connection) -> Response<Reply> {
        let begun = Instant::now();
        let Ok(permit) = Arc::clone(&self.requests).try_acquire_owned() else {
            return self.told(self.too_many().problem().document().map(Reply::Whole), begun);
        };
        let (head, mut body) = request.into_parts();
        let answered = match target::stream_topic(head.uri.path()) {
            Some(topic) => match self.stream(&head, topic, &from).await {
                Ok(stream) => Ok(stream.begin(body, from.in_request, permit)),
                Err(error) => Err((error, body)),
            },
            None => match self.produce(&head, &mut body, from.owner).await {
                Ok(response) => Ok(response.map(Reply::Whole)),
                Err(error) => Err((error, body)),
            },
        };
        let response = match answered {
            Ok(response) => response,
            Err((error, mut body)) => {
                // Whoever waits for 100 Continue has sent nothing yet, and reading would ask for it.
                if !head.headers.contains_key(EXPECT) {
                    body::discard(&mut body, &self.limits).await;
                }
                error.problem().document().map(Reply::Whole)
            }
        };
        self.told(response, begun)
    }

    /// Answers a request of which nothing can be looked at.
    pub(super) fn refuse(&self, error: &IngestError) -> Response<Reply> {
        self.told(error.problem().document().map(Reply::Whole), Instant::now())
    }

    /// What every reply has, and counts for.
    fn told(&self, mut response: Response<Reply>, begun: Instant) -> Response<Reply> {
        response.headers_mut().insert(INSTANCE, self.instance.clone());
        if self.embedded {
            response
                .headers_mut()
                .insert(EMBEDDED, HeaderValue::from_static("true"));
        }
        self.pipeline
            .metrics
            .request(response.status().as_u16(), begun.elapsed());
        response
    }

    fn too_many(&self) -> IngestError {
        IngestError::Busy(format!(
            "{} requests are under way (limits.max_requests); send fewer at once, or retry later",
            self.limits.requests()
        ))
    }

    /// A stream, checked as far as it can be before its first record.
    async fn stream(&self, head: &Parts, topic: &str, from: &Connection) -> Result<Stream, IngestError> {
        if from.owner.is_tcp() {
            self.authorize(&head.headers)?;
        }
        self.check_header_size(head)?;
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
                "a stream is not numbered: it is one ordered stream by itself; omit Pointsman-Sequence"
                    .to_owned(),
            ));
        }
        let topic = self.topic(topic).await?;
        stream::check_format(&head.headers)?;
        Ok(Stream {
            pipeline: Arc::clone(&self.pipeline),
            limits: self.limits.clone(),
            topic,
            trace: wants_trace(&head.headers),
            drain: from.drain.clone(),
        })
    }

    /// The path's topic, before any of the body is read.
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
        match headers.get(AUTHORIZATION) {
            Some(given) if token::is_bearer(given.as_bytes(), token) => Ok(()),
            _ => Err(IngestError::Unauthorized(
                "the bearer token is missing or wrong; send Authorization: Bearer <the text of listen.token_file>"
                    .to_owned(),
            )),
        }
    }

    pub(super) fn check_header_size(&self, head: &Parts) -> Result<(), IngestError> {
        // Each line has a colon, a blank and a line break; the first has the method, two blanks and the version.
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

/// No two processes have the same one.
fn instance() -> HeaderValue {
    let name = format!("{:032x}", fastrand::u128(..));
    // Hexadecimal digits always make a header.
    HeaderValue::try_from(name).unwrap_or_else(|_| HeaderValue::from_static("unnamed"))
}

pub(super) fn wants_trace(headers: &HeaderMap) -> bool {
    headers.get(TRACE).is_some_and(|value| value == "1")
}
