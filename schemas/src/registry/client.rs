//! HTTP: one request to the first of several servers that answers.

mod connection;
mod server;

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body as _, Incoming},
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, LOCATION},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

use self::{connection::Connection, server::Server};
use super::{
    LookUp,
    asked::Pause,
    settings::{BadSettings, Settings},
};
use crate::invalid::shortened;

/// What Confluent's API speaks. Others speak it as well.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// The most connections that are kept for the next request.
const MOST_IDLE: usize = 4;

/// The most requests at once. More wait, so that a burst of unknown ids does not fall upon the registry.
const MOST_AT_ONCE: usize = 8;

/// The most bytes of a registry's text that are shown.
const MOST_SHOWN: usize = 160;

/// Servers of one registry.
pub(super) struct Client {
    servers: Vec<Server>,
    /// The one that answered last.
    first: AtomicUsize,
    authorization: Option<HeaderValue>,
    /// Only if a server wants it: making it reads all authorities of the system.
    tls: Option<tokio_native_tls::TlsConnector>,
    timeout: Duration,
    most_bytes: usize,
    /// Connections that may be used again, the one that was used last at the end, each with the number of its server.
    idle: Mutex<VecDeque<(usize, Connection)>>,
    at_once: Semaphore,
    /// Since when no server answers: until when none is asked, and why.
    away: Mutex<Away>,
}

#[derive(Default)]
struct Away {
    why: Option<(LookUp, Instant)>,
    pause: Pause,
}

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    /// Which server it was, to be named in messages.
    pub(super) server: String,
}

/// Why a server did not answer.
enum Failure {
    /// Another server may answer.
    Server(String),
    /// The answer is no use, and would not be from another server either.
    Answer(LookUp),
}

impl Client {
    pub(super) fn new(settings: &Settings) -> Result<Self, BadSettings> {
        let servers: Result<Vec<_>, _> = settings.urls.iter().map(|url| Server::parse(url)).collect();
        let servers = servers?;
        if servers.is_empty() {
            return Err(BadSettings("a schema registry needs at least one url".to_owned()));
        }
        let wants_tls = servers.iter().any(|server| server.tls);
        Ok(Self {
            servers,
            first: AtomicUsize::new(0),
            authorization: server::authorization(&settings.auth)?,
            tls: wants_tls.then(|| connection::tls(settings)).transpose()?,
            timeout: settings.timeout,
            most_bytes: settings.max_schema_bytes,
            idle: Mutex::default(),
            at_once: Semaphore::new(MOST_AT_ONCE),
            away: Mutex::default(),
        })
    }

    /// Asks the servers in turn until one answers; each may use its share of the time that is left.
    pub(super) async fn call(&self, method: &Method, path: &str, body: &Bytes) -> Result<Answer, LookUp> {
        // Waiting for others is no sign that the registry is away.
        let _permit: Option<SemaphorePermit<'_>> = self.at_once.acquire().await.ok();
        if let Some(why) = self.is_away() {
            return Err(why);
        }
        let deadline = Instant::now() + self.timeout;
        let (count, first) = (self.servers.len(), self.first.load(Ordering::Relaxed));
        let mut failures = Vec::new();
        for turn in 0..count {
            let number = (first + turn) % count;
            let left = deadline.saturating_duration_since(Instant::now());
            let until = Instant::now() + left / u32::try_from(count - turn).unwrap_or(u32::MAX);
            let server = &self.servers[number].shown;
            let failure = match timeout_at(until, self.exchange(number, method, path, body)).await {
                Ok(Ok(answer)) => {
                    *self.away() = Away::default();
                    let retriable = answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS;
                    if !retriable {
                        self.first.store(number, Ordering::Relaxed);
                    }
                    if !retriable || turn + 1 == count {
                        return Ok(answer);
                    }
                    format!("{} from {server}", answer.status)
                }
                Ok(Err(Failure::Answer(error))) => return Err(error),
                Ok(Err(Failure::Server(error))) => format!("{server}: {error}"),
                Err(_) => format!("{server}: no answer in time"),
            };
            failures.push(failure);
        }
        let why = LookUp::unavailable(format!("no schema registry answers: {}", failures.join("; ")));
        let mut away = self.away();
        away.why = Some((why.clone(), away.pause.until()));
        Err(why)
    }

    /// Why nobody is asked, for a while.
    pub(super) fn is_away(&self) -> Option<LookUp> {
        let away = self.away();
        let (why, until) = away.why.as_ref()?;
        (Instant::now() < *until).then(|| why.clone())
    }

    /// Why no server answered, if none has since.
    pub(super) fn problem(&self) -> Option<LookUp> {
        let away = self.away();
        away.why.as_ref().map(|(why, _)| why.clone())
    }

    fn away(&self) -> MutexGuard<'_, Away> {
        // No code that may panic holds the lock.
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn exchange(&self, number: usize, method: &Method, path: &str, body: &Bytes) -> Result<Answer, Failure> {
        // A kept connection may have been closed by the server meanwhile. What is asked may be asked twice.
        while let Some(mut connection) = self.kept(number) {
            let request = self.request(number, method, path, body)?;
            if let Ok(response) = connection.send(request).await {
                return self.read(number, connection, response).await;
            }
        }
        let server = &self.servers[number];
        let connected = Connection::open(server, self.tls.as_ref().filter(|_| server.tls)).await;
        let mut connection = connected.map_err(Failure::Server)?;
        let request = self.request(number, method, path, body)?;
        let response = connection.send(request).await;
        let response = response.map_err(|error| Failure::Server(format!("no usable answer: {error}")))?;
        self.read(number, connection, response).await
    }

    fn request(
        &self,
        number: usize,
        method: &Method,
        path: &str,
        body: &Bytes,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let server = &self.servers[number];
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", server.path))
            .header(HOST, &server.authority)
            .header(ACCEPT, format!("{MEDIA_TYPE}, application/json"));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, MEDIA_TYPE);
        }
        let request = request.body(Full::new(body.clone()));
        request.map_err(|error| Failure::Answer(LookUp::bad(format!("{path:?} cannot be asked for: {error}"))))
    }

    async fn read(
        &self,
        number: usize,
        connection: Connection,
        response: Response<Incoming>,
    ) -> Result<Answer, Failure> {
        let (server, status) = (&self.servers[number].shown, response.status());
        if status.is_redirection() {
            let location = response.headers().get(LOCATION).map(HeaderValue::as_bytes);
            let location = shown(&String::from_utf8_lossy(location.unwrap_or_default()));
            return Err(Failure::Server(format!(
                "it redirects ({status}) to {location}; redirects are not followed, set that as url"
            )));
        }
        let most = self.most_bytes;
        let too_long = || {
            let what = format!("the answer of {server} has more than {most} bytes (max_schema_bytes)");
            Failure::Answer(LookUp::bad(what))
        };
        let body = response.into_body();
        if body.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
            return Err(too_long());
        }
        let body = match Limited::new(body, most).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Err(too_long()),
            Err(error) => return Err(Failure::Server(format!("its answer broke off: {error}"))),
        };
        self.keep(number, connection);
        Ok(Answer {
            status,
            body,
            server: server.clone(),
        })
    }

    fn kept(&self, number: usize) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, connection)| connection.is_open());
        let at = idle.iter().rposition(|(of, _)| *of == number)?;
        idle.remove(at).map(|(_, connection)| connection)
    }

    fn keep(&self, number: usize, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= MOST_IDLE {
            idle.pop_front();
        }
        idle.push_back((number, connection));
    }
}

/// A registry's text as a message shows it: short, on one line.
pub(super) fn shown(text: &str) -> String {
    let end = text.char_indices().map(|(at, _)| at).find(|&at| at >= MOST_SHOWN);
    let begin = &text[..end.unwrap_or(text.len())];
    let dots = if end.is_some() { "…" } else { "" };
    shortened(format!("\"{}{dots}\"", begin.escape_debug()))
}
