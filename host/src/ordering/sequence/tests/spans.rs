//! Requests that take several sequences each, as batches of Kafka's protocol do, and what a client may hear of.

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
    assert_eq!(one.sequences.expected(&number("a", 0, 1).name, 0), Some(15));
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
    assert_eq!(one.sequences.expected(&name, 0), Some(11));
    assert!(matches!(one.refusal(&third), Refusal::Gap { expected: 11, .. }));
    assert!(matches!(one.ask(&second), Ok(Answer::Wait)));
    one.sequences.wait(&second);
    assert_eq!(one.sequences.expected(&name, 0), Some(16));
    assert!(matches!(one.ask(&third), Ok(Answer::Wait)));
    one.sequences.wait(&third);
    // Two that wait with one sequence: whoever waits behind the longer one may wait, too.
    one.sequences.wait(&spanning(11, 1));
    assert_eq!(one.sequences.expected(&name, 0), Some(18));
    one.sequences.leave(&spanning(11, 1));
    one.sequences.take(&name, 1);
    one.sequences.end_turn(&name);
    for number in [&second, &third] {
        one.sequences.leave(number);
        one.take(number);
    }
    assert_eq!(one.sequences.expected(&name, 0), Some(18));
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

#[test]
fn what_comes_next_is_known_from_the_first_request_on_and_only_in_its_epoch() {
    let mut one = One::new();
    let first = of(Owner::Tcp, "p", 3, 1);
    let resumed = Number {
        sequence: 100,
        span: 7,
        resume: true,
        ..first.clone()
    };
    assert_eq!(one.sequences.expected(&first.name, 3), None);
    assert!(one.has_turn(&resumed));
    assert_eq!(one.sequences.expected(&first.name, 3), Some(107), "it has the turn");
    one.sequences.end_turn(&first.name);
    assert_eq!(one.sequences.expected(&first.name, 3), None, "nothing was taken");
    one.take(&resumed);
    for (epoch, expected) in [(2, None), (3, Some(107)), (4, None)] {
        assert_eq!(one.sequences.expected(&first.name, epoch), expected);
    }
    let other_owner = Name::new(Owner::Kafka, "p");
    assert_eq!(one.sequences.expected(&other_owner, 3), None);
}

#[test]
fn a_kafka_producer_that_nothing_is_known_of_goes_on_with_its_oldest_batch_even_if_that_is_refused_at_first() {
    let mut one = One::new();
    let [oldest, next] = [101, 102].map(|sequence| of(Owner::Kafka, "p", 3, sequence));
    assert!(one.has_turn(&oldest));
    one.sequences.end_turn(&oldest.name);
    assert!(
        matches!(one.refusal(&next), Refusal::Gap { expected: 101, .. }),
        "it would overtake"
    );
    one.take(&oldest);
    one.take(&next);
    // Nobody may believe that what came before was taken here.
    let before = of(Owner::Kafka, "p", 3, 100);
    assert!(matches!(one.refusal(&before), Refusal::Gap { expected: 103, .. }));
    one.take(&of(Owner::Kafka, "p", 4, 1));
    assert!(matches!(one.refusal(&next), Refusal::StaleEpoch { .. }));
}

#[test]
fn no_client_hears_of_a_request_before_those_before_it_are_written() {
    let mut one = One::new();
    let requests: Vec<Number> = (0..3).map(|request| spanning(1 + 10 * request, 10)).collect();
    requests.iter().for_each(|number| one.take(number));
    let may = |one: &One| {
        requests
            .iter()
            .map(|number| one.sequences.may_acknowledge(number))
            .collect::<Vec<_>>()
    };
    assert_eq!(may(&one), [true, false, false]);
    one.settle(&requests[1], Kind::Acked);
    assert_eq!(may(&one), [true, false, false], "the first one has no outcome");
    one.settle(&requests[0], Kind::Unknown);
    assert_eq!(may(&one), [true, false, false], "the first one may be lost");
    one.take(&requests[0]);
    assert_eq!(may(&one), [true, false, false], "the first one is being sent again");
    one.settle(&requests[0], Kind::Acked);
    assert_eq!(may(&one), [true, true, true]);
    one.settle(&requests[2], Kind::Rejected);
    assert!(
        one.sequences.may_acknowledge(&spanning(31, 1)),
        "a refused record is not lost"
    );
}

#[test]
fn an_epoch_that_is_over_keeps_nothing_from_being_acknowledged() {
    let mut one = One::new();
    one.take(&number("a", 0, 1));
    one.take(&number("a", 0, 2));
    one.settle(&number("a", 0, 1), Kind::Failed);
    assert!(!one.sequences.may_acknowledge(&number("a", 0, 3)));
    one.take(&number("a", 1, 1));
    assert!(one.sequences.may_acknowledge(&number("a", 0, 3)));
    assert!(one.sequences.may_acknowledge(&number("a", 1, 1)));
    assert!(!one.sequences.may_acknowledge(&number("a", 1, 2)));
    assert!(one.sequences.may_acknowledge(&number("nobody", 0, 9)));
}
