//! What each connection of a load does.

use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};

/// A connected socket, Unix or TCP.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// When requests are sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// When sending begins.
    pub(super) begin: Instant,
    /// When sending ends.
    pub(super) end: Instant,
    /// The time between two requests of one connection. None: each request goes out as soon as there is room
    /// for it.
    pub(super) interval: Option<Duration>,
    /// How many requests of one connection, or pieces of one stream, may be under way at once. None: one request, and as
    /// many pieces as the sidecar takes.
    pub(super) in_flight: Option<usize>,
}

impl Plan {
    /// Waits until this request of a connection is due, and says when that is. None if requests go as soon as there is
    /// room.
    pub(super) async fn due(&self, number: u32) -> Option<Instant> {
        let due = self.begin + self.interval? * number;
        tokio::time::sleep_until(due.into()).await;
        Some(due)
    }
}
