mod forgetting;
mod interleavings;
mod spans;

use std::time::Duration;

use super::{
    model::{content, settled},
    *,
};
use crate::base::outcome::Kind;

fn bounds() -> Bounds {
    Bounds {
        clients: 3,
        window: 4,
        bytes: 1 << 20,
        idle: Duration::from_secs(60),
    }
}

fn number(client: &str, epoch: u64, sequence: u64) -> Number {
    of(Owner::Tcp, client, epoch, sequence)
}

fn of(owner: Owner, client: &str, epoch: u64, sequence: u64) -> Number {
    Number {
        name: Name::new(owner, client),
        epoch,
        sequence,
        span: 1,
        resume: false,
    }
}

/// Sequences with a clock, for tests whose requests have one record.
struct One {
    sequences: Sequences<u64>,
    now: Instant,
}

impl One {
    fn new() -> Self {
        Self {
            sequences: Sequences::new(bounds()),
            now: Instant::now(),
        }
    }

    fn ask(&mut self, number: &Number) -> Result<Answer<u64>, Refusal> {
        self.sequences.ask(number, content(1), self.now)
    }

    fn has_turn(&mut self, number: &Number) -> bool {
        matches!(self.ask(number), Ok(Answer::Send(_)))
    }

    /// Takes the request and hands it over. It must have its turn.
    fn take(&mut self, number: &Number) {
        assert!(self.has_turn(number), "{number:?}");
        self.sequences.take(&number.name, number.sequence);
        self.sequences.end_turn(&number.name);
    }

    fn settle(&mut self, number: &Number, kind: Kind) {
        self.sequences.settle(number, settled(&[kind]), self.now);
    }

    fn refusal(&mut self, number: &Number) -> Refusal {
        self.ask(number).expect_err("refused")
    }
}

#[test]
fn a_request_that_was_not_taken_leaves_its_sequence_to_the_next_try() {
    let mut one = One::new();
    let first = number("a", 0, 1);
    assert!(one.has_turn(&first));
    one.sequences.end_turn(&first.name);
    assert_eq!(one.sequences.clients(), 0, "nothing was taken, so nothing is known");
    one.take(&first);
    let second = number("a", 0, 2);
    assert!(one.has_turn(&second));
    one.sequences.end_turn(&second.name);
    assert!(matches!(
        one.refusal(&number("a", 0, 3)),
        Refusal::Gap { expected: 2, .. }
    ));
    one.take(&second);
}

#[test]
fn the_next_one_waits_while_one_is_being_handed_over_and_not_for_its_outcome() {
    let mut one = One::new();
    let (first, second, third) = (number("a", 0, 1), number("a", 0, 2), number("a", 0, 3));
    assert!(one.has_turn(&first));
    assert!(matches!(one.ask(&second), Ok(Answer::Wait)));
    assert!(matches!(one.refusal(&third), Refusal::Gap { expected: 2, .. }));
    one.sequences.wait(&second);
    assert!(
        matches!(one.ask(&third), Ok(Answer::Wait)),
        "the second one waits before it"
    );
    one.sequences.take(&first.name, 1);
    assert!(matches!(one.ask(&second), Ok(Answer::Wait)));
    one.sequences.end_turn(&first.name);
    assert!(matches!(one.ask(&third), Ok(Answer::Wait)), "it is not its turn yet");
    one.sequences.leave(&second);
    one.take(&second);
    one.take(&third);
    assert!(matches!(one.ask(&first), Ok(Answer::UnderWay(1))));
}

#[test]
fn who_waits_is_told_at_once_when_the_one_before_it_is_not_taken() {
    let mut one = One::new();
    let (first, second) = (number("a", 0, 1), number("a", 0, 2));
    one.take(&first);
    assert!(one.has_turn(&second));
    let third = number("a", 0, 3);
    assert!(matches!(one.ask(&third), Ok(Answer::Wait)));
    one.sequences.wait(&third);
    one.sequences.end_turn(&second.name);
    assert!(matches!(one.refusal(&third), Refusal::Gap { expected: 2, .. }));
}

#[test]
fn nothing_overtakes_a_request_whose_records_were_lost() {
    for kind in [Kind::Failed, Kind::Unknown] {
        let mut one = One::new();
        let (first, second, third) = (number("a", 0, 1), number("a", 0, 2), number("a", 0, 3));
        one.take(&first);
        one.take(&second);
        one.settle(&second, Kind::Rejected);
        one.settle(&first, kind);
        assert!(matches!(one.refusal(&third), Refusal::Blocked { expected: 1, .. }));
        // The refused record of the second request would be written behind the first one, which is still missing.
        assert!(matches!(one.refusal(&second), Refusal::Blocked { expected: 1, .. }));
        one.take(&first);
        assert!(matches!(one.ask(&third), Ok(Answer::Wait)), "its outcome decides");
        one.settle(&first, kind);
        assert!(matches!(one.refusal(&third), Refusal::Blocked { expected: 1, .. }));
        one.take(&first);
        one.settle(&first, Kind::Acked);
        one.take(&third);
        one.take(&second);
    }
}

#[test]
fn a_refused_record_holds_up_nothing() {
    let mut one = One::new();
    one.take(&number("a", 0, 1));
    one.settle(&number("a", 0, 1), Kind::Rejected);
    one.take(&number("a", 0, 2));
}

#[test]
fn a_new_epoch_begins_at_one_and_comes_after_what_is_being_handed_over() {
    let mut one = One::new();
    let old = number("a", 0, 1);
    assert!(one.has_turn(&old));
    one.sequences.take(&old.name, 1);
    let new = number("a", 5, 1);
    assert!(matches!(one.ask(&new), Ok(Answer::Wait)));
    assert!(matches!(
        one.refusal(&number("a", 5, 3)),
        Refusal::Gap {
            expected: 1,
            epoch: 5,
            ..
        }
    ));
    one.sequences.end_turn(&old.name);
    one.take(&new);
    assert!(matches!(
        one.refusal(&old),
        Refusal::StaleEpoch {
            given: 0,
            epoch: 5,
            expected: 2
        }
    ));
    // A failed request blocks only its own epoch, and that epoch is over.
    one.settle(&old, Kind::Failed);
    one.take(&number("a", 5, 2));
}

#[test]
fn a_new_epoch_begins_even_where_everything_remembered_blocks() {
    let mut one = One::new();
    for sequence in 1..=4 {
        one.take(&number("a", 0, sequence));
    }
    for sequence in 1..=4 {
        one.settle(&number("a", 0, sequence), Kind::Unknown);
    }
    let new = number("a", 1, 1);
    assert!(one.has_turn(&new));
    one.sequences.end_turn(&new.name);
    assert!(
        matches!(one.refusal(&number("a", 0, 5)), Refusal::Blocked { .. }),
        "the new epoch did not begin after all"
    );
    one.take(&new);
}

#[test]
fn a_client_that_nothing_is_known_of_may_begin_and_resume_and_nothing_else() {
    let mut one = One::new();
    assert!(matches!(one.refusal(&number("a", 0, 7)), Refusal::Resync { .. }));
    assert_eq!(one.sequences.clients(), 0);
    let resumed = Number {
        resume: true,
        ..number("a", 0, 7)
    };
    assert!(one.has_turn(&resumed));
    assert!(matches!(one.ask(&number("a", 0, 8)), Ok(Answer::Wait)));
    one.sequences.take(&resumed.name, 7);
    one.sequences.end_turn(&resumed.name);
    assert!(
        matches!(one.ask(&resumed), Ok(Answer::UnderWay(7))),
        "it is a repeat now"
    );
    one.take(&number("a", 0, 8));
    let further = Number {
        resume: true,
        ..number("a", 0, 20)
    };
    assert!(matches!(one.refusal(&further), Refusal::Gap { expected: 9, .. }));
}

#[test]
fn a_repeat_with_other_records_is_never_given_the_outcomes_of_the_first() {
    let mut one = One::new();
    let first = number("a", 0, 1);
    one.take(&first);
    one.settle(&first, Kind::Acked);
    for other in [content(2), Content { records: 1, digest: 8 }] {
        let refused = one.sequences.ask(&first, other, one.now);
        assert!(matches!(refused, Err(Refusal::Mismatch { .. })), "{refused:?}");
    }
}
