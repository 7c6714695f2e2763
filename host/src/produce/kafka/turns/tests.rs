mod model;

use std::collections::HashSet;

use super::{
    row::{LINGER, SMALL},
    *,
};

const RULES: Rules = Rules {
    in_flight: 1,
    most_clients: 4,
    most_bytes: 100,
    linger: Duration::ZERO,
};
const NEAR_TIME: Duration = Duration::from_micros(100);
const FAR_TIME: Duration = Duration::from_millis(2);

fn part(records: impl IntoIterator<Item = u32>) -> Part<u32> {
    let records: Vec<u32> = records.into_iter().collect();
    let bytes = 10 * records.len();
    Part { records, bytes }
}

/// What came of a turn.
fn records(turn: &Turn<u32>) -> Vec<u32> {
    turn.parts.iter().flat_map(|part| part.records.clone()).collect()
}

/// Turns with a clock, and what was handed over.
struct Bench {
    turns: Turns<u32>,
    now: Instant,
    begun: Vec<Turn<u32>>,
}

impl Bench {
    fn new(rules: Rules) -> Self {
        Self {
            turns: Turns::new(rules),
            now: Instant::now(),
            begun: Vec::new(),
        }
    }

    fn offer(&mut self, id: QueueId, part: Part<u32>) {
        match self.turns.begin(id, part, self.now) {
            Ok(turn) => self.begun.push(turn),
            Err(part) => self.turns.wait(id, part, self.now, &mut self.begun),
        }
    }

    fn answer(&mut self, id: QueueId, records: usize) {
        self.settle(id, records, Settled::Closed);
    }

    fn settle(&mut self, id: QueueId, records: usize, settled: Settled) {
        self.turns.answered(id, records, settled, self.now, &mut self.begun);
    }

    /// Ends the hand-over of the turn that began at this position.
    fn hand_over(&mut self, at: usize) {
        let turn = &self.begun[at];
        if let Some(serial) = turn.open {
            self.turns.handed_over(turn.queue, serial);
        }
    }

    /// Makes broker 1 one whose requests take this long.
    fn at(&mut self, time: Duration) -> QueueId {
        let id = self.turns.add_queue(1);
        self.offer(id, part([0]));
        self.now += time;
        self.answer(id, 1);
        self.begun.clear();
        id
    }

    fn widen(&mut self) {
        (1..RULES.most_clients).for_each(|client| self.turns.add_client(client));
    }
}

#[test]
fn what_comes_during_a_turn_waits_for_its_end_and_goes_together() {
    let mut bench = Bench::new(RULES);
    let id = bench.turns.add_queue(1);
    bench.offer(id, part([1, 2]));
    bench.offer(id, part([3]));
    bench.offer(id, part([4, 5]));
    assert_eq!(bench.begun.len(), 1);
    assert_eq!(bench.turns.waiting(), 3);
    bench.answer(id, 1);
    assert_eq!(bench.begun.len(), 1, "record 2 has no outcome yet");
    bench.answer(id, 1);
    assert_eq!(records(&bench.begun[1]), [3, 4, 5]);
    assert_eq!(bench.turns.waiting(), 0);
}

#[test]
fn a_turn_is_no_larger_than_a_batch_but_for_one_part_alone() {
    let mut bench = Bench::new(RULES);
    let id = bench.turns.add_queue(1);
    bench.offer(id, part([0]));
    bench.offer(id, part(1..7));
    bench.offer(id, part(7..14));
    bench.offer(id, part(14..40));
    for expected in [(1..7).collect::<Vec<_>>(), (7..14).collect(), (14..40).collect()] {
        bench.begun.clear();
        bench.answer(id, 40);
        assert_eq!(records(&bench.begun[0]), expected);
    }
}

#[test]
fn beside_a_broker_one_client_has_all_turns_and_others_stand_in_line() {
    let mut bench = Bench::new(RULES);
    bench.at(NEAR_TIME);
    bench.widen();
    let ids: Vec<QueueId> = (0..5).map(|_| bench.turns.add_queue(1)).collect();
    ids.iter().for_each(|id| bench.offer(*id, part([1])));
    let of = |bench: &Bench| {
        bench
            .begun
            .iter()
            .map(|turn| (turn.queue, turn.client))
            .collect::<Vec<_>>()
    };
    assert_eq!(of(&bench), [(ids[0], 0), (ids[1], 0), (ids[2], 0)]);
    bench.answer(ids[1], 1);
    assert_eq!(of(&bench)[3..], [(ids[3], 0)], "the first in line");
}

#[test]
fn far_from_a_broker_each_client_has_one_turn() {
    let mut bench = Bench::new(RULES);
    bench.at(FAR_TIME);
    bench.widen();
    let ids: Vec<QueueId> = (0..6).map(|_| bench.turns.add_queue(1)).collect();
    ids.iter().for_each(|id| bench.offer(*id, part([1])));
    let clients: HashSet<usize> = bench.begun.iter().map(|turn| turn.client).collect();
    assert_eq!((bench.begun.len(), clients.len()), (4, 4));
}

#[test]
fn more_clients_are_wanted_only_where_a_far_broker_keeps_partitions_waiting() {
    for (time, queues, wanted) in [(FAR_TIME, 6, 1), (FAR_TIME, 2, 1), (FAR_TIME, 1, 0), (NEAR_TIME, 6, 0)] {
        let mut bench = Bench::new(RULES);
        bench.at(time);
        let ids: Vec<QueueId> = (0..queues).map(|_| bench.turns.add_queue(1)).collect();
        ids.iter().for_each(|id| bench.offer(*id, part([1])));
        for _ in 0..broker::SAMPLE {
            // Each partition always has something, and the turns end in the order in which they began.
            let turn = bench.begun.remove(0);
            bench.offer(turn.queue, part([1]));
            let is_far = bench.turns.brokers.iter().any(|broker| broker.is_far);
            assert_eq!(is_far, time == FAR_TIME);
            bench.now += time;
            bench.answer(turn.queue, 1);
        }
        let of = |bench: &mut Bench| bench.turns.wanted_clients().len();
        assert_eq!(of(&mut bench), wanted, "{time:?}, {queues} partitions");
        assert_eq!(of(&mut bench), 0, "asked at once again");
    }
}

#[test]
fn with_many_brokers_fewer_clients_are_made_since_each_has_a_thread_for_each_broker() {
    for (brokers, expected) in [(1, 8), (8, 8), (16, 4), (30, 2), (500, 2)] {
        let mut bench = Bench::new(Rules {
            most_clients: 8,
            ..RULES
        });
        let mut made = 1;
        loop {
            bench.turns.brokers.truncate(0);
            for id in 0..brokers {
                let mut broker = Broker::new(id, 8);
                broker.want_clients();
                bench.turns.brokers.push(broker);
            }
            let wanted = bench.turns.wanted_clients();
            if wanted.is_empty() {
                break;
            }
            made += wanted.len();
            wanted.iter().for_each(|(client, _)| bench.turns.add_client(*client));
        }
        assert_eq!(made, expected, "{brokers} brokers");
    }
}

#[test]
fn a_turn_of_many_records_goes_to_a_client_that_lingers_and_a_small_one_to_the_first() {
    let mut bench = Bench::new(RULES);
    bench.at(FAR_TIME);
    bench.widen();
    let ids: Vec<QueueId> = (0..7).map(|_| bench.turns.add_queue(1)).collect();
    ids[..4].iter().for_each(|id| bench.offer(*id, part(0..SMALL as u32)));
    ids[4..].iter().for_each(|id| bench.offer(*id, part([1])));
    let of = |bench: &Bench, from: usize| -> Vec<(usize, usize)> {
        let turn = |turn: &Turn<u32>| (turn.client, records(turn).len());
        bench.begun[from..].iter().map(turn).collect()
    };
    // The first would split the fourth large turn, so it takes a small one that stands behind it in line.
    assert_eq!(of(&bench, 0), [(1, SMALL), (2, SMALL), (3, SMALL), (0, 1)]);
    bench.answer(ids[0], SMALL);
    assert_eq!(of(&bench, 4), [(1, SMALL)]);
    // A small one takes what there is.
    bench.answer(ids[1], SMALL);
    assert_eq!(of(&bench, 5), [(2, 1)]);
    // Until the client sends, records join its turn.
    bench.hand_over(5);
    bench.offer(ids[5], part([2]));
    bench.hand_over(6);
    bench.now += LINGER;
    bench.offer(ids[5], part([3]));
    assert_eq!(bench.begun[6..].iter().map(records).collect::<Vec<_>>(), [[2]]);
}

#[test]
fn a_partition_whose_record_is_unknown_stays_with_its_client_until_that_acknowledges() {
    let mut bench = Bench::new(RULES);
    bench.at(FAR_TIME);
    bench.widen();
    let (other, id) = (bench.turns.add_queue(1), bench.turns.add_queue(1));
    bench.offer(other, part([1]));
    bench.offer(id, part([1]));
    let client = bench.begun[1].client;
    assert_ne!(client, 0);
    bench.settle(id, 1, Settled::Opened);
    bench.answer(other, 1);
    for settled in [Settled::Unchanged, Settled::Opened, Settled::Closed] {
        bench.begun.clear();
        bench.offer(id, part([1]));
        assert_eq!(bench.begun[0].client, client);
        bench.settle(id, 1, settled);
    }
    bench.begun.clear();
    bench.offer(id, part([1]));
    assert_eq!(bench.begun[0].client, 0);
}

#[test]
fn retired_clients_finish_what_they_have_and_end_and_new_ones_take_their_places() {
    let mut bench = Bench::new(RULES);
    bench.at(FAR_TIME);
    bench.widen();
    let ids: Vec<QueueId> = (0..4).map(|_| bench.turns.add_queue(1)).collect();
    ids.iter().for_each(|id| bench.offer(*id, part([1])));
    let client = bench.begun[2].client;
    assert!(bench.turns.retire_clients());
    assert!(!bench.turns.retire_clients(), "they are already");
    assert_eq!(bench.turns.end_clients(), [0; 0]);
    bench.settle(ids[2], 1, Settled::Opened);
    [0, 1, 3].iter().for_each(|id| bench.answer(ids[*id], 1));
    let others: Vec<usize> = (1..RULES.most_clients).filter(|other| *other != client).collect();
    assert_eq!(bench.turns.end_clients(), others);
    bench.begun.clear();
    ids.iter().for_each(|id| bench.offer(*id, part([1])));
    let clients: Vec<usize> = bench.begun.iter().map(|turn| turn.client).collect();
    assert_eq!(clients, [0, 0, client, 0]);
    ids.iter().for_each(|id| bench.answer(*id, 1));
    assert_eq!(bench.turns.end_clients(), [client]);
    assert_eq!(bench.turns.clients(), 1);
    bench.turns.add_client(client);
    assert_eq!(bench.turns.clients(), 2);
}

#[test]
fn clients_are_idle_when_no_broker_is_far_any_more() {
    let mut bench = Bench::new(RULES);
    bench.at(FAR_TIME);
    bench.widen();
    assert!(!bench.turns.has_idle_clients());
    // Long pauses say nothing about the way.
    bench.now += Duration::from_secs(100);
    bench.at(FAR_TIME);
    assert!(!bench.turns.has_idle_clients());
    bench.now += Duration::from_secs(100);
    bench.at(NEAR_TIME);
    bench.now += Duration::from_secs(100);
    bench.at(NEAR_TIME);
    assert!(bench.turns.has_idle_clients());
}

#[test]
fn a_frozen_broker_does_not_keep_partitions_that_have_moved_away() {
    let mut bench = Bench::new(RULES);
    bench.at(NEAR_TIME);
    let ids: Vec<QueueId> = (0..5).map(|_| bench.turns.add_queue(1)).collect();
    ids.iter().for_each(|id| bench.offer(*id, part([1])));
    // The metadata says so: it goes at once.
    bench.turns.lead(ids[4], 2, bench.now, &mut bench.begun);
    assert_eq!(bench.begun.last().map(|turn| turn.queue), Some(ids[4]));
    // Nothing says so: it goes when the turns before it are overdue.
    assert_eq!(bench.begun.len(), 4);
    bench.now += OVERDUE;
    bench.turns.look(bench.now, &mut bench.begun);
    assert_eq!(bench.begun.len(), 4);
    bench.now += Duration::from_millis(1);
    bench.turns.look(bench.now, &mut bench.begun);
    assert_eq!(bench.begun.last().map(|turn| turn.queue), Some(ids[3]));
    // Their late answers free nothing twice.
    ids.iter().for_each(|id| bench.answer(*id, 1));
    assert!(
        bench
            .turns
            .brokers
            .iter()
            .all(|broker| broker.used.iter().all(|used| *used == 0))
    );
}

#[test]
fn records_join_a_turn_for_which_the_client_library_still_waits() {
    let linger = Duration::from_millis(5);
    let mut bench = Bench::new(Rules { linger, ..RULES });
    let id = bench.turns.add_queue(1);
    bench.offer(id, part([1]));
    bench.hand_over(0);
    bench.now += linger / 2;
    bench.offer(id, part([2]));
    bench.hand_over(1);
    bench.now += linger;
    bench.offer(id, part([3]));
    assert_eq!(bench.begun.iter().map(records).collect::<Vec<_>>(), [vec![1], vec![2]]);
    bench.answer(id, 1);
    assert_eq!(bench.begun.len(), 2);
    bench.answer(id, 1);
    assert_eq!(records(&bench.begun[2]), [3]);
}

#[test]
fn records_do_not_join_a_turn_before_those_that_were_there_first_are_handed_over() {
    let linger = Duration::from_secs(1);
    let mut bench = Bench::new(Rules { linger, ..RULES });
    let id = bench.turns.add_queue(1);
    bench.offer(id, part([1]));
    // Who hands over record 1 may be slow.
    bench.offer(id, part([2]));
    assert_eq!(bench.begun.len(), 1);
    bench.answer(id, 1);
    assert_eq!(records(&bench.begun[1]), [2]);
    // What is said of an ended turn does not count for this one.
    bench.hand_over(0);
    bench.offer(id, part([3]));
    assert_eq!(bench.begun.len(), 2);
    bench.hand_over(1);
    bench.answer(id, 1);
    assert_eq!(records(&bench.begun[2]), [3]);
}

#[test]
fn what_is_given_up_is_given_up_once_and_the_queues_go_on() {
    let mut bench = Bench::new(RULES);
    let id = bench.turns.add_queue(1);
    bench.offer(id, part([1]));
    bench.offer(id, part([2, 3]));
    let given: Vec<u32> = bench
        .turns
        .give_up()
        .into_iter()
        .flat_map(|part| part.records)
        .collect();
    assert_eq!((given, bench.turns.waiting()), (vec![2, 3], 0));
    bench.answer(id, 1);
    assert_eq!(bench.begun.len(), 1);
    bench.offer(id, part([4]));
    assert_eq!(records(&bench.begun[1]), [4]);
}
