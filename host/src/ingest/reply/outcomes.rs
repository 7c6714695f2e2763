//! The outcomes of a request, from which each protocol makes its reply.

use std::{borrow::Cow, sync::Arc};

use super::told::Told;
use crate::{
    admission::Reservation,
    base::outcome::{Code, Kind, Outcome, REPLY_BYTES_A_RECORD, RecordError},
    ordering::{numbered::Produced, sequence::Settled},
    pipeline::{Submitted, Trace, Traced},
    produce::batch::Batch,
};

/// What the reply says of a record whose outcome is unknown when the request's time is up.
static NOT_IN_TIME: Outcome = Outcome::Unknown(RecordError {
    code: Code::RequestTimeout,
    message: Cow::Borrowed(
        "the record has no outcome within the request's time (Pointsman-Timeout-Ms); it may still be written, now or later",
    ),
});

/// The outcomes of a request, in the order of its records.
pub(in crate::ingest) struct Outcomes {
    known: Known,
    trace: Option<Trace>,
    /// Room for the reply.
    held: Option<Reservation>,
}

enum Known {
    /// As far as they are known by now.
    Batch(Arc<Batch>),
    /// Of a numbered request, remembered or new.
    Settled(Arc<Settled>),
}

impl Outcomes {
    /// What was remembered of a numbered request. `held` is the room for the reply.
    pub(in crate::ingest) fn remembered(settled: Arc<Settled>, held: Option<Reservation>) -> Self {
        Self {
            known: Known::Settled(settled),
            trace: None,
            held,
        }
    }

    /// The producer generation.
    pub(in crate::ingest) fn generation(&self) -> u32 {
        match &self.known {
            Known::Batch(batch) => batch.generation(),
            Known::Settled(settled) => settled.generation,
        }
    }

    /// The number of records.
    pub(in crate::ingest) fn len(&self) -> usize {
        match &self.known {
            Known::Batch(batch) => batch.len(),
            Known::Settled(settled) => settled.records().len(),
        }
    }

    /// One for each record. An outcome that is not known by now is `unknown`.
    pub(in crate::ingest) fn all(&self) -> impl ExactSizeIterator<Item = Told<'_>> {
        (0..self.len()).map(|index| {
            let (outcome, late) = self.of(index).unwrap_or((&NOT_IN_TIME, false));
            Told {
                index,
                outcome,
                late,
                traced: self.trace.as_ref().map_or(Traced::default(), |trace| trace.of(index)),
            }
        })
    }

    /// The records that are `rejected` or `failed` so far.
    pub(in crate::ingest) fn refused(&self) -> Vec<Told<'_>> {
        let known = (0..self.len()).filter_map(|index| Some((index, self.of(index)?)));
        let refused = known.filter(|(_, (outcome, _))| matches!(outcome.kind(), Kind::Rejected | Kind::Failed));
        refused
            .map(|(index, (outcome, late))| Told {
                index,
                outcome,
                late,
                traced: Traced::default(),
            })
            .collect()
    }

    /// The room for the reply, for who writes it.
    pub(in crate::ingest) fn take_held(&mut self) -> Option<Reservation> {
        self.held.take()
    }

    fn of(&self, index: usize) -> Option<(&Outcome, bool)> {
        match &self.known {
            Known::Batch(batch) => Some((batch.outcome(index)?, false)),
            Known::Settled(settled) => settled
                .records()
                .get(index)
                .map(|stored| (&stored.outcome, stored.late)),
        }
    }
}

impl From<Submitted> for Outcomes {
    fn from(submitted: Submitted) -> Self {
        Self {
            known: Known::Batch(submitted.batch),
            trace: submitted.trace,
            held: submitted.reply,
        }
    }
}

impl From<Produced> for Outcomes {
    fn from(produced: Produced) -> Self {
        Self {
            known: Known::Settled(produced.settled),
            trace: produced.trace,
            held: produced.reply,
        }
    }
}

/// The most memory that a reply with these outcomes takes.
pub(in crate::ingest) fn most_bytes(settled: &Settled) -> usize {
    let told = settled.records().iter().map(|stored| {
        // Twice, since each character may need an escape.
        let message = stored.outcome.error().map_or(0, |error| 2 * error.message.len());
        REPLY_BYTES_A_RECORD + message
    });
    told.sum()
}
