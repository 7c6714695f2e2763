use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

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
        self.turns.answered(id, records, self.now, &mut self.begun);
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
        while self.turns.clients() < RULES.most_clients {
            self.turns.add_client();
        }
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
        for _ in 0..SAMPLE {
            // Each partition always has something, and the turns end in the order in which they began.
            let turn = bench.begun.remove(0);
            bench.offer(turn.queue, part([1]));
            let is_far = bench.turns.brokers.iter().any(|broker| broker.is_far);
            assert_eq!(is_far, time == FAR_TIME);
            bench.now += time;
            bench.answer(turn.queue, 1);
        }
        assert_eq!(bench.turns.wanted_clients(), wanted, "{time:?}, {queues} partitions");
        assert_eq!(bench.turns.wanted_clients(), 0, "asked at once again");
    }
}

#[test]
fn a_partition_whose_record_is_unknown_stays_with_its_client() {
    let mut bench = Bench::new(RULES);
    bench.at(FAR_TIME);
    bench.widen();
    let (other, id) = (bench.turns.add_queue(1), bench.turns.add_queue(1));
    bench.offer(other, part([1]));
    bench.offer(id, part([1]));
    assert_eq!(bench.begun[1].client, 1);
    bench.turns.bind(id);
    bench.answer(id, 1);
    bench.answer(other, 1);
    for _ in 0..3 {
        bench.begun.clear();
        bench.offer(id, part([1]));
        assert_eq!(bench.begun[0].client, 1);
        bench.answer(id, 1);
    }
}

#[test]
fn while_a_broker_is_lost_only_the_first_client_and_bound_partitions_go_on() {
    let mut bench = Bench::new(RULES);
    bench.at(FAR_TIME);
    bench.widen();
    let ids: Vec<QueueId> = (0..4).map(|_| bench.turns.add_queue(1)).collect();
    ids.iter().for_each(|id| bench.offer(*id, part([1])));
    assert_eq!(bench.begun[2].client, 2);
    bench.turns.bind(ids[2]);
    bench.turns.use_clients(1);
    ids.iter().for_each(|id| bench.answer(*id, 1));
    bench.begun.clear();
    ids.iter().for_each(|id| bench.offer(*id, part([1])));
    let clients: Vec<usize> = bench.begun.iter().map(|turn| turn.client).collect();
    assert_eq!(clients, [0, 0, 2, 0]);
    assert_eq!(bench.turns.wanted_clients(), 0);
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
    bench.now += linger / 2;
    bench.offer(id, part([2]));
    bench.now += linger;
    bench.offer(id, part([3]));
    assert_eq!(bench.begun.iter().map(records).collect::<Vec<_>>(), [vec![1], vec![2]]);
    bench.answer(id, 1);
    assert_eq!(bench.begun.len(), 2);
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

/// What may happen.
#[derive(Debug, Clone)]
enum Step {
    Offer {
        queue: usize,
        records: u32,
    },
    /// The turn at this position among those that run, and how many of its records.
    Answer {
        turn: usize,
        records: usize,
    },
    Bind {
        turn: usize,
    },
    Lead {
        queue: usize,
        leader: i32,
    },
    Pass(u64),
    MoreClients,
    Use(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..8_usize, 1..5_u32).prop_map(|(queue, records)| Step::Offer { queue, records }),
        8 => (0..8_usize, 1..6_usize).prop_map(|(turn, records)| Step::Answer { turn, records }),
        1 => (0..8_usize).prop_map(|turn| Step::Bind { turn }),
        1 => (0..8_usize, 0..3_i32).prop_map(|(queue, leader)| Step::Lead { queue, leader }),
        4 => (1..3_000_u64).prop_map(Step::Pass),
        1 => Just(Step::Pass(400_000)),
        1 => Just(Step::MoreClients),
        1 => (1..5_usize).prop_map(Step::Use),
    ]
}

/// A turn as the model knows it.
struct Runs {
    id: QueueId,
    client: usize,
    left: usize,
}

#[derive(Default)]
struct Model {
    runs: Vec<Runs>,
    bound: HashMap<QueueId, usize>,
    offered: HashMap<QueueId, Vec<u32>>,
    handed: HashMap<QueueId, Vec<u32>>,
}

impl Model {
    /// Takes note of turns that began, which must be allowed.
    fn begin(&mut self, begun: &mut Vec<Turn<u32>>, clients: usize) {
        for turn in begun.drain(..) {
            assert!(self.runs.iter().all(|runs| runs.id != turn.queue), "two turns at once");
            assert!(turn.client < clients, "no such client");
            assert_eq!(*self.bound.get(&turn.queue).unwrap_or(&turn.client), turn.client);
            let records = records(&turn);
            assert!(!records.is_empty());
            self.runs.push(Runs {
                id: turn.queue,
                client: turn.client,
                left: records.len(),
            });
            self.handed.entry(turn.queue).or_default().extend(records);
        }
    }

    fn answer(&mut self, at: usize, records: usize, bench: &mut Bench) {
        let runs = &mut self.runs[at];
        let records = records.min(runs.left);
        runs.left -= records;
        let id = runs.id;
        if runs.left == 0 {
            self.runs.remove(at);
        }
        bench.answer(id, records);
    }
}

proptest! {
    #[test]
    fn every_record_is_handed_over_once_in_order_and_no_partition_is_left_behind(
        steps in prop::collection::vec(step(), 1..200)
    ) {
        let mut bench = Bench::new(RULES);
        let ids: Vec<QueueId> = (0..8).map(|queue| bench.turns.add_queue(queue % 3)).collect();
        let mut model = Model::default();
        let mut number = 0;
        for step in steps {
            match step {
                Step::Offer { queue, records } => {
                    let records: Vec<u32> = (number..number + records).collect();
                    number += records.len() as u32;
                    model.offered.entry(ids[queue]).or_default().extend(&records);
                    bench.offer(ids[queue], part(records));
                }
                Step::Answer { turn, records } if !model.runs.is_empty() => {
                    let at = turn % model.runs.len();
                    model.answer(at, records, &mut bench);
                }
                Step::Bind { turn } if !model.runs.is_empty() => {
                    let runs = &model.runs[turn % model.runs.len()];
                    model.bound.entry(runs.id).or_insert(runs.client);
                    bench.turns.bind(runs.id);
                }
                Step::Lead { queue, leader } => {
                    bench.turns.lead(ids[queue], leader, bench.now, &mut bench.begun);
                }
                Step::Pass(micros) => {
                    bench.now += Duration::from_micros(micros);
                    bench.turns.look(bench.now, &mut bench.begun);
                }
                Step::MoreClients if bench.turns.clients() < RULES.most_clients => bench.turns.add_client(),
                Step::Use(clients) => bench.turns.use_clients(clients),
                _ => {}
            }
            let clients = bench.turns.clients();
            model.begin(&mut bench.begun, clients);
        }
        // As long as answers come, everything goes; each round of answers moves on at least one partition.
        let mut rounds = 0;
        while !model.runs.is_empty() {
            rounds += 1;
            prop_assert!(rounds <= 10_000, "no end");
            model.answer(0, usize::MAX, &mut bench);
            let clients = bench.turns.clients();
            model.begin(&mut bench.begun, clients);
        }
        prop_assert_eq!(bench.turns.waiting(), 0);
        prop_assert_eq!(&model.offered, &model.handed);
        prop_assert!(bench.turns.brokers.iter().all(|broker| broker.used.iter().all(|used| *used == 0)));
    }
}
