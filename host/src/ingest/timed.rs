//! The time of a connection: how long it may say nothing, and how long a header may take.
//!
//! hyper's own header time-out also runs on idle keep-alive connections, and does not run before the first byte of a
//! connection whose protocol is still to be seen. So time is kept here: [`Timed`] sees bytes arrive, the request handler says
//! when a request begins and ends, and whoever serves the connection asks [`Phase::deadline`].

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// What a connection is doing.
#[derive(Debug, Clone)]
pub(super) struct Phase {
    shared: Arc<Shared>,
    header_timeout: Duration,
    idle_timeout: Duration,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Something was written and not flushed since.
    unflushed: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// Requests between their header and their reply. More than one with HTTP/2 only.
    requests: usize,
    /// Since when nothing is asked; the connection's start counts as a header's.
    since: Instant,
    /// Bytes of a header have arrived, or no request has been seen yet.
    in_header: bool,
    /// Frames that are no header arrive while an HTTP/2 connection is idle.
    is_h2: bool,
}

/// A request under way; it ends when this is dropped.
pub(super) struct InRequest(Phase);

impl Phase {
    pub(super) fn new(header_timeout: Duration, idle_timeout: Duration) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    requests: 0,
                    since: Instant::now(),
                    in_header: true,
                    is_h2: false,
                }),
                unflushed: AtomicBool::new(false),
            }),
            header_timeout,
            idle_timeout,
        }
    }

    /// A header is complete.
    pub(super) fn request(&self, is_h2: bool) -> InRequest {
        let mut state = self.state();
        state.requests += 1;
        state.in_header = false;
        state.is_h2 = is_h2;
        drop(state);
        InRequest(self.clone())
    }

    /// When the connection has to be closed if nothing changes; none while a request is under way.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let state = self.state();
        if state.requests > 0 {
            return None;
        }
        let timeout = if state.in_header {
            self.header_timeout
        } else {
            self.idle_timeout
        };
        Some(state.since + timeout)
    }

    /// Whether it has to be closed now.
    pub(super) fn is_over(&self) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Whether for so long nothing has been asked, nothing of a header has come, and all answers have gone out.
    pub(super) fn is_idle(&self, time: Duration) -> bool {
        let state = self.state();
        state.requests == 0
            && !state.in_header
            && state.since.elapsed() >= time
            && !self.shared.unflushed.load(Ordering::Relaxed)
    }

    fn arrived(&self) {
        let mut state = self.state();
        if state.requests == 0 && !state.in_header && !state.is_h2 {
            state.in_header = true;
            state.since = Instant::now();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InRequest {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.requests -= 1;
        state.since = Instant::now();
    }
}

/// A stream that tells its [`Phase`] when bytes come and go.
pub(super) struct Timed<S> {
    stream: S,
    phase: Phase,
    /// Read already, and to be read again first.
    unread: Bytes,
}

impl<S> Timed<S> {
    pub(super) fn new(stream: S, phase: Phase) -> Self {
        Self {
            stream,
            phase,
            unread: Bytes::new(),
        }
    }

    /// Has these bytes be read next; all that were given before have been.
    pub(super) fn unread(&mut self, bytes: Bytes) {
        // Even of an empty one the whole buffer behind it would be kept.
        self.unread = if bytes.is_empty() { Bytes::new() } else { bytes };
    }

    /// What has been read already, and is read next.
    pub(super) fn peek(&self) -> &[u8] {
        &self.unread
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if !self.unread.is_empty() {
            let now = self.unread.len().min(buffer.remaining());
            buffer.put_slice(&self.unread[..now]);
            self.unread.advance(now);
            if self.unread.is_empty() {
                self.unread = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.phase.arrived();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.phase.shared.unflushed.store(true, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        if polled.is_ready() {
            self.phase.shared.unflushed.store(false, Ordering::Relaxed);
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        self.phase.shared.unflushed.store(true, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
