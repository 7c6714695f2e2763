//! A request waits for its turn.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Coming, Numbered, SendPermit};
use crate::ordering::sequence::{Answer, Content, Number, Refusal, Settled};

/// What the caller has to do for a request.
pub enum Begun {
    /// Hand it over.
    Send(SendPermit),
    /// Wait for the outcomes of the request that it repeats.
    UnderWay(UnderWay),
    /// Nothing: these are the outcomes of the request that it repeats.
    Settled(Arc<Settled>),
}

/// Why nothing of a numbered request was taken.
#[derive(Debug, thiserror::Error)]
pub enum NotBegun {
    /// The request's number does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The request's turn did not come in time.
    #[error(
        "the turn of sequence {sequence} of client \"{client}\" did not come within {waited} ms (limits.max_wait_ms), since \
         earlier ones are still on their way; send it again",
        waited = waited.as_millis()
    )]
    Busy {
        /// The client that sent the request.
        client: Arc<str>,
        /// The request's sequence, which is still expected.
        sequence: u64,
        /// How long the request waited.
        waited: Duration,
    },
}

impl Numbered {
    /// Waits for the request's turn, if it may have one. A caller that gives up the wait leaves nothing behind.
    pub async fn begin(self: &Arc<Self>, number: Number, content: Content) -> Result<Begun, NotBegun> {
        let deadline = tokio::time::Instant::now() + self.max_wait;
        let mut waiting = None;
        loop {
            // Listens before it asks, so that no change in between is missed.
            let mut rung = pin!(self.bell(&number.name).notified());
            rung.as_mut().enable();
            if let Some(begun) = self.ask(&number, content, &mut waiting)? {
                return Ok(begun);
            }
            if tokio::time::timeout_at(deadline, rung).await.is_err() {
                return Err(NotBegun::Busy {
                    client: number.name.client,
                    sequence: number.sequence,
                    waited: self.max_wait,
                });
            }
        }
    }

    /// None: the request has to wait, and is registered as waiting.
    fn ask(
        self: &Arc<Self>,
        number: &Number,
        content: Content,
        waiting: &mut Option<Waiting>,
    ) -> Result<Option<Begun>, Refusal> {
        let mut sequences = self.sequences();
        let answer = sequences.ask(number, content, Instant::now());
        if let (Ok(Answer::Wait), None) = (&answer, &waiting) {
            sequences.wait(number);
            *waiting = Some(Waiting {
                numbered: Arc::clone(self),
                number: number.clone(),
            });
        }
        self.metrics.sequence_clients.set(sequences.clients() as i64);
        drop(sequences);
        Ok(match answer? {
            Answer::Send(before) => {
                let permit = SendPermit::new(Arc::clone(self), number.clone(), content.records, before);
                Some(Begun::Send(permit))
            }
            Answer::Wait => None,
            Answer::UnderWay(coming) => Some(Begun::UnderWay(UnderWay(coming))),
            Answer::Settled(settled) => Some(Begun::Settled(settled)),
        })
    }
}

/// A request that is registered as waiting. Dropping this ends the wait.
struct Waiting {
    numbered: Arc<Numbered>,
    number: Number,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.numbered
            .change(&self.number.name, |sequences| sequences.leave(&self.number));
    }
}

/// A request that is under way already.
pub struct UnderWay(Coming);

impl UnderWay {
    /// The request's outcomes, however long they take; none when the process ends first.
    pub async fn outcomes(mut self) -> Option<Arc<Settled>> {
        self.0.wait_for(Option::is_some).await.ok()?.clone()
    }
}
