//! Requests that take several sequences each, as batches of Kafka's protocol do.

use super::*;

/// A request of client "a" that takes the sequences from this one on.
fn spanning(sequence: u64, span: u64) -> Number {
    Number {
        span,
        ..number("a", 0, sequence)
    }
}

#[test]
fn the_next_request_begins_where_the_one_before_it_ends_and_nowhere_else() {
    let mut one = One::new();
    one.take(&spanning(1, 10));
    assert!(matches!(
        one.refusal(&spanning(12, 1)),
        Refusal::Gap { expected: 11, .. }
    ));
    one.take(&spanning(11, 3));
    one.take(&spanning(14, 1));
}

#[test]
fn a_sequence_in_the_middle_of_a_request_is_never_taken() {
    let mut one = One::new();
    one.take(&spanning(1, 10));
    one.take(&spanning(11, 10));
    for sequence in [2, 10, 12, 20] {
        for span in [1, 10] {
            assert!(matches!(
                one.refusal(&spanning(sequence, span)),
                Refusal::Mismatch { expected: 21, .. }
            ));
        }
    }
}

#[test]
fn a_sequence_in_the_middle_of_a_forgotten_request_is_never_taken() {
    let mut one = One::new();
    for request in 0..4 {
        let number = spanning(1 + 10 * request, 10);
        one.take(&number);
        one.settle(&number, Kind::Acked);
    }
    one.take(&spanning(41, 10));
    for sequence in [1, 2, 10] {
        assert!(matches!(
            one.refusal(&spanning(sequence, 10)),
            Refusal::Forgotten { expected: 51, .. }
        ));
    }
    assert!(
        matches!(one.ask(&spanning(11, 10)), Ok(Answer::Settled(_))),
        "the window counts requests"
    );
    assert!(matches!(one.refusal(&spanning(15, 10)), Refusal::Mismatch { .. }));
}

#[test]
fn a_repeat_with_another_span_is_never_given_the_outcomes_of_the_first() {
    let mut one = One::new();
    one.take(&spanning(1, 10));
    for span in [1, 9, 11] {
        assert!(matches!(one.refusal(&spanning(1, span)), Refusal::Mismatch { .. }));
    }
    assert!(matches!(one.ask(&spanning(1, 10)), Ok(Answer::UnderWay(1))));
    one.settle(&spanning(1, 10), Kind::Acked);
    assert!(matches!(one.refusal(&spanning(1, 1)), Refusal::Mismatch { .. }));
    assert!(matches!(one.ask(&spanning(1, 10)), Ok(Answer::Settled(_))));
}

#[test]
fn requests_wait_behind_the_end_of_those_that_wait_before_them() {
    let mut one = One::new();
    let (first, second, third) = (spanning(1, 10), spanning(11, 5), spanning(16, 2));
    let name = first.name.clone();
    assert!(one.has_turn(&first));
    assert!(matches!(one.refusal(&third), Refusal::Gap { expected: 11, .. }));
    assert!(matches!(one.ask(&second), Ok(Answer::Wait)));
    one.sequences.wait(&second);
    assert!(matches!(one.ask(&third), Ok(Answer::Wait)));
    one.sequences.wait(&third);
    // Two that wait with one sequence: whoever waits behind the longer one may wait, too.
    one.sequences.wait(&spanning(11, 1));
    one.sequences.leave(&spanning(11, 1));
    one.sequences.take(&name, 1);
    one.sequences.end_turn(&name);
    for number in [&second, &third] {
        one.sequences.leave(number);
        one.take(number);
    }
}

#[test]
fn who_waits_in_the_middle_of_another_request_is_refused_once_that_is_taken() {
    let mut one = One::new();
    let (first, middle) = (spanning(1, 10), spanning(5, 1));
    assert!(one.has_turn(&first));
    assert!(matches!(one.ask(&middle), Ok(Answer::Wait)));
    one.sequences.wait(&middle);
    one.sequences.take(&first.name, 1);
    one.sequences.end_turn(&first.name);
    assert!(matches!(one.refusal(&middle), Refusal::Mismatch { expected: 11, .. }));
}
