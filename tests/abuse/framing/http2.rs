//! Connections of HTTP/2: several requests at once, in frames of any size, some of them given up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use h2::client::{self, SendRequest};
use h2::{Reason, SendStream};
use hyper::{HeaderMap, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::judge::acked;
use super::ledger::{OrderedStream, Presence};
use super::wire::{one_of, poison};
use super::{LARGEST_BODY, PATH, PATIENCE};
use crate::support::http2::send;

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Whole,
    /// Ends with trailers.
    Trailers,
    /// Its content-length is too small or too large.
    WrongLength,
    /// Reset before its end.
    Reset,
    /// Reset after its end.
    ResetAfter,
    Refused,
    TooLarge,
    Stream,
    StreamReset,
}

const KINDS: [Kind; 12] = [
    Kind::Whole,
    Kind::Whole,
    Kind::Whole,
    Kind::Trailers,
    Kind::WrongLength,
    Kind::Reset,
    Kind::ResetAfter,
    Kind::Refused,
    Kind::TooLarge,
    Kind::Stream,
    Kind::Stream,
    Kind::StreamReset,
];

/// One request, drawn from the seed.
struct Plan {
    name: String,
    kind: Kind,
    path: String,
    kind_of_body: &'static str,
    length: Option<usize>,
    body: String,
    /// The values of its records, each with how many bytes of the body must have come before the record may be taken.
    records: Vec<(String, usize)>,
    statuses: &'static [u16],
    pace: Rng,
}

impl Plan {
    fn of(rng: &mut Rng, name: String) -> Self {
        let kind = one_of(rng, &KINDS);
        let is_stream = matches!(kind, Kind::Stream | Kind::StreamReset);
        let (mut body, mut records) = (String::new(), Vec::new());
        if is_stream {
            for number in 0..rng.usize(1..30) {
                let value = format!("\"{name}.{number} {}\"", "z".repeat(rng.usize(..50)));
                body.push_str(&format!("{{\"key\":\"{}\",\"value\":{value}}}\n", rng.u8(..9)));
                records.push((value, body.len()));
            }
        } else {
            let size = one_of(rng, &[0, 20, 20_000]);
            body = format!("{name} {}\r\n{}", "z".repeat(rng.usize(..=size)), poison(&name));
            records.push((body.clone(), body.len()));
        }
        let (mut path, mut statuses): (_, &'static [u16]) = (PATH.to_owned(), &[200]);
        let mut length = (rng.bool() && !is_stream).then_some(body.len());
        match kind {
            Kind::Stream | Kind::StreamReset => path = "/v1/topics/t/stream".to_owned(),
            Kind::WrongLength => {
                let wrong = [body.len() - 1, body.len() / 2, body.len() + 1, 2 * body.len()];
                length = Some(one_of(rng, &wrong));
                statuses = &[400];
            }
            Kind::Refused => {
                let cases: [(&str, &'static [u16]); 3] =
                    [("/v1/topics/t/nothing", &[404]), ("/v1/records", &[400]), ("/", &[404])];
                let (wrong, told) = one_of(rng, &cases);
                (path, statuses) = (wrong.to_owned(), told);
                body = poison(&name);
                length = None;
            }
            Kind::TooLarge => {
                body = "x".repeat(LARGEST_BODY + 1) + &poison(&name);
                length = length.map(|_| body.len());
                statuses = &[413];
            }
            Kind::Whole | Kind::Trailers | Kind::Reset | Kind::ResetAfter => {}
        }
        if matches!(kind, Kind::Refused | Kind::TooLarge) {
            records.clear();
        }
        Self {
            kind_of_body: if is_stream {
                "application/x-ndjson"
            } else {
                "application/octet-stream"
            },
            pace: rng.fork(),
            name,
            kind,
            path,
            length,
            body,
            records,
            statuses,
        }
    }
}

/// How far a request has come.
#[derive(Debug, Default)]
struct Progress {
    /// How many bytes of the body were sent, or may have been.
    sent: usize,
    /// Whether the body's end was sent, or may have been.
    ended: bool,
    status: Option<u16>,
    answer: Vec<u8>,
    /// Whether the answer's end has come.
    is_whole: bool,
}

#[derive(Debug, Clone, Default)]
struct Shared(Arc<Mutex<Progress>>);

impl Shared {
    fn get(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a connection of its own. Returns its requests' records, and what was wrong.
pub(super) async fn play<S>(rng: &mut Rng, name: &str, socket: S) -> (Vec<OrderedStream>, Vec<String>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let plans: Vec<Plan> = (0..rng.usize(1..10))
        .map(|number| Plan::of(rng, format!("{name}.{number}")))
        .collect();
    let dropped = (rng.u8(..4) == 0).then(|| Duration::from_millis(rng.u64(..60)));
    let plans: Vec<(Arc<Plan>, Shared)> = plans
        .into_iter()
        .map(|plan| (Arc::new(plan), Shared::default()))
        .collect();
    let mut wrong = Vec::new();
    let playing = async {
        let Ok((sender, connection)) = client::handshake(socket).await else {
            return;
        };
        // Its tasks end when this is dropped.
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _ = connection.await;
        });
        let mut requests = JoinSet::new();
        for (plan, shared) in &plans {
            requests.spawn(request(sender.clone(), Arc::clone(plan), shared.clone()));
        }
        while requests.join_next().await.is_some() {}
    };
    match dropped {
        Some(after) => {
            let _ = timeout(after, playing).await;
        }
        None if timeout(PATIENCE, playing).await.is_err() => wrong.push(format!("{name}: never came to its end")),
        None => {}
    }
    let streams = plans
        .iter()
        .map(|(plan, shared)| {
            let progress = shared.get();
            wrong.extend(judge(plan, &progress, dropped.is_some()));
            OrderedStream {
                name: plan.name.clone(),
                values: presences(plan, &progress),
            }
        })
        .collect();
    (streams, wrong)
}

async fn request(sender: SendRequest<Bytes>, plan: Arc<Plan>, shared: Shared) -> Option<()> {
    let mut request = Request::post(format!("http://x{}", plan.path)).header("content-type", plan.kind_of_body);
    if let Some(length) = plan.length {
        request = request.header("content-length", length);
    }
    let mut sender = sender.ready().await.ok()?;
    let (answer, mut sending) = sender.send_request(request.body(()).ok()?, false).ok()?;
    let reading = async {
        let answer = answer.await.ok()?;
        shared.get().status = Some(answer.status().as_u16());
        let mut body = answer.into_body();
        while let Some(data) = body.data().await {
            let data = data.ok()?;
            body.flow_control().release_capacity(data.len()).ok()?;
            shared.get().answer.extend_from_slice(&data);
        }
        shared.get().is_whole = true;
        Some(())
    };
    let mut reading = std::pin::pin!(reading);
    let mut sending = std::pin::pin!(body(&mut sending, &plan, &shared));
    tokio::select! {
        sent = &mut sending => match sent {
            // The answer is read even when the sidecar took no more of the body.
            Some(Then::Hear) | None => reading.await,
            Some(Then::Leave) => None,
        },
        read = &mut reading => {
            // Bytes that are sent after the answer are part of the test.
            let _ = timeout(PATIENCE, sending).await;
            read
        }
    }
}

/// What the client does after it has sent the body, or part of it.
enum Then {
    Hear,
    Leave,
}

/// Sends the body in frames of any size, empty ones among them.
async fn body(stream: &mut SendStream<Bytes>, plan: &Plan, shared: &Shared) -> Option<Then> {
    let mut pace = plan.pace.clone();
    let is_given_up = matches!(plan.kind, Kind::Reset | Kind::StreamReset);
    let end = match is_given_up {
        true => pace.usize(..plan.body.len()),
        false => plan.body.len(),
    };
    let mut largest = one_of(&mut pace, &[1, 20, 1_000, 16_384]);
    let ends_with_data = pace.bool() && !is_given_up && plan.kind != Kind::Trailers;
    let mut from = 0;
    while from < end {
        let to = (from + pace.usize(1..=largest)).min(end);
        // Frames grow, so that there are not too many: the sidecar limits their number.
        largest += 1 + largest / 20;
        let ends = ends_with_data && to == end;
        {
            let mut progress = shared.get();
            progress.sent = to;
            progress.ended |= ends;
        }
        send(stream, Bytes::copy_from_slice(&plan.body.as_bytes()[from..to]), ends).await?;
        from = to;
        match pace.u8(..60) {
            0..3 => sleep(Duration::from_millis(pace.u64(..20))).await,
            3 if !ends => stream.send_data(Bytes::new(), false).ok()?,
            4..30 => tokio::task::yield_now().await,
            _ => {}
        }
    }
    if is_given_up {
        stream.send_reset(Reason::CANCEL);
        return Some(Then::Leave);
    }
    if !ends_with_data {
        shared.get().ended = true;
        match plan.kind {
            Kind::Trailers => stream.send_trailers(HeaderMap::from_iter([(
                "x-trailer".parse().ok()?,
                "content-length: 3".parse().ok()?,
            )])),
            _ => stream.send_data(Bytes::new(), true),
        }
        .ok()?;
    }
    if plan.kind == Kind::ResetAfter {
        sleep(Duration::from_millis(pace.u64(..4))).await;
        stream.send_reset(Reason::CANCEL);
        return Some(Then::Leave);
    }
    Some(Then::Hear)
}

/// What is wrong with the request's answer.
fn judge(plan: &Plan, progress: &Progress, dropped: bool) -> Option<String> {
    let name = format!("{} ({:?})", plan.name, plan.kind);
    let answer = String::from_utf8_lossy(&progress.answer);
    let status = progress.status;
    if let Some(status) = status
        && !plan.statuses.contains(&status)
        && !(progress.sent < plan.body.len() && status >= 400)
    {
        return Some(format!("{name} was answered {status}: {answer}"));
    }
    let may_be_unanswered = match plan.kind {
        Kind::WrongLength | Kind::Reset | Kind::ResetAfter | Kind::StreamReset => true,
        Kind::Whole | Kind::Trailers | Kind::Refused | Kind::TooLarge | Kind::Stream => dropped,
    };
    if may_be_unanswered {
        return None;
    }
    if status.is_none() || !progress.is_whole {
        return Some(format!("{name} is not answered: {progress:?}"));
    }
    let end = format!("{{\"count\":{},\"end\":\"complete\"}}\n", plan.records.len());
    (plan.kind == Kind::Stream && !answer.ends_with(&end)).then(|| format!("{name} ended with {answer}"))
}

/// What must be true of the request's records.
fn presences(plan: &Plan, progress: &Progress) -> Vec<(String, Presence)> {
    let is_stream = matches!(plan.kind, Kind::Stream | Kind::StreamReset);
    let acked = acked(&progress.answer);
    let presence = |number: usize, needs: usize| {
        let whole = match is_stream {
            true => progress.sent >= needs,
            false => progress.ended && plan.kind != Kind::WrongLength,
        };
        match progress.status {
            Some(200) if !is_stream && whole => Presence::Must,
            _ if is_stream && acked.contains(&number) => Presence::Must,
            Some(400..) => Presence::MustNot,
            _ if whole => Presence::May,
            _ => Presence::MustNot,
        }
    };
    let records = plan.records.iter().enumerate();
    records
        .map(|(number, (value, needs))| (value.clone(), presence(number, *needs)))
        .collect()
}
