//! A request with records, from its head to its reply, with or without a number.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{HeaderMap, Response, http::request::Parts};

use super::{
    api::{Api, wants_trace},
    body,
    error::IngestError,
    incoming::Incoming,
    numbering,
    parse::{Context, Format, Memory},
    records,
    reply::{self, Form, Outcomes},
    target,
};
use crate::{
    admission::Reservation,
    config::ListenApi,
    ordering::{
        numbered::{Begun, NotBegun},
        sequence::{Number, Owner},
    },
    pipeline::{Mode, Parsed},
    produce::batch::AckMode,
};

const TIMEOUT: &str = "pointsman-timeout-ms";
/// No reasonable delivery takes longer than this.
const MAX_TIMEOUT_MS: u64 = 86_400_000;
/// A reply about more records takes so long to write that it waits for a turn of long work.
const LONG_REPLY: usize = 512;

/// What a request asks for, beside its records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wishes {
    pub(super) ack: AckMode,
    /// Whether the reply says how each record was decided.
    pub(super) trace: bool,
    /// Time until which outcomes are waited for.
    pub(super) deadline: Instant,
}

/// The records of a request, and the room that they hold.
pub(super) struct Request {
    pub(super) records: Vec<Parsed>,
    pub(super) room: Reservation,
}

impl Api {
    /// Takes the whole request, or nothing of it.
    pub(super) async fn produce(
        &self,
        head: &Parts,
        body: &mut Incoming,
        owner: Owner,
    ) -> Result<Response<Bytes>, IngestError> {
        let number = numbering::of(&head.headers, owner)?;
        let deadline = Instant::now() + self.timeout(&head.headers)?;
        let target = target::of(&head.method, head.uri.path(), head.uri.query())?;
        let topic = match target.topic {
            Some(topic) => Some(self.topic(topic).await?),
            None => None,
        };
        let wishes = Wishes {
            ack: target.ack,
            trace: wants_trace(&head.headers),
            deadline,
        };
        let form = Form::of(&head.headers);
        check_ack(number.as_ref(), wishes.ack)?;
        let request = self.read(head, body, topic).await?;
        let outcomes = self.take(number, request, &wishes).await?;
        let reply = match wishes.ack {
            AckMode::Waited | AckMode::Streamed => reply::told,
            AckMode::Unwaited => reply::accepted,
        };
        Ok(self.write(outcomes, |outcomes| reply(outcomes, form)).await)
    }

    /// Takes the records of a request, or nothing of it, and waits for their outcomes as it wishes.
    pub(super) async fn take(
        &self,
        number: Option<Number>,
        request: Request,
        wishes: &Wishes,
    ) -> Result<Outcomes, IngestError> {
        match number {
            Some(number) => self.take_numbered(number, request, wishes).await,
            None => self.take_at_once(request, wishes).await,
        }
    }

    /// Writes a reply by `write`, in a turn of its own if it is long.
    pub(super) async fn write<T>(&self, outcomes: Outcomes, write: impl FnOnce(Outcomes) -> T) -> T {
        let turn = self.pipeline.long_work.permit(outcomes.len() > LONG_REPLY).await;
        let written = write(outcomes);
        turn.end().await;
        written
    }

    /// Reads the body and makes records of it.
    async fn read(&self, head: &Parts, body: &mut Incoming, topic: Option<Arc<str>>) -> Result<Request, IngestError> {
        let format = Format::of(&head.headers, self.apis.have(ListenApi::CloudEvents))?;
        let whole = body::read(body, &self.limits, &self.pipeline.admission).await?;
        let context = Context {
            topic,
            limits: &self.limits,
            memory: Memory::unbounded(),
        };
        let parse = |body: &Bytes, context: &Context<'_>| format.parse(body, &head.headers, context);
        let (records, room) = records::of(whole, context, &self.pipeline, parse).await?;
        Ok(Request { records, room })
    }

    /// Takes a request without a number, which is handed over at once.
    async fn take_at_once(&self, request: Request, wishes: &Wishes) -> Result<Outcomes, IngestError> {
        let Request { records, room } = request;
        let &Wishes { ack, trace, .. } = wishes;
        let pipeline = Arc::clone(&self.pipeline);
        let submitted = detached(async move {
            let submitting = pipeline.submit(records, Some(room), Mode { ack, trace });
            Ok::<_, IngestError>(submitting.await?)
        })
        .await?;
        if ack == AckMode::Waited {
            // An outcome that is missing then is told as `unknown`.
            let _ = tokio::time::timeout_at(wishes.deadline.into(), submitted.batch.done()).await;
        }
        Ok(submitted.into())
    }

    /// Takes a request with a number in its turn, or has its outcomes from memory.
    async fn take_numbered(&self, number: Number, request: Request, wishes: &Wishes) -> Result<Outcomes, IngestError> {
        let deadline = wishes.deadline.into();
        let turn = self.begin(number, &request.records);
        let Ok(begun) = tokio::time::timeout_at(deadline, turn).await else {
            return Err(turn_did_not_come());
        };
        let outcomes = self.outcomes(begun?, request, wishes);
        match tokio::time::timeout_at(deadline, outcomes).await {
            Ok(outcomes) => outcomes,
            Err(_) => Err(still_unknown()),
        }
    }

    /// Waits for the turn of the request.
    async fn begin(&self, number: Number, records: &[Parsed]) -> Result<Begun, NotBegun> {
        let content = self.numbered.content(records);
        let begun = self.numbered.begin(number, content).await;
        begun.inspect_err(|error| numbering::count(error, &self.pipeline.metrics))
    }

    async fn outcomes(&self, begun: Begun, request: Request, wishes: &Wishes) -> Result<Outcomes, IngestError> {
        let Request { records, room } = request;
        let trace = wishes.trace;
        let permit = match begun {
            Begun::Send(permit) => permit,
            Begun::Settled(settled) => {
                drop(records);
                return Ok(Outcomes::remembered(settled, Some(room)));
            }
            Begun::UnderWay(under_way) => {
                // The records will not be sent, so others may have their room.
                drop((records, room));
                let settled = under_way.outcomes().await.ok_or_else(lost)?;
                let mut held = self.pipeline.admission.reservation();
                held.grow(reply::most_bytes(&settled)).await?;
                return Ok(Outcomes::remembered(settled, Some(held)));
            }
        };
        let pipeline = Arc::clone(&self.pipeline);
        let produced = detached(async move {
            let produced = permit.produce(&pipeline, records, Some(room), trace).await?;
            Ok::<_, IngestError>(produced)
        })
        .await?;
        Ok(produced.into())
    }

    /// How long the outcomes of this request are waited for.
    pub(super) fn timeout(&self, headers: &HeaderMap) -> Result<Duration, IngestError> {
        let Some(given) = headers.get(TIMEOUT) else {
            return Ok(self.timeout);
        };
        let ms = given.to_str().ok().and_then(|given| given.parse().ok());
        match ms.filter(|ms| (1..=MAX_TIMEOUT_MS).contains(ms)) {
            Some(ms) => Ok(Duration::from_millis(ms)),
            None => Err(IngestError::BadHeader(format!(
                "Pointsman-Timeout-Ms is not a number from 1 to {MAX_TIMEOUT_MS}"
            ))),
        }
    }
}

/// A numbered request is always waited for.
pub(super) fn check_ack(number: Option<&Number>, ack: AckMode) -> Result<(), IngestError> {
    if number.is_some() && ack == AckMode::Unwaited {
        return Err(IngestError::BadQuery(
            "a numbered request cannot have ack=none: whether the next one may be taken depends on its outcomes; omit ack=none, \
             or the number"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Runs the work to its end, whatever the client does: a client that goes away drops the future of its request, and
/// that must not cancel what was accepted. Nearly all work is done right here, without a wait; only work that has to
/// wait goes on in a task of its own.
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

/// A numbered request is not told that its outcomes are unknown, since its client can ask again.
fn still_unknown() -> IngestError {
    IngestError::OutcomesLate("the request is under way, and its outcomes are not all known within its time (Pointsman-Timeout-Ms); its records may still \
         be written; send it again with the same sequence to hear of them".to_owned(),
    )
}

/// Nothing was taken from a request whose turn did not come in time.
fn turn_did_not_come() -> IngestError {
    IngestError::Busy(
        "the request's turn did not come within its time (Pointsman-Timeout-Ms), since earlier ones of its client are still on \
         their way; send it again"
            .to_owned(),
    )
}
