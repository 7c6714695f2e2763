//! Numbered requests on their way: each waits for its turn, is handed over, and is remembered with its outcomes.
//!
//! [`crate::ordering::sequence`] decides what may be done when; this module waits and sends. A [`SendPermit`] is the
//! right to hand over. However the permit ends (the request is taken, it is refused, its task is lost), the next
//! request gets its turn, and a request that was taken is remembered with one outcome for each record.

use std::{
    hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Notify, watch};

use crate::{
    admission::Reservation,
    base::{
        metrics::Metrics,
        outcome::{Code, Kind, Outcome, RecordError},
    },
    ordering::sequence::{Answer, Bounds, Content, Name, Number, Refusal, Sequences, Settled, Stored},
    pipeline::{Mode, NotTaken, Parsed, Pipeline, Trace},
    produce::batch::{AckMode, Batch},
};

/// How many bells there are. A waiting request listens to the bell of its client's hash. The bells are few enough to
/// need no upkeep, and enough that clients seldom wake each other.
const BELLS: usize = 64;

/// Gives the outcomes of a request that is under way, once they are known.
type Coming = watch::Receiver<Option<Arc<Settled>>>;

/// All clients with numbered requests. Built once, shared by all connections.
pub struct Numbered {
    /// Decides about each request. Locked for one look at a time.
    sequences: Mutex<Sequences<Coming>>,
    /// Wake the requests that wait, see [`BELLS`].
    bells: [Notify; BELLS],
    /// Keyed for this process only, so that nobody can make two bodies with the same digest.
    hashes: RandomState,
    /// `limits.max_wait_ms`.
    max_wait: Duration,
    metrics: Arc<Metrics>,
}

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
    /// With nothing remembered.
    pub fn new(bounds: Bounds, max_wait: Duration, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            sequences: Mutex::new(Sequences::new(bounds)),
            bells: std::array::from_fn(|_| Notify::new()),
            hashes: RandomState::new(),
            max_wait,
            metrics,
        })
    }

    /// What a repeat must have in common with this request: every record, but not how the body spells it.
    pub fn content(&self, records: &[Parsed]) -> Content {
        let mut hasher = self.hashes.build_hasher();
        for record in records {
            match record {
                Ok(record) => record.hash(&mut hasher),
                Err(error) => error.code.hash(&mut hasher),
            }
        }
        Content {
            records: records.len(),
            digest: hasher.finish(),
        }
    }

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
            Answer::Send(before) => Some(Begun::Send(SendPermit {
                numbered: Arc::clone(self),
                number: number.clone(),
                records: content.records,
                before,
                outcomes: watch::Sender::new(None),
                stage: Stage::Reserved,
            })),
            Answer::Wait => None,
            Answer::UnderWay(coming) => Some(Begun::UnderWay(UnderWay(coming))),
            Answer::Settled(settled) => Some(Begun::Settled(settled)),
        })
    }

    /// Changes what is known of a client, and wakes its waiting requests, which then ask again.
    fn change(&self, name: &Name, change: impl FnOnce(&mut Sequences<Coming>)) {
        change(&mut self.sequences());
        self.bell(name).notify_waiters();
    }

    fn bell(&self, name: &Name) -> &Notify {
        &self.bells[(self.hashes.hash_one(name) % BELLS as u64) as usize]
    }

    // A std mutex: it is held for one look at a table, never across an await.
    fn sequences(&self) -> MutexGuard<'_, Sequences<Coming>> {
        self.sequences.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// Hands over the records that are not `acked` yet, gives the turn to the next request, and waits for the outcomes.
    /// Must not be cancelled half-way: run it as a task of its own.
    pub async fn produce(
        mut self,
        pipeline: &Pipeline,
        records: Vec<Parsed>,
        body: Option<Reservation>,
        trace: bool,
    ) -> Result<Produced, NotTaken> {
        let (places, records) = self.to_send(records);
        let mode = Mode {
            ack: AckMode::Waited,
            trace,
        };
        let submitted = pipeline.submit_noting(records, body, mode, || self.take()).await?;
        self.hand_over_ended();
        submitted.batch.done().await;
        let settled = self.settle(&places, &submitted.batch);
        Ok(Produced {
            settled,
            trace: submitted.trace.filter(|_| self.before.is_none()),
            reply: submitted.reply,
        })
    }

    /// The records that are not `acked` yet, and the place of each in the request.
    fn to_send(&self, records: Vec<Parsed>) -> (Vec<usize>, Vec<Parsed>) {
        let acked = |index: usize| {
            let before = self.before.as_ref().and_then(|before| before.records().get(index));
            before.is_some_and(|stored| stored.outcome.kind() == Kind::Acked)
        };
        let records = records.into_iter().enumerate();
        records.filter(|(index, _)| !acked(*index)).unzip()
    }

    /// From here on the request counts as taken, and its sequence is used.
    fn take(&mut self) {
        self.stage = Stage::HandingOver;
        let coming = self.outcomes.subscribe();
        let name = &self.number.name;
        self.numbered.change(name, |sequences| sequences.take(name, coming));
    }

    fn hand_over_ended(&mut self) {
        self.stage = Stage::UnderWay;
        self.end();
    }

    fn end(&self) {
        let name = &self.number.name;
        self.numbered.change(name, |sequences| sequences.end_turn(name));
    }

    /// Remembers the outcomes of the records at these places, and tells the repeats that wait for them.
    fn settle(&mut self, places: &[usize], batch: &Batch) -> Arc<Settled> {
        let mut stored = match &self.before {
            Some(before) => before.records().to_vec(),
            None => vec![lost(false); self.records],
        };
        for (index, &place) in places.iter().enumerate() {
            if let (Some(stored), Some(outcome)) = (stored.get_mut(place), batch.outcome(index)) {
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
                self.end();
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

fn lost_unless_acked(stored: &Stored) -> Stored {
    match stored.outcome.kind() {
        Kind::Acked => stored.clone(),
        _ => lost(true),
    }
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

#[cfg(test)]
mod tests;
