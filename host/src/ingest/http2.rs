//! HTTP/2, by direct use of the `h2` library.
//!
//! There is no hyper in between, because only the library itself can say two things: when a client may send more (a
//! stream that waits for its brokers gives no window back, which slows its client), and whether the client reads a
//! reply.
//!
//! Its bounds, and why:
//!
//! - [`Bounds::window`] for each request, counted as held once its head has come: its client may send that much unread.
//! - [`Bounds::frames`] for each connection, counted as held while one of its requests has a body: an unread frame of
//!   one byte takes a hundred times as much.
//! - [`TURN`](bounds::TURN) bytes are read in one go: requests [take](Arriving) what has come before more is read.

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
    body::Body as _,
    header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderValue},
    http::request::Parts,
};
use tokio::time::timeout;

use self::arriving::Arriving;
use self::bounds::Bounds;
use super::{
    api::{Api, Connection},
    error::IngestError,
    grpc::status,
    incoming::Incoming,
    life::{Life, Socket, look_again},
    outgoing::{Reply, Served},
    stream,
    timed::Timed,
};
use crate::admission::{Admission, Busy, Reservation, Standing};

/// After a client was asked to end, how long it may take to confirm that.
const GOODBYE: Duration = Duration::from_secs(1);
/// While nobody reads the reply of a stream: pause between two checks whether the stream has ended.
const LOOK: Duration = Duration::from_secs(1);

/// Memory for the small frames of a connection, shared by those of its requests that have a body.
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

/// What a request holds from its head to its reply; a stream, from its head to its beginning.
struct Holds {
    _head: Reservation,
    _frames: Option<Arc<Reservation>>,
}

impl Life<'_> {
    /// Serves an HTTP/2 connection to its end.
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
                    // The client is the cause of an error: it went away, or did not speak HTTP/2.
                    let Some(Ok((request, respond))) = accepted else { return };
                    let from = Connection::new(*owner, phase, true, &asking);
                    let (api, frames) = (Arc::clone(&http.api), Arc::clone(&frames));
                    let write = http.limits.write_timeout();
                    let bounds = http.http2_bounds;
                    // The connection is in use until the reply is written.
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
                    // A client may never confirm the request to end, and has nothing to wait for.
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

/// How far a connection is on the way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    /// The client was asked to send no more requests.
    Asked,
    /// The client was told which request is the last.
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
                // The client cancelled the request. What was accepted goes on by itself.
                biased;
                _ = poll_fn(|context| respond.poll_reset(context)) => return,
                // This comes before `handling`, which may hand the body of a stream to another task.
                response = body.take_on() => response,
                response = handling => response,
            };
            // A stream counts by itself what it reads: many silent streams must not take the room of others.
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
        Reply::WithTrailers(bytes, trailers) => {
            let sent = send(&mut stream, bytes, false, admission, Some(write)).await;
            sent.and_then(|()| end(&mut stream, Some(trailers)))
        }
        Reply::Served(served) => send_served(&mut stream, served, admission, write).await,
        Reply::Stream(body) => send_stream(&mut stream, body, admission, write).await,
    };
    if written.is_err() {
        stream.send_reset(Reason::CANCEL);
    }
}

/// Takes room for the head, and for what the client may send before it is read.
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

/// Adds the headers that hyper adds in HTTP/1.1.
fn dress(headers: &mut HeaderMap, reply: &Reply) {
    // HTTP/2 forbids this header, which is about a single connection.
    headers.remove(CONNECTION);
    if let Reply::Whole(bytes) = reply {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    }
    if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now())) {
        headers.insert(DATE, date);
    }
}

/// The client did not read the reply in time, or cancelled the request.
struct NotWritten;

/// Sends bytes as the client gives room for them. `write` is the longest time without any room.
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
                // The capacity comes first: only a reply that has to wait may have to give way.
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

/// Sends a stream's reply. While the stream goes on, the stream itself notices a client that does not read.
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
    let trailers = body.trailers.take();
    end(stream, trailers)
}

/// Sends what tonic answers, until it ends or the process does.
async fn send_served(
    stream: &mut SendStream<Bytes>,
    mut served: Served,
    admission: &Admission,
    write: Duration,
) -> Result<(), NotWritten> {
    loop {
        let frame = tokio::select! {
            biased;
            _ = poll_fn(|context| stream.poll_reset(context)) => return Err(NotWritten),
            frame = poll_fn(|context| Pin::new(&mut served.body).poll_frame(context)) => frame,
            _ = served.drain.wait_for(|drain| *drain) => None,
        };
        let frame = match frame {
            None => return end(stream, Some(status::draining())),
            Some(frame) => frame.map_err(|_| NotWritten)?,
        };
        match frame.into_data() {
            Ok(data) => send(stream, data, false, admission, Some(write)).await?,
            Err(frame) => return end(stream, frame.into_trailers().ok()),
        }
    }
}

fn end(stream: &mut SendStream<Bytes>, trailers: Option<HeaderMap>) -> Result<(), NotWritten> {
    let sent = match trailers {
        None => stream.send_data(Bytes::new(), true),
        Some(trailers) => stream.send_trailers(trailers),
    };
    sent.map_err(|_| NotWritten)
}

/// Waits until the stream has ended, and for `write` after that.
async fn unread(body: &stream::body::Body, write: Duration) {
    while !body.has_ended() {
        tokio::time::sleep(LOOK).await;
    }
    tokio::time::sleep(write).await;
}
