//! The request handler of the ingest listeners.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
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
    parse::{self, Format, Memory},
    records,
    reply::{self, Form},
    stream::{self, Stream},
    target,
    timed::{InRequest, Phase},
};
use crate::{
    admission::Reservation,
    base::{
        outcome::{Code, RecordError},
        record::valid_topic,
        token,
    },
    config::Limits,
    ingest::origin,
    ordering::{
        numbered::{Begun, NotBegun, Numbered},
        sequence::{Number, Owner},
    },
    pipeline::{Mode, NotTaken, Parsed, Pipeline},
    produce::batch::AckMode,
    routing::topics::TopicError,
};

const INSTANCE: HeaderName = HeaderName::from_static("pointsman-instance");
const EMBEDDED: HeaderName = HeaderName::from_static("pointsman-embedded");
const TRACE: &str = "pointsman-trace";
const TIMEOUT: &str = "pointsman-timeout-ms";
/// Longer than any delivery may take that makes sense.
const MAX_TIMEOUT_MS: u64 = 86_400_000;

/// Writing a reply about more records takes so long that it has to wait for its turn.
const LONG_REPLY: usize = 512;

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
    pipeline: Arc<Pipeline>,
    limits: Limits,
    /// Bearer token of TCP clients.
    token: Option<String>,
    /// Whether replies say that nothing is kept.
    embedded: bool,
    /// How long a request's outcomes are waited for, if it does not say.
    timeout: Duration,
    /// Clients with numbered requests.
    numbered: Arc<Numbered>,
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
                "a stream is not numbered: it is one ordered stream by itself; leave away Pointsman-Sequence"
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

    async fn produce(&self, head: &Parts, body: &mut Incoming, owner: Owner) -> Result<Response<Bytes>, IngestError> {
        if owner.is_tcp() {
            self.authorize(&head.headers)?;
        }
        self.check_header_size(head)?;
        let number = numbering::of(&head.headers, owner)?;
        let deadline = Instant::now() + self.timeout(&head.headers)?;
        let target = target::of(&head.method, head.uri.path(), head.uri.query())?;
        let topic = match target.topic {
            Some(topic) => Some(self.topic(topic).await?),
            None => None,
        };
        let ack = target.ack;
        if number.is_some() && ack == AckMode::Unwaited {
            return Err(IngestError::BadQuery("a numbered request cannot have ack=none: whether the next one may be taken depends on its outcomes; leave \
                 away ack=none, or the number".to_owned(),
            ));
        }
        let format = Format::of(&head.headers)?;
        let trace = wants_trace(&head.headers);
        let form = Form::of(&head.headers);
        let whole = body::read(body, &self.limits, &self.pipeline.admission).await?;
        let context = parse::Context {
            topic,
            limits: &self.limits,
            memory: Memory::unbounded(),
        };
        let (records, room) = records::of(whole, format, &head.headers, context, &self.pipeline).await?;
        if let Some(number) = number {
            let turn = self.begin(number, &records);
            let Ok(begun) = tokio::time::timeout_at(deadline.into(), turn).await else {
                return Err(turn_did_not_come());
            };
            let outcomes = self.numbered(begun?, records, room, trace, form);
            return match tokio::time::timeout_at(deadline.into(), outcomes).await {
                Ok(answered) => answered,
                Err(_) => Err(still_unknown()),
            };
        }
        let pipeline = Arc::clone(&self.pipeline);
        let submitted = detached(async move {
            let submitting = pipeline.submit(records, Some(room), Mode { ack, trace });
            Ok::<_, IngestError>(submitting.await?)
        })
        .await?;
        if ack == AckMode::Waited {
            // Whatever has no outcome then is told as unknown.
            let _ = tokio::time::timeout_at(deadline.into(), submitted.batch.done()).await;
        }
        let turn = self.pipeline.long_work.permit(submitted.batch.len() > LONG_REPLY).await;
        let reply = match ack {
            AckMode::Waited | AckMode::Streamed => reply::outcomes(submitted, form),
            AckMode::Unwaited => reply::accepted(submitted, form),
        };
        turn.end().await;
        Ok(reply)
    }

    /// Waits for its turn.
    async fn begin(&self, number: Number, records: &[Parsed]) -> Result<Begun, NotBegun> {
        let content = self.numbered.content(records);
        self.numbered.begin(number, content).await.inspect_err(|error| {
            if let NotBegun::Refused(refusal) = error
                && refusal.is_conflict()
            {
                self.pipeline.metrics.sequence_conflict(refusal.code());
            }
        })
    }

    /// In its turn, or from memory.
    async fn numbered(
        &self,
        begun: Begun,
        records: Vec<Parsed>,
        room: Reservation,
        trace: bool,
        form: Form,
    ) -> Result<Response<Bytes>, IngestError> {
        let turn = match begun {
            Begun::Send(turn) => turn,
            Begun::Settled(settled) => {
                drop(records);
                return Ok(reply::settled(&settled, &[], form, Some(room)));
            }
            Begun::UnderWay(under_way) => {
                // Others may have the room of what will not be sent.
                drop((records, room));
                let settled = under_way.outcomes().await.ok_or_else(lost)?;
                let mut held = self.pipeline.admission.reservation();
                held.grow(reply::most_bytes(&settled)).await?;
                return Ok(reply::settled(&settled, &[], form, Some(held)));
            }
        };
        let pipeline = Arc::clone(&self.pipeline);
        let produced = detached(async move {
            let produced = turn.produce(&pipeline, records, Some(room), trace).await?;
            Ok::<_, IngestError>(produced)
        })
        .await?;
        Ok(reply::settled(&produced.settled, &produced.trace, form, produced.reply))
    }

    /// How long the outcomes of this request are waited for.
    fn timeout(&self, headers: &HeaderMap) -> Result<Duration, IngestError> {
        let Some(given) = headers.get(TIMEOUT) else {
            return Ok(self.timeout);
        };
        let ms = given.to_str().ok().and_then(|given| given.parse().ok());
        match ms.filter(|ms| (1..=MAX_TIMEOUT_MS).contains(ms)) {
            Some(ms) => Ok(Duration::from_millis(ms)),
            None => Err(IngestError::BadHeader(format!(
                "Pointsman-Timeout-Ms is no number from 1 to {MAX_TIMEOUT_MS}"
            ))),
        }
    }

    /// The path's topic, before any of the body is read.
    async fn topic(&self, name: &str) -> Result<Arc<str>, IngestError> {
        valid_topic(name).map_err(|problem| IngestError::Topic(RecordError::new(Code::InvalidTopic, problem)))?;
        let name: Arc<str> = Arc::from(name);
        match self.pipeline.topics.get(&name).await {
            Ok(_) => Ok(name),
            Err(TopicError::Refused(error)) => Err(IngestError::Topic(error)),
            Err(TopicError::Unavailable(reason)) => Err(NotTaken::without_partitions(&name, &reason).into()),
        }
    }

    fn authorize(&self, headers: &HeaderMap) -> Result<(), IngestError> {
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

    fn check_header_size(&self, head: &Parts) -> Result<(), IngestError> {
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

/// Runs to its end whatever the client does: its going away drops the request's future, and must not cancel what was accepted.
/// Nearly all work is done without waiting, right here; what has to wait goes on in a task of its own.
async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, IngestError>> + Send + 'static,
) -> Result<T, IngestError> {
    let mut work = Box::pin(work);
    let begun = poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        Poll::Ready(polled)
    });
    match begun.await {
        Ok(Poll::Ready(done)) => done,
        Ok(Poll::Pending) => tokio::spawn(work).await.map_err(|error| {
            tracing::error!(%error, "a request could not be handled");
            lost()
        })?,
        Err(_) => {
            tracing::error!("a request could not be handled");
            Err(lost())
        }
    }
}

fn lost() -> IngestError {
    IngestError::Internal("the request met a mistake in the sidecar; its records may or may not be written".to_owned())
}

/// No two processes have the same one.
fn instance() -> HeaderValue {
    let name = format!("{:032x}", fastrand::u128(..));
    // Hexadecimal digits always make a header.
    HeaderValue::try_from(name).unwrap_or_else(|_| HeaderValue::from_static("unnamed"))
}

/// A numbered request need not be told that its outcomes are unknown: it can ask again.
fn still_unknown() -> IngestError {
    IngestError::OutcomesLate("the request is under way, and its outcomes are not all known within its time (Pointsman-Timeout-Ms); its records may still \
         be written; send it again with the same sequence to hear of them".to_owned(),
    )
}

/// A client that gives up the wait for its turn has had nothing taken.
fn turn_did_not_come() -> IngestError {
    IngestError::Busy(
        "the request's turn did not come within its time (Pointsman-Timeout-Ms), since earlier ones of its client are still on \
         their way; send it again"
            .to_owned(),
    )
}

fn wants_trace(headers: &HeaderMap) -> bool {
    headers.get(TRACE).is_some_and(|value| value == "1")
}
