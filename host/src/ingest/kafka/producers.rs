//! Idempotent producers: their ids, and how their sequences become numbers.
//!
//! A batch has the id of its producer, an epoch, and the sequence of its first record. Sequences count the records that the
//! producer sends to one partition, from 0 to 2^31 - 1 and then from 0 again. Each partition of a producer is a client with
//! [numbered](crate::ordering::sequence) requests: the epoch is its epoch, and a batch is a request whose number spans as many
//! sequences as it has records.

use crate::{
    ingest::kafka::batch,
    ordering::{
        numbered::Numbered,
        sequence::{Name, Number, Owner},
    },
};

/// After so many sequences they begin again.
const CYCLE: u64 = 1 << 31;

/// An id that no other process gives to a producer. Kafka's are not negative.
pub(super) fn new_id() -> i64 {
    fastrand::i64(1..i64::MAX)
}

/// The number of a batch with so many records, for this partition.
pub(super) fn number(
    numbered: &Numbered,
    batch: batch::Numbered,
    records: usize,
    topic: &str,
    partition: i32,
) -> Number {
    let batch::Numbered {
        id,
        epoch,
        base_sequence,
    } = batch;
    let name = Name::new(Owner::Kafka, format!("{id}/{partition}/{topic}"));
    // The reader of batches lets neither be negative.
    let (epoch, base) = (epoch.unsigned_abs().into(), u64::from(base_sequence.unsigned_abs()));
    // Nothing is known of a producer that begins, or of one that was forgotten.
    let expected = numbered.expected(&name, epoch).unwrap_or(1);
    Number {
        name,
        epoch,
        // Numbers begin with 1.
        sequence: unwrapped(base, expected.saturating_sub(1)) + 1,
        span: records as u64,
        resume: false,
    }
}

/// The count that is nearest to `expected` among those that `sequence` may stand for.
fn unwrapped(sequence: u64, expected: u64) -> u64 {
    let cycle = expected / CYCLE * CYCLE;
    let here = cycle + sequence;
    match here.checked_sub(expected) {
        Some(ahead) if ahead > CYCLE / 2 => here.checked_sub(CYCLE).unwrap_or(here),
        None if expected - here > CYCLE / 2 => here + CYCLE,
        _ => here,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_that_begins_again_at_0_goes_on() {
        for (sequence, expected, unwrapped_is) in [
            (0, 0, 0),
            (10, 10, 10),
            (5, 10, 5),
            (CYCLE - 1, CYCLE - 1, CYCLE - 1),
            (0, CYCLE, CYCLE),
            (3, CYCLE - 2, CYCLE + 3),
            (CYCLE - 2, CYCLE + 3, CYCLE - 2),
            (7, 5 * CYCLE + 7, 5 * CYCLE + 7),
            (CYCLE - 1, 5 * CYCLE, 5 * CYCLE - 1),
            // What a client without a memory asks for is far ahead, and no sequence is below 0.
            (CYCLE - 1, 0, CYCLE - 1),
        ] {
            assert_eq!(unwrapped(sequence, expected), unwrapped_is, "{sequence} at {expected}");
        }
    }

    #[test]
    fn every_id_is_one_that_kafka_could_give() {
        assert!((0..10_000).all(|_| new_id() > 0));
    }
}
