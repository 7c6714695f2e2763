//! The time limits of a connection: on silence, on a header, and on a reply that stays unread.
//!
//! hyper's own header time-out also runs on idle keep-alive connections, and does not run before the first byte of a
//! connection whose protocol is still unknown. So time is kept here. [`Timed`] sees bytes come and go, the request
//! handler says when a request begins and ends, and the task that serves the connection asks [`Phase::deadline`].

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

/// The limits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// From the connection's start, or from a request's first byte, to the end of its header.
    pub(super) header: Duration,
    /// Without a request.
    pub(super) idle: Duration,
    /// Without any byte of a reply written, while the reply waits for its client.
    pub(super) write: Duration,
}

/// What a connection is doing. All clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Phase {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    timeouts: Timeouts,
    state: Mutex<State>,
    /// Whether something was written and not flushed since.
    unflushed: AtomicBool,
    /// Bytes written since the connection's start.
    written: AtomicUsize,
    /// Whether another connection needs the place of this one.
    is_evicted: AtomicBool,
    evicted: Notify,
}

#[derive(Debug)]
struct State {
    /// Requests between their header and their reply. More than one only with HTTP/2.
    requests: usize,
    /// When the last request ended, or the current header began; at first, the connection's start.
    since: Instant,
    /// Whether bytes of a header have come, or no request has been seen yet.
    in_header: bool,
    /// Whether it is HTTP/2, where frames that are not a header come while the connection is idle.
    is_h2: bool,
    /// Bodies that were not read to their end, or never will be. The next bytes may belong to one of them.
    unread: usize,
    /// Since when the client has taken nothing of what is written.
    blocked: Option<Instant>,
}

/// A request under way, until this is dropped.
pub(super) struct InRequest(Phase);

/// A body of HTTP/1.1 that has not been read to its end. If this is dropped without [`Unread::all_read`], the
/// connection serves no other request.
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

    /// Notes that a header is complete.
    pub(super) fn request(&self, is_h2: bool) -> InRequest {
        let mut state = self.state();
        state.requests += 1;
        state.in_header = false;
        state.is_h2 = is_h2;
        drop(state);
        InRequest(self.clone())
    }

    /// Notes that a body begins.
    pub(super) fn unread(&self) -> Unread {
        self.state().unread += 1;
        Unread(self.clone())
    }

    /// When the connection must be closed if nothing changes. None while a request is under way.
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
        // While a request is under way, even as a stream, the task that writes its reply keeps this limit.
        let unread = state
            .blocked
            .map(|blocked| blocked.max(state.since) + self.shared.timeouts.write);
        Some(unread.map_or(silent, |unread| unread.min(silent)))
    }

    /// Whether the connection must be closed now.
    pub(super) fn is_over(&self) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Whether, for this time, no request was under way, no byte of a header had come, all bodies were read, and all
    /// replies were written.
    pub(super) fn is_idle(&self, time: Duration) -> bool {
        let state = self.state();
        state.requests == 0
            && !state.in_header
            && state.unread == 0
            && state.since.elapsed() >= time
            && !self.shared.unflushed.load(Ordering::Relaxed)
    }

    /// Whether, for this time, no request was under way and all replies were written.
    pub(super) fn is_quiet(&self, time: Duration) -> bool {
        self.silent_since().is_some_and(|since| since.elapsed() >= time)
    }

    /// Since when no request is under way. None while one is, or while a reply is being written.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.requests == 0 && !self.shared.unflushed.load(Ordering::Relaxed)).then_some(state.since)
    }

    /// Notes that a part of the next header had come before the last reply was written.
    pub(super) fn has_header(&self) {
        self.state().in_header = true;
    }

    /// Bytes of replies written so far, if the client takes nothing now.
    pub(super) fn blocked(&self) -> Option<usize> {
        let is_blocked = self.state().blocked.is_some();
        is_blocked.then(|| self.shared.written.load(Ordering::Relaxed))
    }

    /// Makes the connection end, because another one needs its place.
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

    /// Cancels the eviction: a request came before the connection could end.
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
    /// Notes that the body was read to its end.
    pub(super) fn all_read(&self) {
        let mut state = self.0.state();
        state.unread -= 1;
    }
}

/// A stream that tells its [`Phase`] when bytes come and go.
pub(super) struct Timed<S> {
    stream: S,
    phase: Phase,
    /// Bytes that were read from the stream already, and are read again first.
    unread: Bytes,
    /// Bytes that may still be read in this turn, if reading goes in turns.
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

    /// From now on, others have their turn after every [`TURN`] bytes.
    pub(super) fn in_turns(&mut self) {
        self.turn = Some(TURN);
    }

    /// Makes these bytes the next to be read. All that were given before must have been read.
    pub(super) fn unread(&mut self, bytes: Bytes) {
        // Even empty bytes would keep the whole buffer behind them.
        self.unread = if bytes.is_empty() { Bytes::new() } else { bytes };
    }

    /// Bytes that were read from the stream already, and are read next.
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
                // A yield, not only a wake-up: it lets other tasks see what has come for them first.
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
