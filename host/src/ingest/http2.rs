//! HTTP/2, by the library that speaks it.
//!
//! It is used directly, without hyper over it, for what only it can say: when a client may send more (a stream that waits for its
//! brokers gives no window back, and slows its client), and whether anybody reads a reply.
//!
//! | bound | why |
//! |---|---|
//! | [`Bounds::window`] for each request, counted as held from its head on | what its client may send before anybody has looked at it |
//! | [`Bounds::frames`] for each connection, counted as held while it has a body to send | a frame of a byte takes a hundred times as much until it is read |
//! | [`TURN`](bounds::TURN) bytes are read in one go | what has come is [taken](Arriving) by the requests before more is read |

pub(super) mod arriving;
pub(super) mod bounds;

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use hyper::{
    HeaderMap, Request, Response,
    header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderValue},
    http::request::Parts,
};
use tokio::time::timeout;

use self::arriving::Arriving;
use self::bounds::Bounds;
use super::{
    api::{Api, Connection},
    error::IngestError,
    incoming::Incoming,
    life::{Life, Socket, look_again},
    outgoing::Reply,
    stream,
    timed::Timed,
};
use crate::admission::{Admission, Busy, Reservation, Standing};

/// How long a client that was told of the end may take to say that it has heard.
const GOODBYE: Duration = Duration::from_secs(1);
/// Between two looks whether a stream has ended whose answer nobody reads.
const LOOK: Duration = Duration::from_secs(1);

/// What small frames of a connection may take, shared by its requests that have a body.
#[derive(Default)]
struct Frames(Mutex<Weak<Reservation>>);

impl Frames {
    fn hold(&self, bytes: usize, admission: &Admission) -> Result<Arc<Reservation>, Busy> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = shared.upgrade() {
            return Ok(held);
        }
        let held = Arc::new(admission.at_once(bytes)?);
        *shared = Arc::downgrade(&held);
        Ok(held)
    }
}

/// What a request holds from its head to its reply, and a stream to its beginning.
struct Holds {
    _head: Reservation,
    _frames: Option<Arc<Reservation>>,
}

impl Life<'_> {
    /// Serves a connection of HTTP/2 to its end.
    pub(super) async fn serve_http2(&mut self, mut stream: Timed<impl Socket>) {
        stream.in_turns();
        let handshake = self.http.http2.handshake::<_, Bytes>(stream);
        let Some(Ok(mut connection)) = self.in_time(handshake).await else {
            return;
        };
        let frames = Arc::new(Frames::default());
        let Self {
            http,
            owner,
            phase,
            drain,
        } = self;
        let asking = drain.clone();
        let mut ending = Ending::No;
        loop {
            let next = match ending {
                Ending::No => look_again(phase),
                _ => tokio::time::sleep(GOODBYE),
            };
            tokio::select! {
                biased;
                accepted = connection.accept() => {
                    // An error is the client's: it went away, or spoke something else.
                    let Some(Ok((request, respond))) = accepted else { return };
                    let from = Connection::new(*owner, phase, true, &asking);
                    let (api, frames) = (Arc::clone(&http.api), Arc::clone(&frames));
                    let write = http.limits.write_timeout();
                    let bounds = http.http2_bounds;
                    // Its connection is in use until the reply is written.
                    let in_use = phase.request(true);
                    tokio::spawn(async move {
                        answer(&api, request, respond, from, (bounds, &frames), write).await;
                        drop(in_use);
                    });
                }
                () = next => match ending {
                    // Dropping the connection closes it.
                    _ if phase.is_over() => return,
                    Ending::Told => return,
                    // A client may never answer what asks it to go, and has nothing to wait for.
                    Ending::Asked if phase.is_quiet(GOODBYE) => {
                        connection.abrupt_shutdown(Reason::NO_ERROR);
                        ending = Ending::Told;
                    }
                    Ending::Asked | Ending::No => {}
                },
                () = phase.evicted(), if ending != Ending::Told => match phase.silent_since() {
                    Some(_) => {
                        connection.abrupt_shutdown(Reason::NO_ERROR);
                        ending = Ending::Told;
                    }
                    None => phase.stays(),
                },
                _ = drain.wait_for(|drain| *drain), if ending == Ending::No => {
                    connection.graceful_shutdown();
                    ending = Ending::Asked;
                }
            }
        }
    }
}

/// How far a connection's end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    /// Its client was asked to send no more.
    Asked,
    /// Its client was told which requests are the last.
    Told,
}

async fn answer(
    api: &Api,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    from: Connection,
    (bounds, frames): (Bounds, &Frames),
    write: Duration,
) {
    let admission = &api.pipeline().admission;
    let (head, body) = request.into_parts();
    let response = match holds(&head, &body, admission, bounds, frames) {
        Ok(holds) => {
            let body = Arriving::new(body, length(&head.headers));
            let request = Request::from_parts(head, Incoming::Http2(body.clone()));
            let handling = api.handle(request, from);
            let response = tokio::select! {
                // The client gave the request up; what was accepted goes on by itself.
                biased;
                _ = poll_fn(|context| respond.poll_reset(context)) => return,
                // First, since a stream goes on elsewhere.
                response = body.take_on() => response,
                response = handling => response,
            };
            // A stream counts what it reads by itself: many that say nothing must not take the room of others.
            drop(holds);
            response
        }
        Err(busy) => api.refuse(&IngestError::from(busy)),
    };
    let (mut head, reply) = response.into_parts();
    dress(&mut head.headers, &reply);
    let is_empty = matches!(&reply, Reply::Whole(bytes) if bytes.is_empty());
    let Ok(mut stream) = respond.send_response(Response::from_parts(head, ()), is_empty) else {
        return;
    };
    let written = match reply {
        Reply::Whole(bytes) => send(&mut stream, bytes, true, admission, Some(write)).await,
        Reply::Stream(body) => send_stream(&mut stream, body, admission, write).await,
    };
    if written.is_err() {
        stream.send_reset(Reason::CANCEL);
    }
}

/// Room for the head that is there, and for what the client may send before anybody looks.
fn holds(
    head: &Parts,
    body: &RecvStream,
    admission: &Admission,
    bounds: Bounds,
    frames: &Frames,
) -> Result<Holds, Busy> {
    let lines: usize = head
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 64)
        .sum();
    let path = head.uri.path_and_query().map_or(0, |path| path.as_str().len());
    let coming = match (body.is_end_stream(), length(&head.headers)) {
        (true, _) => 0,
        (false, Some(length)) => length.min(bounds.window.into()) as usize,
        (false, None) => bounds.window as usize,
    };
    Ok(Holds {
        _head: admission.at_once(lines + path + coming)?,
        _frames: match coming {
            0 => None,
            _ => Some(frames.hold(bounds.frames, admission)?),
        },
    })
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What hyper does for HTTP/1.1.
fn dress(headers: &mut HeaderMap, reply: &Reply) {
    // Of one connection's kind only, and not allowed here.
    headers.remove(CONNECTION);
    if let Reply::Whole(bytes) = reply {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    }
    if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now())) {
        headers.insert(DATE, date);
    }
}

/// It was not read in its time, or the client gave it up.
struct NotWritten;

/// Sends bytes as the client gives room for them. `write` is how long it may give none.
async fn send(
    stream: &mut SendStream<Bytes>,
    mut bytes: Bytes,
    ends: bool,
    admission: &Admission,
    write: Option<Duration>,
) -> Result<(), NotWritten> {
    let mut standing: Option<Standing> = None;
    while !bytes.is_empty() {
        let left = bytes.len();
        stream.reserve_capacity(left);
        let waiting = async {
            tokio::select! {
                // Only who has to wait may have to give way.
                biased;
                capacity = poll_fn(|context| stream.poll_capacity(context)) => capacity,
                () = async { standing.get_or_insert_with(|| admission.standing(left)).told().await } => None,
            }
        };
        let capacity = match write {
            Some(write) => timeout(write, waiting).await.map_err(|_| NotWritten)?,
            None => waiting.await,
        };
        let Some(Ok(capacity)) = capacity else {
            return Err(NotWritten);
        };
        let piece = bytes.split_to(capacity.min(left));
        if let Some(standing) = &standing {
            standing.moves(piece.len());
            standing.holds(bytes.len());
        }
        stream
            .send_data(piece, ends && bytes.is_empty())
            .map_err(|_| NotWritten)?;
    }
    Ok(())
}

/// While a stream goes on, it is itself that notices whether anybody reads.
async fn send_stream(
    stream: &mut SendStream<Bytes>,
    mut body: stream::body::Body,
    admission: &Admission,
    write: Duration,
) -> Result<(), NotWritten> {
    while let Some(piece) = body.piece().await {
        tokio::select! {
            biased;
            sent = send(stream, piece, false, admission, None) => sent?,
            () = unread(&body, write) => return Err(NotWritten),
        }
    }
    stream.send_data(Bytes::new(), true).map_err(|_| NotWritten)
}

/// Waits until the stream has ended, and so long after that.
async fn unread(body: &stream::body::Body, write: Duration) {
    while !body.has_ended() {
        tokio::time::sleep(LOOK).await;
    }
    tokio::time::sleep(write).await;
}
