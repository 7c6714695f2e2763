//! A connection's life: what serves it, its phase, and when it is over.

use std::{sync::Arc, time::Duration};

use hyper::server::conn::http1;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    api::Api,
    http2::bounds::Bounds,
    timed::{Phase, Timeouts},
};
use crate::{config::Limits, ordering::sequence::Owner};

/// hyper refuses a smaller buffer.
const HYPER_MIN_BUFFER: usize = 8 << 10;
/// How long a connection is idle before its buffers are given back.
pub(super) const ASLEEP_AFTER: Duration = Duration::from_secs(1);

/// What replies to requests, and the settings of HTTP. Built once, for all connections.
pub(super) struct Http {
    pub(super) api: Arc<Api>,
    pub(super) http1: http1::Builder,
    pub(super) http2: h2::server::Builder,
    pub(super) http2_bounds: Bounds,
    pub(super) limits: Limits,
}

impl Http {
    pub(super) fn new(api: Arc<Api>, limits: Limits) -> Self {
        // Twice the limit, so that the reply to a header somewhat over the limit can explain that. A header far over it
        // gets hyper's bare 431.
        let header_bytes = limits.max_header_bytes * 2;
        let mut http1 = http1::Builder::new();
        http1
            .max_buf_size(header_bytes.max(HYPER_MIN_BUFFER))
            .header_read_timeout(None)
            // A client may close its sending side after its request, and still waits for the reply.
            .half_close(true);
        let http2_bounds = Bounds::of(limits.max_buffered_bytes);
        Self {
            api,
            http1,
            http2: http2_bounds.builder(header_bytes),
            http2_bounds,
            limits,
        }
    }

    /// The phase of a connection that begins now.
    pub(super) fn phase(&self) -> Phase {
        Phase::new(Timeouts {
            header: self.limits.header_timeout(),
            idle: self.limits.idle_timeout(),
            write: self.limits.write_timeout(),
        })
    }
}

/// A byte stream that a connection runs over.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Socket for S {}

/// What serves one connection, and what decides about its end.
pub(super) struct Life<'a> {
    pub(super) http: &'a Http,
    pub(super) owner: Owner,
    /// What the connection is doing, and until when it may.
    pub(super) phase: Phase,
    /// Becomes true when the process is about to end.
    pub(super) drain: watch::Receiver<bool>,
}

impl Life<'_> {
    /// Awaits `waiting` while no request is under way. None when the connection is over first.
    pub(super) async fn in_time<T>(&mut self, waiting: impl Future<Output = T>) -> Option<T> {
        let deadline = self.phase.deadline()?;
        tokio::select! {
            biased;
            done = waiting => Some(done),
            () = sleep_until(deadline) => None,
            () = self.phase.evicted() => None,
            _ = self.drain.wait_for(|drain| *drain) => None,
        }
    }
}

/// Waits until the next look at the connection: often enough for a header or an idle time that begins meanwhile.
pub(super) fn look_again(phase: &Phase) -> Sleep {
    let at = Instant::now() + ASLEEP_AFTER;
    let at = phase.deadline().map_or(at, |deadline| deadline.min(at));
    sleep_until(at)
}
