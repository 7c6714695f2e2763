//! Turns for work that keeps a thread busy for long: reading a large body, writing a long reply.
//!
//! A worker does one thing after the other. A hundred large bodies at once would make everybody wait for all of them.
//! So long work waits for a turn, and after each turn everything else that is ready runs first.

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::yield_now,
};

/// Turns for long work; see the [module](self).
#[derive(Debug)]
pub struct LongWork(Semaphore);

/// A turn for long work; or nothing, for short work that needs no turn.
#[derive(Debug)]
pub struct LongWorkPermit<'t>(Option<SemaphorePermit<'t>>);

impl Default for LongWork {
    /// As many turns as there are processors.
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Semaphore::new(workers))
    }
}

impl LongWork {
    /// Waits for a turn if the work is long. Short work needs none.
    pub async fn permit(&self, is_long: bool) -> LongWorkPermit<'_> {
        LongWorkPermit(match is_long {
            // The semaphore is never closed.
            true => self.0.acquire().await.ok(),
            false => None,
        })
    }
}

impl LongWorkPermit<'_> {
    /// Ends the turn: others run first, then the task that has the next turn.
    pub async fn end(self) {
        if self.0.is_some() {
            yield_now().await;
        }
    }
}
