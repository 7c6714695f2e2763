//! A client that numbers its requests: its records are written in the order sent, whatever happens on the way.
//!
//! A request is kept until it has its answer, and is sent again with the same number when the connection is lost or the
//! sidecar says so. Several are under way at once, on one HTTP/2 connection; the sidecar keeps them in order.
#![allow(unreachable_pub, reason = "a library by itself, here compiled into programs")]

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::{
    net::{TcpStream, UnixStream},
    sync::{Notify, Semaphore, oneshot},
    task::JoinSet,
};

use super::packed;

/// The pause after a failed try: the first one, and the longest.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The pause before a request that overtook the one before it is sent again: that one is on its way.
const SHORT_PAUSE: Duration = Duration::from_millis(2);
/// How long to wait for a reply: longer than the producer's `delivery.timeout.ms`.
const PATIENCE: Duration = Duration::from_secs(150);

/// Where the sidecar listens.
#[derive(Debug, Clone)]
pub enum Target {
    /// The path of the Unix socket.
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
}

/// How a client sends.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the sidecar listens.
    pub target: Target,
    /// `Pointsman-Client`. Two clients that send at the same time need two names.
    pub name: String,
    /// `Pointsman-Epoch`. By default the clock, so that a client that starts anew begins a later one.
    pub epoch: u64,
    /// How many requests are under way at once.
    pub under_way: usize,
    /// How many unanswered requests are kept; with more, [`Client::send`] waits. At most the sidecar's
    /// `limits.client_window`.
    pub window: usize,
    /// How often a request with a `failed` or `unknown` record is sent before the client stops.
    pub attempts: u32,
}

impl Options {
    /// The defaults.
    pub fn new(target: Target, name: &str) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            target,
            name: name.to_owned(),
            epoch: u64::try_from(since.as_micros()).unwrap_or(u64::MAX / 2),
            under_way: 8,
            window: 64,
            attempts: 100,
        }
    }
}

/// Why a request has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The sidecar does not take the request as it is. Nothing of it was written; later requests are still sent.
    #[error("refused: {0}")]
    Refused(String),
    /// The request was taken, but its outcomes are no longer remembered: its records may or may not be written.
    #[error("forgotten: {0}")]
    Forgotten(String),
    /// The client sends no more: another client of its name has replaced it, or a request met too many losses.
    #[error("stopped: {0}")]
    Stopped(String),
}

/// One ordered stream of requests. Dropping it stops the unanswered requests.
pub struct Client {
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
    _workers: JoinSet<()>,
}

/// A request on its way.
pub struct Sent(oneshot::Receiver<Result<Value, Error>>);

impl Sent {
    /// The reply, with one outcome for each record: `acked`, or `rejected`.
    pub async fn answer(self) -> Result<Value, Error> {
        let ended = |_| Error::Stopped("the client was dropped".to_owned());
        self.0.await.map_err(ended)?
    }
}

struct Shared {
    options: Options,
    state: Mutex<State>,
    changed: Notify,
    /// The connection gets one request after another, so that they mostly arrive in order.
    connection: tokio::sync::Mutex<Option<http2::SendRequest<Full<Bytes>>>>,
}

struct State {
    epoch: u64,
    /// The unanswered requests, the oldest first, without gaps in their sequences.
    unanswered: VecDeque<Kept>,
    next_sequence: u64,
    next_id: u64,
    /// The sidecar knows nothing of this client: the requests that are left begin a new epoch.
    resync: bool,
    stopped: Option<Error>,
}

/// A request without an answer.
struct Kept {
    /// Identifies the request. It stays when the sequence changes.
    id: u64,
    sequence: u64,
    path: String,
    body: Bytes,
    /// Whether the request is packed; then its answer must be packed, too.
    packed: bool,
    /// Whether the request is being sent.
    busy: bool,
    /// Whether it is sent again only once everything before it is answered.
    alone: bool,
    /// Whether it overtook the one before it and will be sent again in a moment: until then, sending later ones is of
    /// no use.
    early: bool,
    refusal: Option<Error>,
    tries: u32,
    losses: u32,
    _room: tokio::sync::OwnedSemaphorePermit,
    answer: oneshot::Sender<Result<Value, Error>>,
}

impl Client {
    /// Connects when there is something to send.
    pub fn new(options: Options) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                epoch: options.epoch,
                unanswered: VecDeque::new(),
                next_sequence: 1,
                next_id: 0,
                resync: false,
                stopped: None,
            }),
            changed: Notify::new(),
            connection: tokio::sync::Mutex::new(None),
            options,
        });
        let mut workers = JoinSet::new();
        for _ in 0..shared.options.under_way {
            workers.spawn(work(Arc::clone(&shared)));
        }
        Self {
            room: Arc::new(Semaphore::new(shared.options.window)),
            shared,
            _workers: workers,
        }
    }

    /// Takes records for a topic, as the API has them, and returns at once unless `window` requests are kept.
    pub async fn send(&self, topic: &str, records: &[Value]) -> Result<Sent, Error> {
        let body = json!({ "records": records }).to_string();
        self.keep(topic, Bytes::from(body), false).await
    }

    /// The same with packed records: bytes as they are.
    pub async fn send_packed<'r>(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = packed::Record<'r>>,
    ) -> Result<Sent, Error> {
        self.keep(topic, Bytes::from(packed::pack(records)), true).await
    }

    async fn keep(&self, topic: &str, body: Bytes, packed: bool) -> Result<Sent, Error> {
        let room = Arc::clone(&self.room).acquire_owned().await;
        let room = room.map_err(|error| Error::Stopped(error.to_string()))?;
        let (answer, answered) = oneshot::channel();
        let mut state = self.shared.state();
        if let Some(stopped) = &state.stopped {
            return Err(stopped.clone());
        }
        let kept = Kept {
            id: state.next_id,
            sequence: state.next_sequence,
            path: format!("/v1/topics/{topic}/records"),
            body,
            packed,
            busy: false,
            alone: false,
            early: false,
            refusal: None,
            tries: 0,
            losses: 0,
            _room: room,
            answer,
        };
        state.next_id += 1;
        state.next_sequence += 1;
        state.unanswered.push_back(kept);
        drop(state);
        self.shared.changed.notify_waiters();
        Ok(Sent(answered))
    }

    /// Waits until everything is answered.
    pub async fn drain(&self) {
        self.shared
            .until(|state| state.unanswered.is_empty().then_some(()))
            .await;
    }
}

/// Sends what may be sent, one at a time.
async fn work(shared: Arc<Shared>) {
    loop {
        let mut connection = shared.connection.lock().await;
        let Some((id, request)) = shared.until(State::pick).await else {
            return;
        };
        let name = &shared.options.name;
        let reply = match connect(&shared.options.target, &mut connection).await {
            // The connection gets the request now, in this order; the reply may take its time.
            Some(sender) => request.build(name).map(|request| sender.send_request(request)),
            None => None,
        };
        drop(connection);
        let answer = match reply {
            Some(reply) => tokio::time::timeout(PATIENCE, read(reply)).await.ok().flatten(),
            None => None,
        };
        // Without a reply the request may have been taken; sending the same number again finds out.
        let pause = match answer {
            Some((status, answer)) => shared.state().handle(id, status, &answer, shared.options.attempts),
            None => shared.state().backoff(id),
        };
        tokio::time::sleep(pause).await;
        shared.state().put_back(id);
        shared.changed.notify_waiters();
    }
}

async fn connect<'c>(
    target: &Target,
    connection: &'c mut Option<http2::SendRequest<Full<Bytes>>>,
) -> Option<&'c mut http2::SendRequest<Full<Bytes>>> {
    if connection.as_ref().is_none_or(http2::SendRequest::is_closed) {
        let fresh = match target {
            Target::Unix(path) => over(UnixStream::connect(path).await.ok()?).await?,
            Target::Tcp(address) => over(TcpStream::connect(address).await.ok()?).await?,
        };
        *connection = Some(fresh);
    }
    connection.as_mut()
}

async fn over<S>(stream: S) -> Option<http2::SendRequest<Full<Bytes>>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (sender, connection) = handshake.ok()?;
    tokio::spawn(connection);
    Some(sender)
}

async fn read(
    reply: impl Future<Output = hyper::Result<hyper::Response<hyper::body::Incoming>>>,
) -> Option<(u16, Value)> {
    let reply = reply.await.ok()?;
    let status = reply.status().as_u16();
    let packed = reply
        .headers()
        .get("content-type")
        .is_some_and(|kind| kind == packed::CONTENT_TYPE);
    let body = reply.into_body().collect().await.ok()?.to_bytes();
    let answer = match packed {
        true => from_packed(&packed::unpack(&body)?),
        false => serde_json::from_slice(&body).ok()?,
    };
    Some((status, answer))
}

/// A packed answer in the form of the API's JSON.
fn from_packed(reply: &packed::Reply) -> Value {
    let records = reply.outcomes.iter().map(|told| {
        let mut record = match &told.error {
            None => json!({ "partition": told.partition, "offset": told.offset, "timestamp": told.timestamp }),
            Some((code, message)) => json!({ "error": { "code": code, "message": message } }),
        };
        record["outcome"] = told.outcome.into();
        if told.late {
            record["late"] = true.into();
        }
        record
    });
    json!({ "generation": reply.generation, "records": records.collect::<Vec<_>>() })
}

/// The parts of a request that are sent.
struct Numbered {
    path: String,
    body: Bytes,
    packed: bool,
    epoch: u64,
    sequence: u64,
}

impl Numbered {
    fn build(self, name: &str) -> Option<Request<Full<Bytes>>> {
        let kind = if self.packed {
            packed::CONTENT_TYPE
        } else {
            "application/json"
        };
        Request::post(format!("http://localhost{}", self.path))
            .header("content-type", kind)
            .header("accept", kind)
            .header("pointsman-client", name)
            .header("pointsman-epoch", self.epoch)
            .header("pointsman-sequence", self.sequence)
            .body(Full::new(self.body))
            .ok()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `look` returns something.
    async fn until<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(found) = look(&mut self.state()) {
                return found;
            }
            changed.await;
        }
    }
}

impl State {
    /// The next request to send. The inner None: there will be no more.
    #[allow(clippy::option_option, reason = "nothing yet, and nothing ever")]
    fn pick(&mut self) -> Option<Option<(u64, Numbered)>> {
        if self.stopped.is_some() {
            return Some(None);
        }
        if self.resync {
            return None;
        }
        for (place, kept) in self.unanswered.iter_mut().enumerate() {
            if kept.refusal.is_some() || (place > 0 && kept.alone) || (kept.busy && kept.early) {
                return None;
            }
            if !kept.busy {
                (kept.busy, kept.early) = (true, false);
                let request = Numbered {
                    path: kept.path.clone(),
                    body: kept.body.clone(),
                    packed: kept.packed,
                    epoch: self.epoch,
                    sequence: kept.sequence,
                };
                return Some(Some((kept.id, request)));
            }
        }
        None
    }

    fn place(&self, id: u64) -> Option<usize> {
        self.unanswered.iter().position(|kept| kept.id == id)
    }

    /// What an answer means for its request, and how long to wait before anything else.
    fn handle(&mut self, id: u64, status: u16, answer: &Value, attempts: u32) -> Duration {
        let Some(place) = self.place(id) else {
            return Duration::ZERO;
        };
        let kept = &mut self.unanswered[place];
        let code = answer["code"].as_str().unwrap_or_default();
        let detail = || format!("{status} {code}: {}", answer["detail"].as_str().unwrap_or_default());
        match (status, code) {
            (200 | 207 | 422 | 502 | 504, _) => return self.outcomes(place, answer, attempts),
            (409, "resync") => self.resync = true,
            (409, "sequence_conflict") if answer["expected"].as_u64() > Some(kept.sequence) => {
                self.answer(place, Err(Error::Forgotten(detail())));
            }
            // A request before it is still on its way, or has to be sent again, which happens already.
            (409, "sequence_conflict" | "sequence_blocked") => {
                (kept.alone, kept.early) = (code == "sequence_blocked", true);
                return SHORT_PAUSE;
            }
            (409, _) => self.stop(&Error::Stopped(detail())),
            // Nothing of it was taken, or nobody knows whether it was; the same request may be taken later.
            (408 | 500 | 503, _) => return self.backoff(id),
            _ => kept.refusal = Some(Error::Refused(detail())),
        }
        Duration::ZERO
    }

    fn outcomes(&mut self, place: usize, answer: &Value, attempts: u32) -> Duration {
        let records = answer["records"].as_array();
        let mut outcomes = records.into_iter().flatten().map(|record| &record["outcome"]);
        if !outcomes.any(|outcome| outcome == "failed" || outcome == "unknown") {
            self.answer(place, Ok(answer.clone()));
            return Duration::ZERO;
        }
        // Nothing later is taken while it has such a record.
        let kept = &mut self.unanswered[place];
        kept.alone = true;
        kept.losses += 1;
        let (id, sequence, losses) = (kept.id, kept.sequence, kept.losses);
        if losses >= attempts {
            self.stop(&Error::Stopped(format!("sequence {sequence} was lost {losses} times")));
        }
        self.backoff(id)
    }

    fn backoff(&mut self, id: u64) -> Duration {
        let Some(place) = self.place(id) else {
            return Duration::ZERO;
        };
        let tries = &mut self.unanswered[place].tries;
        *tries += 1;
        LONGEST_PAUSE.min(PAUSE * 2_u32.pow((*tries - 1).min(10)))
    }

    /// A refused request's number was not used, so nothing after it was taken. And a sidecar that knows nothing of this
    /// client cannot know which numbers another sidecar has answered, so that they will not come. Once everything
    /// before is answered and nothing is on its way, the requests that are left begin a new epoch: then no late request
    /// of the old epoch can be mistaken for one of them.
    fn put_back(&mut self, id: u64) {
        if let Some(place) = self.place(id) {
            self.unanswered[place].busy = false;
        }
        let refused = self.unanswered.front().is_some_and(|kept| kept.refusal.is_some());
        if !(refused || self.resync) || self.unanswered.iter().any(|kept| kept.busy) {
            return;
        }
        if let Some(refusal) = self.unanswered.front_mut().and_then(|kept| kept.refusal.take()) {
            self.answer(0, Err(refusal));
        }
        self.epoch += 1;
        self.resync = false;
        self.next_sequence = 1;
        for kept in &mut self.unanswered {
            (kept.sequence, kept.alone, kept.refusal) = (self.next_sequence, false, None);
            self.next_sequence += 1;
        }
    }

    fn answer(&mut self, place: usize, answer: Result<Value, Error>) {
        if let Some(kept) = self.unanswered.remove(place) {
            // The caller may have dropped its end.
            let _ = kept.answer.send(answer);
        }
    }

    fn stop(&mut self, error: &Error) {
        self.stopped = Some(error.clone());
        while !self.unanswered.is_empty() {
            self.answer(0, Err(error.clone()));
        }
    }
}
