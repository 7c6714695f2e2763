//! Random steps against a model of the turns.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

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
        settled: Settled,
    },
    Lead {
        queue: usize,
        leader: i32,
    },
    Pass(u64),
    /// The hand-over at this position among those under way puts its records into the client.
    HandOver(usize),
    /// The one at this position among those that have done so says it.
    Tell(usize),
    AddClient(usize),
    Retire,
    End,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..8_usize, 1..9_u32).prop_map(|(queue, records)| Step::Offer { queue, records }),
        8 => (0..8_usize, 1..12_usize, settled())
            .prop_map(|(turn, records, settled)| Step::Answer { turn, records, settled }),
        1 => (0..8_usize, 0..3_i32).prop_map(|(queue, leader)| Step::Lead { queue, leader }),
        4 => (1..3_000_u64).prop_map(Step::Pass),
        1 => Just(Step::Pass(400_000)),
        8 => (0..8_usize).prop_map(Step::HandOver),
        6 => (0..8_usize).prop_map(Step::Tell),
        3 => (1..RULES.most_clients).prop_map(Step::AddClient),
        1 => Just(Step::Retire),
        1 => Just(Step::End),
    ]
}

fn settled() -> impl Strategy<Value = Settled> {
    prop_oneof![
        6 => Just(Settled::Closed),
        1 => Just(Settled::Opened),
        1 => Just(Settled::Unchanged),
    ]
}

/// A turn as the model knows it.
struct Runs {
    id: QueueId,
    client: usize,
    left: usize,
    /// Those of them that the client has.
    there: usize,
}

/// A hand-over that is under way.
struct HandOver {
    id: QueueId,
    records: Vec<u32>,
    open: Option<Serial>,
}

#[derive(Default)]
struct Model {
    runs: Vec<Runs>,
    hand_overs: Vec<HandOver>,
    /// Hand-overs whose end is not told yet.
    untold: Vec<(QueueId, Serial)>,
    /// Clients that exist, beside the first, and whether they are retired.
    clients: HashMap<usize, bool>,
    bound: HashMap<QueueId, usize>,
    offered: HashMap<QueueId, Vec<u32>>,
    handed: HashMap<QueueId, Vec<u32>>,
}

impl Model {
    /// Takes note of turns that began, which must be allowed.
    fn begin(&mut self, begun: &mut Vec<Turn<u32>>) {
        for turn in begun.drain(..) {
            let records = records(&turn);
            assert!(!records.is_empty());
            assert!(
                self.hand_overs.iter().all(|other| other.id != turn.queue),
                "two hand-overs at once: nobody knows which comes first"
            );
            self.hand_overs.push(HandOver {
                id: turn.queue,
                records: records.clone(),
                open: turn.open,
            });
            if let Some(runs) = self.runs.iter_mut().find(|runs| runs.id == turn.queue) {
                // They join the turn.
                assert_eq!(runs.client, turn.client, "two turns at once");
                assert_ne!(runs.client, 0, "the first does not wait");
                runs.left += records.len();
                continue;
            }
            match self.bound.get(&turn.queue) {
                Some(client) => assert_eq!(*client, turn.client),
                None => assert!(
                    turn.client == 0 || self.clients.get(&turn.client) == Some(&false),
                    "no such client"
                ),
            }
            self.runs.push(Runs {
                id: turn.queue,
                client: turn.client,
                left: records.len(),
                there: 0,
            });
        }
    }

    fn hand_over(&mut self, at: usize) {
        let HandOver { id, records, open } = self.hand_overs.remove(at);
        if let Some(runs) = self.runs.iter_mut().find(|runs| runs.id == id) {
            runs.there += records.len();
        }
        self.handed.entry(id).or_default().extend(records);
        self.untold.extend(open.map(|serial| (id, serial)));
    }

    fn tell(&mut self, at: usize, bench: &mut Bench) {
        let (id, serial) = self.untold.remove(at);
        bench.turns.handed_over(id, serial);
    }

    fn answer(&mut self, at: usize, records: usize, settled: Settled, bench: &mut Bench) {
        let runs = &mut self.runs[at];
        let records = records.min(runs.there);
        if records == 0 {
            return;
        }
        runs.there -= records;
        runs.left -= records;
        let id = runs.id;
        match settled {
            Settled::Unchanged => {}
            Settled::Opened => drop(self.bound.insert(id, runs.client)),
            Settled::Closed => drop(self.bound.remove(&id)),
        }
        if runs.left == 0 {
            self.runs.remove(at);
        }
        bench.settle(id, records, settled);
    }

    /// Takes note of clients that ended, which must be those that are retired and have nothing.
    fn end(&mut self, ended: &[usize]) {
        let is_held = |client: &usize| {
            self.runs.iter().any(|runs| runs.client == *client) || self.bound.values().any(|bound| bound == client)
        };
        let retired = self.clients.iter().filter(|(_, is_retired)| **is_retired);
        let mut expected: Vec<usize> = retired
            .map(|(client, _)| *client)
            .filter(|client| !is_held(client))
            .collect();
        expected.sort_unstable();
        assert_eq!(ended, expected);
        self.clients.retain(|client, _| !ended.contains(client));
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
                Step::Answer { turn, records, settled } if !model.runs.is_empty() => {
                    let at = turn % model.runs.len();
                    model.answer(at, records, settled, &mut bench);
                }
                Step::HandOver(at) if !model.hand_overs.is_empty() => model.hand_over(at % model.hand_overs.len()),
                Step::Tell(at) if !model.untold.is_empty() => model.tell(at % model.untold.len(), &mut bench),
                Step::Lead { queue, leader } => {
                    bench.turns.lead(ids[queue], leader, bench.now, &mut bench.begun);
                }
                Step::Pass(micros) => {
                    bench.now += Duration::from_micros(micros);
                    bench.turns.look(bench.now, &mut bench.begun);
                }
                Step::AddClient(client) if !model.clients.contains_key(&client) => {
                    model.clients.insert(client, false);
                    bench.turns.add_client(client);
                }
                Step::Retire => {
                    let any = model.clients.values().any(|is_retired| !is_retired);
                    prop_assert_eq!(bench.turns.retire_clients(), any);
                    model.clients.values_mut().for_each(|is_retired| *is_retired = true);
                }
                Step::End => model.end(&bench.turns.end_clients()),
                _ => {}
            }
            prop_assert_eq!(bench.turns.clients(), 1 + model.clients.len());
            model.begin(&mut bench.begun);
        }
        // As long as answers come, everything goes; each round of answers moves on at least one partition.
        let mut rounds = 0;
        while !model.runs.is_empty() || !model.hand_overs.is_empty() {
            rounds += 1;
            prop_assert!(rounds <= 10_000, "no end");
            (0..model.hand_overs.len()).for_each(|_| model.hand_over(0));
            model.answer(0, usize::MAX, Settled::Closed, &mut bench);
            model.begin(&mut bench.begun);
        }
        prop_assert_eq!(bench.turns.waiting(), 0);
        prop_assert_eq!(&model.offered, &model.handed);
        prop_assert!(bench.turns.brokers.iter().all(|broker| broker.used.iter().all(|used| *used == 0)));
    }
}
