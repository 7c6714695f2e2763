//! How many outcomes a client may be behind.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64},
};

use tokio::sync::Semaphore;

/// Most outcomes that may be missing, or not yet written to the connection.
pub(super) const WINDOW: usize = 1_000;

/// Counts the outcomes that are missing or not yet written to the connection.
pub(super) struct Window {
    /// One permit for each outcome that may be added.
    pub(super) room: Arc<Semaphore>,
    /// Whether the reader waits for room.
    pub(super) is_full: AtomicBool,
    /// Pieces of the reply that have been written.
    pub(super) written: AtomicU64,
}
