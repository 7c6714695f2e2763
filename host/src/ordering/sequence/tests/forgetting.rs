//! What is forgotten when places or memory run out, and whose.

use super::{super::room::SPARED, *};

#[test]
fn what_is_beyond_the_window_is_forgotten_and_never_taken_anew() {
    let mut one = One::new();
    for sequence in 1..=4 {
        one.take(&number("a", 0, sequence));
    }
    let fifth = number("a", 0, 5);
    assert!(matches!(one.ask(&fifth), Ok(Answer::Wait)), "all four are under way");
    one.settle(&number("a", 0, 2), Kind::Acked);
    assert!(matches!(one.ask(&fifth), Ok(Answer::Wait)), "the first one is");
    one.settle(&number("a", 0, 1), Kind::Acked);
    one.take(&fifth);
    assert!(matches!(
        one.refusal(&number("a", 0, 1)),
        Refusal::Forgotten { expected: 6, .. }
    ));
    assert!(matches!(one.ask(&number("a", 0, 2)), Ok(Answer::Settled(_))));
}

#[test]
fn the_client_that_was_quiet_for_longest_is_forgotten_first_and_a_busy_one_never() {
    let mut one = One::new();
    for name in ["busy", "quiet", "used"] {
        one.take(&number(name, 0, 1));
    }
    for name in ["quiet", "used"] {
        one.settle(&number(name, 0, 1), Kind::Acked);
    }
    one.take(&number("new", 0, 1));
    assert!(matches!(one.ask(&number("used", 0, 1)), Ok(Answer::Settled(_))));
    assert!(matches!(one.refusal(&number("quiet", 0, 2)), Refusal::Resync { .. }));
    one.take(&number("newer", 0, 1));
    assert!(
        matches!(one.refusal(&number("newest", 0, 1)), Refusal::TooManyClients),
        "all three are busy"
    );
}

#[test]
fn a_client_that_is_idle_for_too_long_is_forgotten_unless_something_is_under_way() {
    let mut one = One::new();
    one.take(&number("idle", 0, 1));
    one.settle(&number("idle", 0, 1), Kind::Acked);
    one.take(&number("busy", 0, 1));
    one.now += Duration::from_secs(61);
    assert!(matches!(one.refusal(&number("idle", 0, 2)), Refusal::Resync { .. }));
    assert!(matches!(one.ask(&number("busy", 0, 1)), Ok(Answer::UnderWay(1))));
    assert_eq!(one.sequences.clients(), 1);
}

#[test]
fn a_request_whose_outcomes_could_never_be_remembered_is_refused() {
    let mut one = One::new();
    let refused = one
        .sequences
        .ask(&number("a", 0, 1), content(usize::MAX), Instant::now());
    assert!(matches!(refused, Err(Refusal::TooLarge { .. })));
    assert_eq!((one.sequences.clients(), one.sequences.bytes()), (0, 0));
}

#[test]
fn clients_that_all_send_do_not_keep_forgetting_one_another() {
    let now = Instant::now();
    let mut sequences: Sequences<u64> = Sequences::new(Bounds {
        clients: 100,
        window: 128,
        bytes: 512 << 10,
        idle: Duration::from_secs(60),
    });
    for sequence in 1..=200 {
        for client in 0..100 {
            let number = number(&client.to_string(), 0, sequence);
            let answer = sequences.ask(&number, content(1), now);
            assert!(matches!(answer, Ok(Answer::Send(None))), "{number:?}: {answer:?}");
            sequences.take(&number.name, sequence);
            sequences.end_turn(&number.name);
            sequences.settle(&number, settled(&[Kind::Acked]), now);
        }
    }
    for client in 0..100 {
        for sequence in 200 - SPARED as u64 + 1..=200 {
            let answer = sequences.ask(&number(&client.to_string(), 0, sequence), content(1), now);
            assert!(
                matches!(answer, Ok(Answer::Settled(_))),
                "{client} {sequence}: {answer:?}"
            );
        }
    }
}

const US: Owner = Owner::User(1000);
const THEM: Owner = Owner::User(1001);

#[test]
fn nobody_retires_anothers_client_by_taking_its_name() {
    let mut one = One::new();
    let ours = of(US, "shop", 0, 1);
    one.take(&ours);
    one.settle(&ours, Kind::Acked);
    let theirs = of(THEM, "shop", u64::MAX, 1);
    one.take(&theirs);
    one.settle(&theirs, Kind::Failed);
    assert!(matches!(one.ask(&ours), Ok(Answer::Settled(_))));
    one.take(&of(US, "shop", 0, 2));
    assert!(matches!(
        one.refusal(&of(THEM, "shop", u64::MAX, 2)),
        Refusal::Blocked { .. }
    ));
}

#[test]
fn who_invents_clients_makes_only_its_own_be_forgotten() {
    let now = Instant::now();
    let mut sequences: Sequences<u64> = Sequences::new(Bounds {
        clients: 10,
        window: 4,
        bytes: 1 << 20,
        idle: Duration::from_secs(60),
    });
    let mut done = |number: &Number| {
        let answer = sequences.ask(number, content(1), now);
        assert!(matches!(answer, Ok(Answer::Send(None))), "{number:?}: {answer:?}");
        sequences.take(&number.name, 0);
        sequences.end_turn(&number.name);
        sequences.settle(number, settled(&[Kind::Acked]), now);
    };
    // An owner that is alone may have all places. It gives them up for others, down to an even share.
    for client in 0..1_000 {
        done(&of(THEM, &client.to_string(), 0, 1));
    }
    for client in 0..5 {
        done(&of(US, &client.to_string(), 0, 1));
    }
    for client in 0..1_000 {
        done(&of(THEM, &client.to_string(), 1, 1));
    }
    for client in 0..5 {
        done(&of(US, &client.to_string(), 0, 2));
    }
    done(&of(US, "sixth", 0, 1));
    let (oldest, newest) = (of(US, "0", 0, 3), of(THEM, "999", 1, 1));
    let forgotten = sequences.ask(&oldest, content(1), now);
    assert!(matches!(forgotten, Err(Refusal::Resync { .. })), "{forgotten:?}");
    let kept = sequences.ask(&newest, content(1), now);
    assert!(matches!(kept, Ok(Answer::Settled(_))), "{kept:?}");
}

#[test]
fn who_fills_the_memory_makes_only_its_own_be_forgotten() {
    let now = Instant::now();
    let mut sequences: Sequences<u64> = Sequences::new(Bounds {
        clients: 1_000,
        window: 128,
        bytes: 256 << 10,
        idle: Duration::from_secs(60),
    });
    let mut done = |number: &Number| {
        let answer = sequences.ask(number, content(20), now);
        assert!(matches!(answer, Ok(Answer::Send(None))), "{number:?}: {answer:?}");
        sequences.take(&number.name, 0);
        sequences.end_turn(&number.name);
        sequences.settle(number, settled(&[Kind::Acked; 20]), now);
    };
    for client in 0..900 {
        done(&of(THEM, &client.to_string(), 0, 1));
    }
    for sequence in 1..=20 {
        done(&of(US, "shop", 0, sequence));
    }
    for client in 0..900 {
        done(&of(THEM, &client.to_string(), 1, 1));
    }
    for sequence in 1..=20 {
        let answer = sequences.ask(&of(US, "shop", 0, sequence), content(20), now);
        assert!(matches!(answer, Ok(Answer::Settled(_))), "{sequence}: {answer:?}");
    }
}

#[test]
fn who_has_all_its_places_busy_is_told_so_and_others_are_not() {
    let mut one = One::new();
    // Three places, two owners: each has one, and the owner that comes first has the third.
    one.take(&of(US, "a", 0, 1));
    one.take(&of(THEM, "a", 0, 1));
    one.take(&of(THEM, "b", 0, 1));
    assert!(matches!(one.refusal(&of(THEM, "c", 0, 1)), Refusal::TooManyClients));
    one.settle(&of(US, "a", 0, 1), Kind::Acked);
    assert!(
        matches!(one.refusal(&of(THEM, "c", 0, 1)), Refusal::TooManyClients),
        "what is idle is not theirs"
    );
    one.settle(&of(THEM, "a", 0, 1), Kind::Acked);
    one.take(&of(THEM, "c", 0, 1));
    one.take(&of(US, "a", 0, 2));
}
