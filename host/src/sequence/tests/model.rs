//! Random interleavings of everything that can happen, against what a client may rely on.

use std::collections::HashMap;

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;

const CLIENTS: [&str; 3] = ["a", "b", "c"];

/// Something that happens.
#[derive(Debug, Clone)]
enum Event {
    /// A request comes: so far from what its client would send next, in this epoch.
    Send {
        client: Index,
        epoch: u64,
        ahead: i64,
        resume: bool,
        records: usize,
        digest: u64,
    },
    /// A request that has its turn, or is under way, goes one step on; `kinds` are its outcomes when it gets them.
    Step {
        request: Index,
        taken: bool,
        kinds: [Kind; 3],
    },
    /// One that waits asks again, or goes away.
    Again { waiter: Index, leaves: bool },
    /// Time passes.
    Pass(u64),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![6 => Just(Kind::Acked), 1 => Just(Kind::Rejected), 1 => Just(Kind::Failed), 1 => Just(Kind::Unknown)]
}

fn event() -> impl Strategy<Value = Event> {
    let send = (
        any::<Index>(),
        prop_oneof![6 => Just(0_u64), 1 => 0..3_u64],
        prop_oneof![6 => Just(0_i64), 2 => -3..3_i64],
        prop::bool::weighted(0.1),
        1..=3_usize,
        prop_oneof![20 => Just(0_u64), 1 => Just(1)],
    );
    prop_oneof![
        6 => send.prop_map(|(client, epoch, ahead, resume, records, digest)| Event::Send {
            client, epoch, ahead, resume, records, digest,
        }),
        8 => (any::<Index>(), prop::bool::weighted(0.9), [kind(), kind(), kind()])
            .prop_map(|(request, taken, kinds)| Event::Step { request, taken, kinds }),
        3 => (any::<Index>(), prop::bool::weighted(0.1)).prop_map(|(waiter, leaves)| Event::Again { waiter, leaves }),
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

/// Large enough that nothing is ever forgotten but beyond the window.
fn wide() -> impl Strategy<Value = Bounds> {
    (1..5_usize).prop_map(|window| Bounds {
        clients: CLIENTS.len(),
        window,
        bytes: 1 << 30,
        idle: Duration::from_secs(1_000),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Reserved,
    HandingOver,
    UnderWay,
}

/// A request that has its turn or is under way.
#[derive(Debug, Clone)]
struct Job {
    number: Number,
    content: Content,
    stage: Stage,
    before: Option<Arc<Settled>>,
}

/// What a client was told and has seen, as long as it is remembered.
#[derive(Debug, Default)]
struct Told {
    epoch: u64,
    /// None until something was taken.
    expected: Option<u64>,
    /// Of the epoch: the kinds of each settled request; None while it is under way.
    requests: HashMap<u64, Option<Vec<Kind>>>,
}

struct World {
    sequences: Sequences<u64>,
    bounds: Bounds,
    now: Instant,
    jobs: Vec<(u64, Job)>,
    next_job: u64,
    waiting: Vec<(Number, Content)>,
    told: HashMap<Arc<str>, Told>,
}

impl World {
    fn new(bounds: Bounds) -> Self {
        Self {
            sequences: Sequences::new(bounds),
            bounds,
            now: Instant::now(),
            jobs: Vec::new(),
            next_job: 0,
            waiting: Vec::new(),
            told: HashMap::new(),
        }
    }

    fn happens(&mut self, event: &Event) {
        match event {
            Event::Send {
                client,
                epoch,
                ahead,
                resume,
                records,
                digest,
            } => {
                let client: Arc<str> = Arc::from(*client.get(&CLIENTS));
                let told = self.told.entry(Arc::clone(&client)).or_default();
                let base = if told.epoch == *epoch { told.expected } else { None };
                let sequence = base.unwrap_or(1).saturating_add_signed(*ahead).max(1);
                let number = Number {
                    client,
                    epoch: *epoch,
                    sequence,
                    resume: *resume,
                };
                let content = Content {
                    // The same for each sequence, so that most repeats are ones.
                    records: if *digest == 0 {
                        1 + (sequence % 3) as usize
                    } else {
                        *records
                    },
                    digest: *digest,
                };
                if self.ask(&number, content) {
                    self.sequences.wait(&number);
                    self.waiting.push((number, content));
                }
            }
            Event::Step { request, taken, kinds } => {
                if !self.jobs.is_empty() {
                    self.step(request.index(self.jobs.len()), *taken, kinds);
                }
            }
            Event::Again { waiter, leaves } => {
                if !self.waiting.is_empty() {
                    self.again(waiter.index(self.waiting.len()), *leaves);
                }
            }
            Event::Pass(ms) => self.now += Duration::from_millis(*ms),
        }
        self.check();
    }

    /// Whether it has to wait.
    fn ask(&mut self, number: &Number, content: Content) -> bool {
        // Asking does so, too; but then a client that comes back at once would look as if it had never been forgotten.
        self.sequences.forget_idle(self.now);
        self.forget();
        let answer = self.sequences.ask(number, content, self.now);
        self.forget();
        let told = self.told.entry(Arc::clone(&number.client)).or_default();
        let here = told.expected.is_some() && told.epoch == number.epoch;
        let known = told.requests.get(&number.sequence).filter(|_| here);
        let blocked = told
            .requests
            .iter()
            .filter(|(_, kinds)| kinds.as_deref().is_some_and(is_blocking))
            .map(|(sequence, _)| *sequence)
            .min()
            .filter(|_| here);
        match &answer {
            Ok(Answer::Turn(before)) => {
                let others = self.jobs.iter().filter(|(_, job)| job.number.client == number.client);
                assert!(
                    others.clone().all(|(_, job)| job.stage == Stage::UnderWay),
                    "two have the turn"
                );
                match before {
                    None => {
                        assert!(known.is_none(), "taken twice: {number:?}");
                        assert_eq!(blocked, None, "{number:?} overtakes");
                        let begins = number.sequence == 1 || number.resume;
                        assert!(if here {
                            told.expected == Some(number.sequence)
                        } else {
                            begins
                        });
                    }
                    Some(before) => {
                        let kinds = known.expect("known").as_ref().expect("settled");
                        assert_eq!(&kinds_of(before), kinds);
                        assert!(kinds.iter().any(|kind| *kind != Kind::Acked));
                        assert!(blocked.is_none_or(|blocked| blocked >= number.sequence));
                    }
                }
                let job = Job {
                    number: number.clone(),
                    content,
                    stage: Stage::Reserved,
                    before: before.clone(),
                };
                self.jobs.push((self.next_job, job));
                self.next_job += 1;
            }
            Ok(Answer::UnderWay(handle)) => {
                let (_, job) = self.jobs.iter().find(|(id, _)| id == handle).expect("a job");
                assert_eq!(
                    (&job.number.client, job.number.sequence),
                    (&number.client, number.sequence)
                );
                assert_ne!(job.stage, Stage::Reserved);
            }
            Ok(Answer::Settled(settled)) => {
                assert!(settled.is_acked());
                assert_eq!(known.expect("known").as_ref(), Some(&kinds_of(settled)));
            }
            Err(Refusal::Gap { expected, .. }) => assert!(number.sequence > *expected),
            Err(Refusal::Forgotten { .. }) => assert!(here && Some(number.sequence) < told.expected),
            Err(Refusal::Blocked { expected, .. }) => {
                assert_eq!(blocked, Some(*expected));
                assert!(*expected < number.sequence);
            }
            Err(Refusal::Resync { .. }) => assert!(told.expected.is_none()),
            Err(Refusal::StaleEpoch { .. }) => assert!(number.epoch < told.epoch),
            Err(Refusal::Mismatch { .. }) => assert!(known.is_some()),
            Ok(Answer::Wait) | Err(_) => {}
        }
        matches!(answer, Ok(Answer::Wait))
    }

    fn step(&mut self, index: usize, taken: bool, kinds: &[Kind; 3]) {
        let (id, job) = self.jobs[index].clone();
        let number = &job.number;
        match job.stage {
            Stage::Reserved if taken => {
                self.sequences.take(&number.client, id);
                let told = self.told.entry(Arc::clone(&number.client)).or_default();
                if told.epoch != number.epoch {
                    assert!(told.epoch < number.epoch, "an epoch came back");
                    *told = Told {
                        epoch: number.epoch,
                        ..Told::default()
                    };
                }
                if job.before.is_none() {
                    told.expected = Some(number.sequence + 1);
                }
                told.requests.insert(number.sequence, None);
                self.jobs[index].1.stage = Stage::HandingOver;
            }
            Stage::Reserved => {
                self.sequences.end_turn(&number.client);
                self.jobs.remove(index);
            }
            Stage::HandingOver => {
                self.sequences.end_turn(&number.client);
                self.jobs[index].1.stage = Stage::UnderWay;
            }
            Stage::UnderWay => {
                // What was acked before is not produced again, and stays.
                let before = job.before.as_deref().map(kinds_of);
                let outcome = |record: usize| match before.as_ref().map(|kinds| kinds[record]) {
                    Some(Kind::Acked) => Kind::Acked,
                    _ => kinds[record % kinds.len()],
                };
                let now: Vec<Kind> = (0..job.content.records).map(outcome).collect();
                self.sequences.settle(number, settled(&now), self.now);
                if let Some(told) = self.told.get_mut(&number.client)
                    && told.epoch == number.epoch
                {
                    told.requests.insert(number.sequence, Some(now));
                }
                self.jobs.remove(index);
            }
        }
        self.forget();
    }

    fn again(&mut self, index: usize, leaves: bool) {
        let (number, content) = self.waiting[index].clone();
        if leaves || !self.ask(&number, content) {
            self.waiting.remove(index);
            self.sequences.leave(&number);
            self.forget();
        }
    }

    /// A client that the host has forgotten begins anew.
    fn forget(&mut self) {
        let known = &self.sequences.clients;
        self.told.retain(|client, _| known.contains_key(client));
    }

    fn check(&self) {
        let sequences = &self.sequences;
        assert!(sequences.clients() <= self.bounds.clients);
        assert!(sequences.bytes() <= self.bounds.bytes);
        let bytes: usize = sequences.clients.values().map(|client| client.bytes).sum();
        assert_eq!(bytes, sequences.bytes());
        for (name, client) in &sequences.clients {
            assert!(client.bytes <= self.bounds.bytes / SHARE);
            assert_eq!(client.is_busy(), client.idle.is_none(), "{name}");
        }
        for (_, job) in &self.jobs {
            assert!(
                sequences.clients.contains_key(&job.number.client),
                "forgotten with something under way"
            );
        }
        let places: Vec<_> = sequences.clients.values().filter_map(|client| client.idle).collect();
        assert_eq!(places.len(), sequences.idle.len());
    }

    /// Everything goes well from now on: nobody may be left waiting.
    fn ends(&mut self) {
        loop {
            while !self.jobs.is_empty() {
                self.step(0, true, &[Kind::Acked; 3]);
                self.check();
            }
            let waiting = self.waiting.len();
            for index in (0..waiting).rev() {
                self.again(index, false);
            }
            if self.jobs.is_empty() && self.waiting.len() == waiting {
                break;
            }
        }
        assert!(self.waiting.is_empty(), "left waiting: {:?}", self.waiting);
    }
}

impl World {
    /// What each client would send next, and whether something blocks it.
    fn next_numbers(&self) -> Vec<(Number, bool)> {
        let next = self.told.iter().filter_map(|(client, told)| {
            let number = Number {
                client: Arc::clone(client),
                epoch: told.epoch,
                sequence: told.expected?,
                resume: false,
            };
            let mut all = told.requests.values();
            Some((number, all.any(|kinds| kinds.as_deref().is_some_and(is_blocking))))
        });
        next.collect()
    }
}

fn is_blocking(kinds: &[Kind]) -> bool {
    kinds.iter().any(|kind| matches!(kind, Kind::Failed | Kind::Unknown))
}

fn kinds_of(settled: &Settled) -> Vec<Kind> {
    settled.records().iter().map(|stored| stored.outcome.kind()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Also: none is left waiting, and whoever is not blocked may send what is expected.
    #[test]
    fn no_record_is_sent_twice_or_overtakes_and_the_bounds_hold(
        bounds in prop_oneof![tight(), wide()],
        events in vec(event(), 0..120),
    ) {
        let mut world = World::new(bounds);
        for event in &events {
            world.happens(event);
        }
        world.ends();
        for (number, is_blocked) in world.next_numbers() {
            let answer = world.sequences.ask(&number, content(1), world.now);
            let fine = match &answer {
                Ok(Answer::Turn(None)) => !is_blocked,
                Err(Refusal::Blocked { .. }) => is_blocked,
                // Time has passed.
                Err(Refusal::Resync { .. }) => true,
                _ => false,
            };
            prop_assert!(fine, "{:?}: {:?}", number, answer);
        }
    }

    /// Calls in an order that makes no sense, numbers at both ends.
    #[test]
    fn no_sequence_of_calls_panics(
        bounds in tight(),
        calls in vec((0..6_u8, 0..3_usize, number_at_the_ends(), number_at_the_ends(), 0..4_usize, any::<bool>()), 0..80),
    ) {
        let mut sequences = Sequences::new(bounds);
        let mut now = Instant::now();
        for (call, client, epoch, sequence, records, resume) in calls {
            let number = Number { client: Arc::from(CLIENTS[client]), epoch, sequence, resume };
            now += Duration::from_millis(records as u64);
            match call {
                0 => drop(sequences.ask(&number, content(records), now)),
                1 => sequences.take(&number.client, sequence),
                2 => sequences.end_turn(&number.client),
                3 => sequences.settle(&number, settled(&vec![Kind::Unknown; records]), now),
                4 => sequences.wait(&number),
                _ => sequences.leave(&number),
            }
            prop_assert!(sequences.bytes() <= bounds.bytes);
        }
    }
}

fn number_at_the_ends() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..5_u64, 1 => u64::MAX - 2..=u64::MAX]
}
