//! The time of a connection: how long it may say nothing, how long a header may take, how long its answer may stay unread.
//!
//! hyper's own header time-out also runs on idle keep-alive connections, and does not run before the first byte of a
//! connection whose protocol is still to be seen. So time is kept here: [`Timed`] sees bytes come and go, the request handler says
//! when a request begins and ends, and whoever serves the connection asks [`Phase::deadline`].

use std::{
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::Instant,
};

use super::http2::bounds::TURN;

/// How long each may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// From a connection's start, or a request's first byte, to the end of its header.
    pub(super) header: Duration,
    /// Without a request.
    pub(super) idle: Duration,
    /// Without a byte of an answer that waits to be read.
    pub(super) write: Duration,
}

/// What a connection is doing.
#[derive(Debug, Clone)]
pub(super) struct Phase {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    timeouts: Timeouts,
    state: Mutex<State>,
    /// Something was written and not flushed since.
    unflushed: AtomicBool,
    /// Since the connection's start.
    written: AtomicUsize,
    /// Its place is needed for another connection.
    is_evicted: AtomicBool,
    evicted: Notify,
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
    /// Bodies that have not been read to their end, or never will be. What comes next may be a part of one.
    unread: usize,
    /// Since when the client takes nothing of what is written.
    blocked: Option<Instant>,
}

/// A request under way; it ends when this is dropped.
pub(super) struct InRequest(Phase);

/// A body of HTTP/1.1 that has not been read to its end. Dropped like that it never will be: the connection serves no other request.
pub(super) struct Unread(Phase);

impl Phase {
    pub(super) fn new(timeouts: Timeouts) -> Self {
        Self {
            shared: Arc::new(Shared {
                timeouts,
                state: Mutex::new(State {
                    requests: 0,
                    since: Instant::now(),
                    in_header: true,
                    is_h2: false,
                    unread: 0,
                    blocked: None,
                }),
                unflushed: AtomicBool::new(false),
                written: AtomicUsize::new(0),
                is_evicted: AtomicBool::new(false),
                evicted: Notify::new(),
            }),
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

    /// A body begins.
    pub(super) fn unread(&self) -> Unread {
        self.state().unread += 1;
        Unread(self.clone())
    }

    /// When the connection has to be closed if nothing changes; none while a request is under way.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let state = self.state();
        if state.requests > 0 {
            return None;
        }
        let silent = state.since
            + match state.in_header {
                true => self.shared.timeouts.header,
                false => self.shared.timeouts.idle,
            };
        // While a request is under way, a stream among them, somebody else counts that.
        let unread = state
            .blocked
            .map(|blocked| blocked.max(state.since) + self.shared.timeouts.write);
        Some(unread.map_or(silent, |unread| unread.min(silent)))
    }

    /// Whether it has to be closed now.
    pub(super) fn is_over(&self) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Whether for so long nothing has been asked, nothing of a header has come, all bodies have been read, and all answers have
    /// gone out.
    pub(super) fn is_idle(&self, time: Duration) -> bool {
        let state = self.state();
        state.requests == 0
            && !state.in_header
            && state.unread == 0
            && state.since.elapsed() >= time
            && !self.shared.unflushed.load(Ordering::Relaxed)
    }

    /// Whether for so long nothing has been asked, and everything has been answered.
    pub(super) fn is_quiet(&self, time: Duration) -> bool {
        self.silent_since().is_some_and(|since| since.elapsed() >= time)
    }

    /// Since when nothing is asked; none while something is, or an answer is being read.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.requests == 0 && !self.shared.unflushed.load(Ordering::Relaxed)).then_some(state.since)
    }

    /// A part of the next header was found that had come before the last answer went out.
    pub(super) fn has_header(&self) {
        self.state().in_header = true;
    }

    /// Bytes of answers that have gone out, where the client takes nothing now.
    pub(super) fn blocked(&self) -> Option<usize> {
        let is_blocked = self.state().blocked.is_some();
        is_blocked.then(|| self.shared.written.load(Ordering::Relaxed))
    }

    /// Has the connection end, because another one needs its place.
    pub(super) fn evict(&self) {
        self.shared.is_evicted.store(true, Ordering::Relaxed);
        self.shared.evicted.notify_one();
    }

    /// Waits for [`Phase::evict`].
    pub(super) async fn evicted(&self) {
        while !self.shared.is_evicted.load(Ordering::Relaxed) {
            self.shared.evicted.notified().await;
        }
    }

    /// A request came before the connection could end: it stays.
    pub(super) fn stays(&self) {
        self.shared.is_evicted.store(false, Ordering::Relaxed);
    }

    fn arrived(&self) {
        let mut state = self.state();
        if state.requests == 0 && !state.in_header && !state.is_h2 {
            state.in_header = true;
            state.since = Instant::now();
        }
    }

    fn writes(&self, polled: &Poll<std::io::Result<usize>>) {
        match polled {
            Poll::Pending => {
                self.state().blocked.get_or_insert_with(Instant::now);
            }
            Poll::Ready(Ok(bytes)) => {
                self.shared.written.fetch_add(*bytes, Ordering::Relaxed);
                self.state().blocked = None;
            }
            Poll::Ready(Err(_)) => {}
        }
    }

    // A std mutex: it is held for a look at the state, never over an await.
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

impl Unread {
    /// The body's end was seen.
    pub(super) fn all_read(&self) {
        let mut state = self.0.state();
        state.unread -= 1;
    }
}

/// A stream that tells its [`Phase`] when bytes come and go.
pub(super) struct Timed<S> {
    stream: S,
    phase: Phase,
    /// Read already, and to be read again first.
    unread: Bytes,
    /// Bytes that may still be read in this turn, where turns are taken.
    turn: Option<usize>,
}

impl<S> Timed<S> {
    pub(super) fn new(stream: S, phase: Phase) -> Self {
        Self {
            stream,
            phase,
            unread: Bytes::new(),
            turn: None,
        }
    }

    /// From now on others have their turn after each [`TURN`] bytes.
    pub(super) fn in_turns(&mut self) {
        self.turn = Some(TURN);
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
        let polled = match self.turn {
            None => Pin::new(&mut self.stream).poll_read(cx, buffer),
            Some(0) => {
                self.turn = Some(TURN);
                // Not a mere wake-up: whatever has come for others is looked at first.
                let _ = pin!(tokio::task::yield_now()).poll(cx);
                return Poll::Pending;
            }
            Some(left) => {
                let most = left.min(buffer.remaining());
                let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
                let polled = Pin::new(&mut self.stream).poll_read(cx, &mut part);
                let filled = part.filled().len();
                buffer.advance(filled);
                self.turn = Some(left - filled);
                polled
            }
        };
        if buffer.filled().len() > before {
            self.phase.arrived();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.phase.shared.unflushed.store(true, Ordering::Relaxed);
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.phase.writes(&polled);
        polled
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
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.phase.writes(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
