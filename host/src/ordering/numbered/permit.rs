//! A request that has its turn is handed over and remembered.

use std::{sync::Arc, time::Instant};

use tokio::sync::watch;

use super::Numbered;
use crate::{
    admission::Reservation,
    base::outcome::{Code, Kind, Outcome, RecordError},
    ordering::sequence::{Number, Settled, Stored},
    pipeline::{NotTaken, Parsed, Pipeline, RequestRoom, RoutedRequest, Submitted, Trace},
    produce::batch::{AckMode, Batch},
};

/// The right of one request to hand over. See the [module](self).
pub struct SendPermit {
    numbered: Arc<Numbered>,
    number: Number,
    /// How many records the request has.
    records: usize,
    /// For a repeat: the outcomes so far. None for a new request.
    before: Option<Arc<Settled>>,
    /// Tells the outcomes to repeats that wait for them.
    outcomes: watch::Sender<Option<Arc<Settled>>>,
    /// How far the request has come. Dropping the permit acts by it.
    stage: Stage,
}

/// How far a request with a permit has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It has the turn, and nothing was taken.
    Reserved,
    /// It was taken, and has the turn.
    HandingOver,
    /// It was handed over, and the turn has gone on.
    UnderWay,
    /// Its outcomes are remembered.
    Settled,
}

/// A request that was handed over. Its turn has gone on, and its outcomes are to be waited for. If this is dropped before,
/// they are remembered as `unknown`.
pub struct HandedOver {
    /// Remembers the outcomes.
    permit: SendPermit,
    submitted: Submitted,
}

impl HandedOver {
    /// Waits for the outcomes, remembers them, and tells them to the repeats that wait. Must not be cancelled half-way.
    pub async fn outcomes(self) -> Produced {
        let Self { mut permit, submitted } = self;
        submitted.batch.done().await;
        Produced {
            settled: permit.settle(&submitted.batch),
            trace: submitted.trace.filter(|_| permit.before.is_none()),
            reply: submitted.reply,
        }
    }
}

/// What a numbered request came to.
pub struct Produced {
    /// The outcomes of all its records.
    pub settled: Arc<Settled>,
    /// How each record was decided. None for a repeat, and unless a trace was wanted.
    pub trace: Option<Trace>,
    /// The room that is reserved for the reply.
    pub reply: Option<Reservation>,
}

impl SendPermit {
    /// For a request that has the turn and of which nothing was taken. A repeat has its outcomes `before`.
    pub(super) fn new(numbered: Arc<Numbered>, number: Number, records: usize, before: Option<Arc<Settled>>) -> Self {
        Self {
            numbered,
            number,
            records,
            before,
            outcomes: watch::Sender::new(None),
            stage: Stage::Reserved,
        }
    }

    /// Hands over the records that are not `acked` yet, gives the turn to the next request, and waits for the outcomes.
    /// Must not be cancelled half-way: run it as a task of its own.
    pub async fn produce(
        self,
        pipeline: &Pipeline,
        records: Vec<Parsed>,
        body: Option<Reservation>,
        trace: bool,
    ) -> Result<Produced, NotTaken> {
        let handed_over = self.submit(pipeline, records, body, trace).await?;
        Ok(handed_over.outcomes().await)
    }

    /// Hands over the records that are not `acked` yet, and gives the turn to the next request. Must not be cancelled
    /// half-way.
    pub async fn submit(
        self,
        pipeline: &Pipeline,
        records: Vec<Parsed>,
        body: Option<Reservation>,
        trace: bool,
    ) -> Result<HandedOver, NotTaken> {
        let mut routed = pipeline.decide(self.to_send(records), trace).await?;
        let room = pipeline.make_room(&mut routed, &mut { body }).await?;
        Ok(self.submit_routed(pipeline, routed, room).await)
    }

    /// Like [`SendPermit::submit`], for a caller that looks at the request before it is taken. `routed` must be made of what
    /// [`SendPermit::to_send`] returned. Must not be cancelled half-way.
    pub async fn submit_routed(
        mut self,
        pipeline: &Pipeline,
        routed: RoutedRequest<'_>,
        room: RequestRoom,
    ) -> HandedOver {
        self.take();
        // Whether the next request may be taken depends on the outcomes, so they are always waited for.
        let submitted = pipeline.hand_over(routed, room, AckMode::Waited).await;
        self.hand_over_ended();
        HandedOver {
            permit: self,
            submitted,
        }
    }

    /// Of all records of the request, those that are not `acked` yet.
    pub fn to_send(&self, records: Vec<Parsed>) -> Vec<Parsed> {
        match &self.before {
            None => records,
            Some(before) => {
                let is_open = |index: usize| before.records().get(index).is_none_or(is_open);
                let records = records.into_iter().enumerate();
                records
                    .filter(|(index, _)| is_open(*index))
                    .map(|(_, record)| record)
                    .collect()
            }
        }
    }

    /// From here on the request counts as taken, and its sequence is used.
    pub(super) fn take(&mut self) {
        self.stage = Stage::HandingOver;
        let coming = self.outcomes.subscribe();
        let name = &self.number.name;
        self.numbered.change(name, |sequences| sequences.take(name, coming));
    }

    pub(super) fn hand_over_ended(&mut self) {
        self.stage = Stage::UnderWay;
        self.end();
    }

    fn end(&self) {
        let name = &self.number.name;
        self.numbered.change(name, |sequences| sequences.end_turn(name));
    }

    /// Remembers the outcomes of the records that were handed over, and tells the repeats that wait for them.
    fn settle(&mut self, batch: &Batch) -> Arc<Settled> {
        let mut stored = match &self.before {
            Some(before) => before.records().to_vec(),
            None => vec![lost(false); self.records],
        };
        // The records of the batch are those of `to_send`, in this order.
        let open = stored.iter_mut().filter(|stored| is_open(stored));
        for (stored, index) in open.zip(0..batch.len()) {
            if let Some(outcome) = batch.outcome(index) {
                *stored = Stored {
                    outcome: outcome.clone(),
                    late: self.before.is_some() && outcome.kind() != Kind::Rejected,
                };
            }
        }
        // A repeat that handed nothing over keeps the generation that has its records.
        let generation = match &self.before {
            Some(before) if !stored.iter().any(|stored| stored.late) => before.generation,
            _ => batch.generation(),
        };
        self.remember(generation, stored)
    }

    fn remember(&mut self, generation: u32, stored: Vec<Stored>) -> Arc<Settled> {
        self.stage = Stage::Settled;
        let settled = Arc::new(Settled::new(generation, stored));
        let name = &self.number.name;
        self.numbered.change(name, |sequences| {
            sequences.settle(&self.number, Arc::clone(&settled), Instant::now());
        });
        self.outcomes.send_replace(Some(Arc::clone(&settled)));
        settled
    }
}

impl Drop for SendPermit {
    /// A request that was refused has taken nothing. The records of a request whose task was lost may be anywhere.
    fn drop(&mut self) {
        match self.stage {
            Stage::Settled => {}
            Stage::Reserved => self.end(),
            Stage::HandingOver | Stage::UnderWay => {
                // Once it was handed over, another request may have the turn.
                if self.stage == Stage::HandingOver {
                    self.end();
                }
                let stored = match &self.before {
                    Some(before) => before.records().iter().map(lost_unless_acked).collect(),
                    None => vec![lost(false); self.records],
                };
                // 0 is no generation's number: nobody knows which generation has the records.
                let generation = self.before.as_ref().map_or(0, |before| before.generation);
                self.remember(generation, stored);
            }
        }
    }
}

/// Whether a repeat has to send the record again.
fn is_open(stored: &Stored) -> bool {
    stored.outcome.kind() != Kind::Acked
}

fn lost_unless_acked(stored: &Stored) -> Stored {
    if is_open(stored) { lost(true) } else { stored.clone() }
}

fn lost(late: bool) -> Stored {
    let error = RecordError::new(
        Code::ProducerFatal,
        "the request met a bug in the sidecar; the record may or may not be written",
    );
    Stored {
        outcome: Outcome::Unknown(error),
        late,
    }
}
