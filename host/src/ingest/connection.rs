//! One connection, from its first byte to its end.
//!
//! Most connections of a pool say nothing most of the time, and hyper keeps 16 KiB of buffers for each that has ever said
//! something. So a connection is hyper's only while it is used: before its first byte, and once it has been idle for a
//! [while](ASLEEP_AFTER), it is a socket that is waited for, and no more. With HTTP/2 it is hyper's for good.

use std::{
    convert::Infallible,
    pin::{self, pin},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    Request, Response, Version,
    body::Incoming,
    service::{Service, service_fn},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    sync::watch,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    api::{Connection, Reply},
    serve::Server,
    timed::{Phase, Timed},
};
use crate::sequence::Owner;

/// How long a connection is idle before its buffers are given up.
const ASLEEP_AFTER: Duration = Duration::from_secs(1);
/// What every HTTP/2 connection begins with (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whatever connections are made of.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Socket for S {}

/// What answers its requests.
trait Handler:
    Service<Request<Incoming>, Response = Response<Reply>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}
impl<H> Handler for H where
    H: Service<Request<Incoming>, Response = Response<Reply>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// One connection's.
struct Life<'a> {
    server: &'a Server,
    phase: Phase,
    drain: watch::Receiver<bool>,
}

impl Server {
    /// Serves a connection until it ends, its time is over, or the process drains.
    pub(super) async fn connection<S: Socket>(self: &Arc<Self>, stream: S, owner: Owner, drain: watch::Receiver<bool>) {
        let phase = Phase::new(self.limits.header_timeout(), self.limits.idle_timeout());
        let handler = service_fn({
            let (api, phase, drain) = (Arc::clone(&self.api), phase.clone(), drain.clone());
            move |request: Request<Incoming>| {
                let (api, phase, drain) = (Arc::clone(&api), phase.clone(), drain.clone());
                async move {
                    let from = Connection {
                        owner,
                        in_request: phase.request(request.version() == Version::HTTP_2),
                        drain,
                    };
                    Ok::<_, Infallible>(api.handle(request, from).await)
                }
            }
        });
        let stream = Timed::new(stream, phase.clone());
        let mut life = Life {
            server: self,
            phase,
            drain,
        };
        life.live(stream, handler).await;
    }
}

impl Life<'_> {
    // What hyper needs is in boxes, so that a socket that is waited for has none of it.
    async fn live(&mut self, mut stream: Timed<impl Socket>, handler: impl Handler) {
        if self.has_bytes(&mut stream).await && PREFACE.starts_with(stream.peek()) {
            return Box::pin(self.serve(stream, handler)).await;
        }
        while self.has_bytes(&mut stream).await {
            match Box::pin(self.serve_http1(stream, handler.clone())).await {
                Some(idle) => stream = idle,
                None => return,
            }
        }
    }

    /// Waits until there is something to read, and leaves it there; false when the connection is over.
    async fn has_bytes(&mut self, stream: &mut Timed<impl Socket>) -> bool {
        if !stream.peek().is_empty() {
            return true;
        }
        let Some(deadline) = self.phase.deadline() else {
            return false;
        };
        let mut first = [0; PREFACE.len()];
        let read = tokio::select! {
            biased;
            read = stream.read(&mut first) => read.unwrap_or(0),
            () = sleep_until(deadline) => 0,
            _ = self.drain.wait_for(|drain| *drain) => 0,
        };
        stream.unread(Bytes::copy_from_slice(&first[..read]));
        read > 0
    }

    /// Whatever HTTP it speaks, to its end.
    async fn serve(&mut self, stream: Timed<impl Socket>, handler: impl Handler) {
        let Self { server, phase, drain } = self;
        let mut connection = pin!(server.http.serve_connection(TokioIo::new(stream), handler));
        let mut draining = false;
        loop {
            tokio::select! {
                biased;
                // An error is the client's: it went away, or spoke something else.
                _ = connection.as_mut() => return,
                () = look_again(phase) => if phase.is_over() {
                    // Dropping the connection closes it.
                    return;
                },
                _ = drain.wait_for(|drain| *drain), if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    /// HTTP/1.1, until it ends, or is idle: then it is given back.
    async fn serve_http1<S: Socket>(&mut self, stream: Timed<S>, handler: impl Handler) -> Option<Timed<S>> {
        let Self { server, phase, drain } = self;
        let mut connection = server.http1.serve_connection(TokioIo::new(stream), handler);
        let mut draining = false;
        loop {
            tokio::select! {
                // The connection first: when it is found idle, it has just had its turn, and waits for bytes.
                biased;
                _ = &mut connection => return None,
                () = look_again(phase) => {
                    if phase.is_over() {
                        return None;
                    }
                    if !draining && phase.is_idle(ASLEEP_AFTER) {
                        let parts = connection.into_parts();
                        let mut stream = parts.io.into_inner();
                        stream.unread(parts.read_buf);
                        return Some(stream);
                    }
                }
                _ = drain.wait_for(|drain| *drain), if !draining => {
                    draining = true;
                    pin::Pin::new(&mut connection).graceful_shutdown();
                }
            }
        }
    }
}

/// A header may begin at any time, and idleness too.
fn look_again(phase: &Phase) -> Sleep {
    let at = Instant::now() + ASLEEP_AFTER;
    let at = phase.deadline().map_or(at, |deadline| deadline.min(at));
    sleep_until(at)
}

#[cfg(test)]
mod tests;
