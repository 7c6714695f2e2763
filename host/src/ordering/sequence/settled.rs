//! The outcomes of a numbered request, as they are remembered for a repeat.

use std::borrow::Cow;

use crate::base::outcome::{Kind, Outcome, RecordError};

/// What a remembered request takes besides its records, bytes: the entry and the head of its allocation.
const REQUEST_BYTES: usize = 256;
/// Room for the messages of a request, bytes: enough for every message of a small request.
const MESSAGES_BYTES: usize = 1 << 10;
/// More room for messages, for each record. Most messages are longer, but in few requests every record has one.
const MESSAGE_BYTES_A_RECORD: usize = 128;
/// Replaces a message for which there is no room left.
const NOT_KEPT: &str = "the request has too many messages to keep them all; the code says what happened";

/// The remembered outcome of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The outcome of the last time that the record was handed over or refused.
    pub outcome: Outcome,
    /// Whether a repeat handed the record over: then it may stand behind records that were sent after it.
    pub late: bool,
}

/// The outcomes of a request. Immutable: a repeat that changes one makes a new value.
#[derive(Debug, PartialEq, Eq)]
pub struct Settled {
    /// The producer generation of the last hand-over.
    pub generation: u32,
    /// The outcome of each record, in the order of the request.
    records: Box<[Stored]>,
    bytes: usize,
    is_acked: bool,
    is_blocking: bool,
}

/// The most that a request of so many records can take once it is settled, bytes. A request that is under way counts as
/// this much, so that an outcome never finds the memory full.
pub fn most_bytes(records: usize) -> usize {
    let each = size_of::<Stored>() + MESSAGE_BYTES_A_RECORD;
    records
        .saturating_mul(each)
        .saturating_add(REQUEST_BYTES + MESSAGES_BYTES)
}

impl Settled {
    /// Keeps these outcomes, and their messages as far as there is room.
    pub fn new(generation: u32, mut records: Vec<Stored>) -> Self {
        let room = MESSAGES_BYTES + records.len() * MESSAGE_BYTES_A_RECORD;
        let mut messages = 0;
        for stored in &mut records {
            let (Outcome::Rejected(error) | Outcome::Failed(error) | Outcome::Unknown(error)) = &mut stored.outcome
            else {
                continue;
            };
            if messages + owned(error) > room {
                error.message = Cow::Borrowed(NOT_KEPT);
            }
            messages += owned(error);
        }
        let all = |is: fn(Kind) -> bool| records.iter().all(|stored| is(stored.outcome.kind()));
        Self {
            generation,
            is_acked: all(|kind| kind == Kind::Acked),
            is_blocking: !all(|kind| matches!(kind, Kind::Acked | Kind::Rejected)),
            bytes: REQUEST_BYTES + records.len() * size_of::<Stored>() + messages,
            records: records.into_boxed_slice(),
        }
    }

    /// The outcome of each record, in the order of the request.
    pub fn records(&self) -> &[Stored] {
        &self.records
    }

    /// Whether every record is `acked`, so that a repeat has nothing to produce.
    pub fn is_acked(&self) -> bool {
        self.is_acked
    }

    /// Whether a record is `failed` or `unknown`, so that nothing later may be taken.
    pub fn is_blocking(&self) -> bool {
        self.is_blocking
    }

    /// What these outcomes take, bytes: at most [`most_bytes`].
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What a message takes on the heap, bytes.
fn owned(error: &RecordError) -> usize {
    match &error.message {
        Cow::Borrowed(_) => 0,
        // The capacity, because unused bytes are allocated, too.
        Cow::Owned(text) => text.capacity(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::outcome::Code;

    #[test]
    fn a_record_takes_what_the_readme_says() {
        assert_eq!(most_bytes(1) - most_bytes(0), 176);
        assert_eq!(size_of::<Stored>(), 48);
    }

    #[test]
    fn outcomes_never_take_more_than_was_counted_while_they_were_under_way() {
        for (count, length) in [(0, 0), (1, 10), (1, 100_000), (100, 50), (100, 1_000), (10_000, 200)] {
            let failed = || Stored {
                outcome: Outcome::Failed(RecordError::new(Code::NotQueued, "x".repeat(length))),
                late: false,
            };
            let settled = Settled::new(1, (0..count).map(|_| failed()).collect());
            assert!(
                settled.bytes() <= most_bytes(count),
                "{count} records, messages of {length}"
            );
            let codes = settled.records().iter().filter_map(|stored| stored.outcome.error());
            assert_eq!(
                codes.filter(|error| error.code == Code::NotQueued).count(),
                count,
                "the codes stay"
            );
        }
    }
}
