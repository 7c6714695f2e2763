//! How far outcomes may be behind.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64},
};

use tokio::sync::Semaphore;

/// Outcomes that may be outstanding, or told and not yet written to the connection.
pub(super) const WINDOW: usize = 1_000;

/// The outcomes that are outstanding or unread.
pub(super) struct Window {
    pub(super) room: Arc<Semaphore>,
    /// The reader waits for room.
    pub(super) is_full: AtomicBool,
    /// Pieces of the answer that have been written.
    pub(super) written: AtomicU64,
}
