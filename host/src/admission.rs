//! Room for what clients send: bytes, records, connections. What does not fit in time is told 503, with nothing taken.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;

/// A body whose length is not known in advance reserves this much at a time.
const STEP: usize = 1 << 20;
/// Records that the producer holds at once, over all requests. librdkafka was faster and cheaper with a queue of this size
/// than with one ten times as long.
const QUEUE_RECORDS: usize = 20_000;

/// The bounds that all requests share.
#[derive(Debug)]
pub struct Admission {
    /// Bytes of bodies and of queued records.
    buffered: Arc<Semaphore>,
    /// Bytes of bodies that are still being read: at most half of `buffered`, so that slow bodies cannot starve whole ones.
    reading: Arc<Semaphore>,
    /// Records handed over and not yet answered.
    records: Arc<Semaphore>,
    buffered_bytes: usize,
    max_wait: Duration,
}

/// No room within the wait.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no room for {what} within {waited} ms: {bound} is full; send less at once, or retry later", waited = waited.as_millis())]
pub struct Busy {
    /// What there was no room for.
    pub what: &'static str,
    /// The limit that was met.
    pub bound: &'static str,
    /// How long was waited.
    pub waited: Duration,
}

impl Admission {
    /// Everything free.
    pub fn new(limits: &Limits) -> Self {
        Self {
            buffered: Arc::new(Semaphore::new(limits.max_buffered_bytes)),
            reading: Arc::new(Semaphore::new(limits.max_buffered_bytes / 2)),
            records: Arc::new(Semaphore::new(Self::queue_records(limits))),
            buffered_bytes: limits.max_buffered_bytes,
            max_wait: limits.max_wait(),
        }
    }

    /// How many records the producer's queue must hold.
    pub fn queue_records(limits: &Limits) -> usize {
        QUEUE_RECORDS.max(limits.max_records)
    }

    /// Bytes reserved now.
    pub fn buffered(&self) -> usize {
        self.buffered_bytes - self.buffered.available_permits()
    }

    /// Room for `count` records in the producer.
    pub async fn records(&self, count: usize) -> Result<OwnedSemaphorePermit, Busy> {
        self.take(&self.records, count, "the request's records", "the producer's queue")
            .await
    }

    /// Room for a body of which `bytes` are known to come; for one of unknown length, [`Room::grow`] as it comes.
    pub async fn body(self: &Arc<Self>, bytes: Option<usize>) -> Result<Room, Busy> {
        let mut room = Room {
            admission: Arc::clone(self),
            held: 0,
            reading: None,
            buffered: None,
        };
        room.take(bytes.unwrap_or(STEP)).await?;
        Ok(room)
    }

    /// The answer to something else that a request waits for; none when it takes longer than the wait for room may.
    pub async fn in_time<T>(&self, waiting: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(self.max_wait, waiting).await.ok()
    }

    async fn take(
        &self,
        semaphore: &Arc<Semaphore>,
        permits: usize,
        what: &'static str,
        bound: &'static str,
    ) -> Result<OwnedSemaphorePermit, Busy> {
        let busy = Busy {
            what,
            bound,
            waited: self.max_wait,
        };
        let Ok(permits) = u32::try_from(permits) else {
            return Err(busy);
        };
        let waiting = Arc::clone(semaphore).acquire_many_owned(permits);
        match tokio::time::timeout(self.max_wait, waiting).await {
            // The semaphores are never closed, so this is always a permit.
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(busy),
        }
    }
}

/// What a body being read holds.
#[derive(Debug)]
pub struct Room {
    admission: Arc<Admission>,
    held: usize,
    reading: Option<OwnedSemaphorePermit>,
    buffered: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Sees to it that `bytes` in all are held.
    pub async fn grow(&mut self, bytes: usize) -> Result<(), Busy> {
        while self.held < bytes {
            self.take(STEP.max(bytes - self.held)).await?;
        }
        Ok(())
    }

    /// The body is whole: it no longer counts among those being read.
    pub fn whole(self) -> Option<OwnedSemaphorePermit> {
        self.buffered
    }

    async fn take(&mut self, bytes: usize) -> Result<(), Busy> {
        const BOUND: &str = "limits.max_buffered_bytes";
        let admission = &self.admission;
        let reading = admission
            .take(
                &admission.reading,
                bytes,
                "the request's body",
                "half of limits.max_buffered_bytes",
            )
            .await?;
        let buffered = admission
            .take(&admission.buffered, bytes, "the request's body", BOUND)
            .await?;
        self.held += bytes;
        merge(&mut self.reading, reading);
        merge(&mut self.buffered, buffered);
        Ok(())
    }
}

fn merge(into: &mut Option<OwnedSemaphorePermit>, permit: OwnedSemaphorePermit) {
    match into {
        Some(held) => held.merge(permit),
        none => *none = Some(permit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(buffered: usize) -> Arc<Admission> {
        Arc::new(Admission::new(&Limits {
            max_buffered_bytes: buffered,
            max_wait_ms: 20,
            ..Limits::default()
        }))
    }

    #[tokio::test]
    async fn bodies_being_read_never_take_the_room_of_whole_ones() {
        let admission = admission(8 << 20);
        let slow = admission.body(Some(4 << 20)).await.expect("half is free");
        assert!(admission.body(Some(1)).await.is_err(), "over half is being read");
        let whole = slow.whole();
        let other = admission.body(Some(4 << 20)).await.expect("the first one is whole");
        assert!(admission.body(Some(1)).await.is_err(), "all is taken");
        drop((whole, other));
        assert_eq!(admission.buffered(), 0);
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_cannot_hold_more_than_it_reserved() {
        let admission = admission(8 << 20);
        let mut room = admission.body(None).await.expect("a step is free");
        assert_eq!(admission.buffered(), STEP);
        room.grow(STEP + 1).await.expect("another step");
        assert_eq!(admission.buffered(), 2 * STEP);
        assert!(room.grow(5 << 20).await.is_err(), "over half");
    }
}
