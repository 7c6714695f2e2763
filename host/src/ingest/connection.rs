//! One connection, from its first byte to its end.
//!
//! Most connections of a pool are silent most of the time, and hyper keeps 16 KiB of buffers for each that has ever
//! sent anything. So hyper has a connection only while it is used. Before its first byte, and once it has been idle for
//! a [while](super::life::ASLEEP_AFTER), a connection is only a socket that is waited for. HTTP/2 has its [own
//! module](super::http2).

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use hyper::{Request, Response, body::Incoming as HyperIncoming, service::Service, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncReadExt as _, sync::watch};

use super::{
    api::Connection,
    incoming::Incoming,
    life::{ASLEEP_AFTER, Http, Life, Socket, look_again},
    outgoing::Reply,
    timed::{Phase, Timed},
};
use crate::{admission::Standing, ordering::sequence::Owner};

/// The first bytes of every HTTP/2 connection (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A service that replies to HTTP/1.1 requests.
trait Handler:
    Service<Request<HyperIncoming>, Response = Response<Reply>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}
impl<H> Handler for H where
    H: Service<Request<HyperIncoming>, Response = Response<Reply>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

impl Http {
    /// Serves a connection until it ends, its time is over, its place is needed, or the process drains.
    pub(super) async fn connection<S: Socket>(
        self: &Arc<Self>,
        stream: S,
        owner: Owner,
        phase: Phase,
        drain: watch::Receiver<bool>,
    ) {
        let handler = service_fn({
            let (api, phase, drain) = (Arc::clone(&self.api), phase.clone(), drain.clone());
            move |request: Request<HyperIncoming>| {
                let (api, phase, drain) = (Arc::clone(&api), phase.clone(), drain.clone());
                async move {
                    let from = Connection::new(owner, &phase, false, &drain);
                    let request = request.map(|body| Incoming::http1(body, || phase.unread()));
                    Ok::<_, Infallible>(api.handle(request, from).await)
                }
            }
        });
        let stream = Timed::new(stream, phase.clone());
        let mut life = Life {
            http: self,
            owner,
            phase,
            drain,
        };
        life.live(stream, handler).await;
    }
}

impl Life<'_> {
    // What serving needs is in a box, so that a socket that is only waited for does not carry it.
    async fn live(&mut self, mut stream: Timed<impl Socket>, handler: impl Handler) {
        let mut is_first = true;
        while self.has_bytes(&mut stream).await {
            match Box::pin(self.serve(stream, handler.clone(), is_first)).await {
                Some(idle) => stream = idle,
                None => return,
            }
            is_first = false;
        }
    }

    /// Serves HTTP/1.1 or HTTP/2 until the connection ends or is idle. Returns an idle connection.
    async fn serve<S: Socket>(
        &mut self,
        mut stream: Timed<S>,
        handler: impl Handler,
        is_first: bool,
    ) -> Option<Timed<S>> {
        if is_first && self.has_preface(&mut stream).await? {
            self.serve_http2(stream).await;
            return None;
        }
        self.serve_http1(stream, handler).await
    }

    /// Waits for enough bytes to tell whether they begin HTTP/2, and leaves them unread. None when the connection is
    /// over.
    async fn has_preface(&mut self, stream: &mut Timed<impl Socket>) -> Option<bool> {
        let mut first = stream.peek().to_vec();
        while first.len() < PREFACE.len() && PREFACE.starts_with(&first) {
            stream.unread(Bytes::new());
            if !self.has_bytes(stream).await {
                return None;
            }
            first.extend_from_slice(stream.peek());
        }
        let has_preface = first.starts_with(PREFACE);
        stream.unread(Bytes::from(first));
        Some(has_preface)
    }

    /// Waits until there is something to read, and leaves it unread. False when the connection is over.
    async fn has_bytes(&mut self, stream: &mut Timed<impl Socket>) -> bool {
        if !stream.peek().is_empty() {
            return true;
        }
        let mut first = [0; PREFACE.len()];
        let read = self.in_time(stream.read(&mut first)).await;
        let read = read.and_then(Result::ok).unwrap_or(0);
        stream.unread(Bytes::copy_from_slice(&first[..read]));
        read > 0
    }

    /// Serves HTTP/1.1 until the connection ends or is idle. Returns an idle connection.
    async fn serve_http1<S: Socket>(&mut self, stream: Timed<S>, handler: impl Handler) -> Option<Timed<S>> {
        let Self { http, phase, drain, .. } = self;
        let mut connection = http.http1.serve_connection(TokioIo::new(stream), handler);
        let mut draining = false;
        let mut unread = Unread::default();
        loop {
            tokio::select! {
                // The connection comes first: once it has run and still is idle, it really waits for bytes.
                biased;
                _ = &mut connection => return None,
                () = look_again(phase) => {
                    if phase.is_over() {
                        // Dropping the connection closes it.
                        return None;
                    }
                    unread.look(http, phase);
                    if !draining && phase.is_idle(ASLEEP_AFTER) {
                        let parts = connection.into_parts();
                        let mut stream = parts.io.into_inner();
                        if !parts.read_buf.is_empty() {
                            phase.has_header();
                        }
                        stream.unread(parts.read_buf);
                        return Some(stream);
                    }
                }
                () = unread.gives_way() => return None,
                () = phase.evicted() => match phase.silent_since() {
                    Some(_) => return None,
                    None => phase.stays(),
                },
                _ = drain.wait_for(|drain| *drain), if !draining => {
                    draining = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
        }
    }
}

/// A reply that its client does not read.
#[derive(Default)]
struct Unread {
    /// Its entry among those that may have to give way.
    standing: Option<Standing>,
    /// Bytes written at the last look.
    written: usize,
}

/// What an unread reply is assumed to hold. Only hyper knows how much of it is left, so this is always the same.
const SOME: usize = 64 << 10;

impl Unread {
    fn look(&mut self, http: &Http, phase: &Phase) {
        let Some(written) = phase.blocked() else {
            self.standing = None;
            return;
        };
        let standing = self
            .standing
            .get_or_insert_with(|| http.api.pipeline().admission.standing(SOME));
        standing.moves(written - self.written);
        self.written = written;
    }

    async fn gives_way(&self) {
        match &self.standing {
            Some(standing) => standing.told().await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests;
