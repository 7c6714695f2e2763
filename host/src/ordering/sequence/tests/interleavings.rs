//! Random interleavings of everything that can happen.

use proptest::{collection::vec, prelude::*};

use super::{
    super::model::{CLIENTS, Call, Event, call_all, name, run},
    *,
};

/// The longest span of a request.
const LONGEST: u64 = 5;

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![6 => Just(Kind::Acked), 1 => Just(Kind::Rejected), 1 => Just(Kind::Failed), 1 => Just(Kind::Unknown)]
}

fn event() -> impl Strategy<Value = Event> {
    let send = (
        any::<usize>(),
        prop_oneof![6 => Just(0_u64), 1 => 0..3_u64],
        prop_oneof![6 => Just(0_i64), 2 => -3..3_i64],
        prop_oneof![12 => Just(0_u64), 1 => 1..LONGEST],
        prop_oneof![12 => Just(None), 1 => (1..=LONGEST).prop_map(Some)],
        prop::bool::weighted(0.1),
        1..=3_usize,
        prop_oneof![20 => Just(0_u64), 1 => Just(1)],
    );
    prop_oneof![
        6 => send.prop_map(|(client, epoch, ahead, inside, span, resume, records, digest)| Event::Send {
            client, epoch, ahead, inside, span, resume, records, digest,
        }),
        8 => (any::<usize>(), prop::bool::weighted(0.9), [kind(), kind(), kind()])
            .prop_map(|(request, taken, kinds)| Event::Step { request, taken, kinds }),
        3 => (any::<usize>(), prop::bool::weighted(0.1)).prop_map(|(waiter, leaves)| Event::Again { waiter, leaves }),
        1 => (0..50_u64).prop_map(Event::Pass),
    ]
}

fn tight() -> impl Strategy<Value = Bounds> {
    (1..4_usize, 1..5_usize, 4..30_usize).prop_map(|(clients, window, requests)| Bounds {
        clients,
        window,
        bytes: requests * most_bytes(2),
        idle: Duration::from_millis(100),
    })
}

/// So large that only the window makes anything be forgotten.
fn wide() -> impl Strategy<Value = Bounds> {
    (1..5_usize).prop_map(|window| Bounds {
        clients: CLIENTS.len(),
        window,
        bytes: 1 << 30,
        idle: Duration::from_secs(1_000),
    })
}

fn call() -> impl Strategy<Value = Call> {
    let number = (
        0..CLIENTS.len(),
        number_at_the_ends(),
        number_at_the_ends(),
        prop_oneof![Just(1), number_at_the_ends()],
        any::<bool>(),
    );
    let number = number.prop_map(|(client, epoch, sequence, span, resume)| Number {
        name: name(client),
        epoch,
        sequence,
        span,
        resume,
    });
    (0..6_u8, number, 0..4_usize).prop_map(|(which, number, records)| Call { which, number, records })
}

fn number_at_the_ends() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..5_u64, 1 => u64::MAX - 2..=u64::MAX]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn no_record_is_sent_twice_or_overtakes_and_the_bounds_hold(
        bounds in prop_oneof![tight(), wide()],
        longest in prop_oneof![Just(1), Just(LONGEST)],
        events in vec(event(), 0..120),
    ) {
        run(bounds, longest, &events);
    }

    /// The calls come in any order, and the numbers are very small or very large.
    #[test]
    fn no_sequence_of_calls_panics(bounds in tight(), calls in vec(call(), 0..80)) {
        call_all(bounds, &calls);
    }
}
