//! Turns for work that keeps a thread busy for long: reading a large body, writing a long reply.
//!
//! A worker does one thing after the other, so a hundred large bodies that are there at once would make everybody wait for all of
//! them. So only one after the other is worked off, and after each everything else that is ready has its turn.

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::yield_now,
};

/// See the [module](self).
#[derive(Debug)]
pub struct LongWork(Semaphore);

/// A turn, or the right to go without one.
#[derive(Debug)]
pub struct LongWorkPermit<'t>(Option<SemaphorePermit<'t>>);

impl Default for LongWork {
    /// As many as there are processors.
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Semaphore::new(workers))
    }
}

impl LongWork {
    /// Waits for a turn, for work that is long; other work needs none.
    pub async fn permit(&self, is_long: bool) -> LongWorkPermit<'_> {
        LongWorkPermit(match is_long {
            // Never closed.
            true => self.0.acquire().await.ok(),
            false => None,
        })
    }
}

impl LongWorkPermit<'_> {
    /// The work is done: others first, then the next one.
    pub async fn end(self) {
        if self.0.is_some() {
            yield_now().await;
        }
    }
}
