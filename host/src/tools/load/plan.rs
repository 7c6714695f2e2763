//! What each connection of a load does.

use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};

/// A connected socket, of either kind.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// When requests are sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) begin: Instant,
    pub(super) end: Instant,
    /// Between two requests of one connection; none: as soon as there is room for one.
    pub(super) interval: Option<Duration>,
    /// Of one connection.
    pub(super) in_flight: usize,
}
