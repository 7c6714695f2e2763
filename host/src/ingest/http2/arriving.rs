//! A body that comes over HTTP/2, taken from the connection as it comes.
//!
//! A frame takes far more memory than its bytes until it is taken. So a connection may have only so many untaken frames
//! (`MOST_FRAMES`); with more, the connection ends, and all its requests with it. A task that reads a body also waits
//! for other things: for a topic's partitions, for room, for brokers. So whenever that task wakes up, it takes what has
//! come, whatever it waits for. That is at most [a window](super::Bounds), since the client may send no more until
//! bytes are released.

use std::{
    future::poll_fn,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::RecvStream;

/// Smaller pieces are copied: each would keep alive the whole buffer that it came in.
const SMALL: usize = 1 << 10;

/// A body over HTTP/2; see the [module](self). All clones are the same body.
#[derive(Clone)]
pub(in crate::ingest) struct Arriving(Arc<Mutex<State>>);

struct State {
    body: RecvStream,
    /// Length of the body in bytes, if it is known.
    length: Option<u64>,
    /// The first piece that was taken, as it came, until it is given out.
    first: Bytes,
    /// Everything that was taken, once there is more than one piece; `first` is empty then.
    all: Vec<u8>,
    /// How the body ended. What came before the end is given out first.
    end: Option<Result<(), String>>,
}

impl Arriving {
    /// `length` is the length that the request announces.
    pub(super) fn new(body: RecvStream, length: Option<u64>) -> Self {
        let length = if body.is_end_stream() { Some(0) } else { length };
        Self(Arc::new(Mutex::new(State {
            body,
            length,
            first: Bytes::new(),
            all: Vec::new(),
            end: None,
        })))
    }

    pub(in crate::ingest) fn length(&self) -> Option<u64> {
        self.state().length
    }

    /// The next bytes of the body; none at its end. The error says how the body broke off.
    pub(in crate::ingest) fn poll_data(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        let mut state = self.state();
        state.take(context);
        let taken = state.taken();
        match &state.end {
            _ if !taken.is_empty() => Poll::Ready(Some(Ok(taken))),
            Some(end) => Poll::Ready(end.clone().err().map(Err)),
            None => Poll::Pending,
        }
    }

    /// Takes what has come from the connection; see the [module](self).
    pub(in crate::ingest) fn take(&self, context: &mut Context<'_>) {
        self.state().take(context);
    }

    /// Takes what comes, for as long as this is awaited. Never returns.
    pub(super) async fn take_on<T>(&self) -> T {
        poll_fn(|context| {
            self.take(context);
            Poll::Pending
        })
        .await
    }

    /// Allows the client to send this many bytes more.
    pub(in crate::ingest) fn release(&self, bytes: usize) {
        // An error means that the stream is over.
        let _ = self.state().body.flow_control().release_capacity(bytes);
    }

    // A std mutex: it is held for a moment, never over an await, and by one task only.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, context: &mut Context<'_>) {
        while self.end.is_none() {
            match self.body.poll_data(context) {
                Poll::Ready(Some(Ok(data))) => self.add(data),
                Poll::Ready(Some(Err(error))) => self.end = Some(Err(error.to_string())),
                Poll::Ready(None) => self.end = Some(Ok(())),
                Poll::Pending => return,
            }
        }
    }

    fn add(&mut self, data: Bytes) {
        if self.first.is_empty() && self.all.is_empty() && data.len() >= SMALL {
            self.first = data;
            return;
        }
        if !self.first.is_empty() {
            self.all = mem::take(&mut self.first).into();
        }
        self.all.extend_from_slice(&data);
    }

    fn taken(&mut self) -> Bytes {
        match self.all.is_empty() {
            true => mem::take(&mut self.first),
            false => Bytes::from(mem::take(&mut self.all)),
        }
    }
}
