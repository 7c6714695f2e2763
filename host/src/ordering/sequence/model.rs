//! Everything that can happen to numbered requests, held against what a client may rely on. For tests and fuzzing: whatever
//! is not as it must be panics.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Answer, Bounds, Content, Name, Number, Owned, Owner, Refusal, SHARE, Sequences, Settled, Stored};
use crate::base::outcome::{Ack, Code, Kind, Outcome, RecordError};

/// Who sends: some with one name and other owners, some with one owner.
pub(crate) const CLIENTS: [(Owner, &str); 5] = [
    (Owner::User(1), "a"),
    (Owner::User(1), "b"),
    (Owner::User(2), "a"),
    (Owner::Tcp, "a"),
    (Owner::Tcp, "c"),
];

/// Of one of them.
pub(crate) fn name(client: usize) -> Name {
    let (owner, client) = CLIENTS[client % CLIENTS.len()];
    Name::new(owner, client)
}

/// Of so many records; all are the same.
pub(crate) fn content(records: usize) -> Content {
    Content { records, digest: 7 }
}

/// An outcome of each kind.
fn outcome(kind: Kind) -> Outcome {
    let error = || RecordError::new(Code::BrokerError, "as planned");
    match kind {
        Kind::Acked => Outcome::Acked(Ack {
            partition: 0,
            offset: None,
            timestamp: None,
        }),
        Kind::Rejected => Outcome::Rejected(error()),
        Kind::Failed => Outcome::Failed(error()),
        Kind::Unknown => Outcome::Unknown(error()),
    }
}

/// Outcomes of these kinds.
pub(crate) fn settled(kinds: &[Kind]) -> Arc<Settled> {
    let stored = kinds.iter().map(|&kind| Stored {
        outcome: outcome(kind),
        late: false,
    });
    Arc::new(Settled::new(1, stored.collect()))
}

/// Something that happens. Whoever it happens to is counted round those that are there.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A request comes: so far from what its client would send next, in this epoch.
    Send {
        client: usize,
        epoch: u64,
        ahead: i64,
        resume: bool,
        records: usize,
        digest: u64,
    },
    /// A request that has its turn, or is under way, goes one step on; `kinds` are its outcomes when it gets them.
    Step {
        request: usize,
        taken: bool,
        kinds: [Kind; 3],
    },
    /// One that waits asks again, or goes away.
    Again { waiter: usize, leaves: bool },
    /// Time passes.
    Pass(u64),
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

/// No record is sent twice or overtakes, and the bounds hold, whatever happens.
pub(crate) fn run(bounds: Bounds, events: &[Event]) {
    let mut world = World::new(bounds);
    for event in events {
        world.happens(event);
    }
    world.ends();
}

/// A call, whether or not it makes sense.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Which one, counted round.
    pub(crate) which: u8,
    pub(crate) number: Number,
    pub(crate) records: usize,
}

/// Nothing panics and the bounds hold, whatever is called.
pub(crate) fn call_all(bounds: Bounds, calls: &[Call]) {
    let mut sequences = Sequences::new(bounds);
    let mut now = Instant::now();
    for Call { which, number, records } in calls {
        now += Duration::from_millis(*records as u64);
        match which % 6 {
            0 => drop(sequences.ask(number, content(*records), now)),
            1 => sequences.take(&number.name, number.sequence),
            2 => sequences.end_turn(&number.name),
            3 => sequences.settle(number, settled(&vec![Kind::Unknown; *records]), now),
            4 => sequences.wait(number),
            _ => sequences.leave(number),
        }
        assert!(sequences.bytes() <= bounds.bytes);
    }
}

/// What there is, and what everybody knows of it.
struct World {
    sequences: Sequences<u64>,
    bounds: Bounds,
    now: Instant,
    jobs: Vec<(u64, Job)>,
    next_job: u64,
    waiting: Vec<(Number, Content)>,
    told: HashMap<Name, Told>,
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
                let name = name(*client);
                let told = self.told.entry(name.clone()).or_default();
                let base = if told.epoch == *epoch { told.expected } else { None };
                let sequence = base.unwrap_or(1).saturating_add_signed(*ahead).max(1);
                let number = Number {
                    name,
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
                    self.step(request % self.jobs.len(), *taken, kinds);
                }
            }
            Event::Again { waiter, leaves } => {
                if !self.waiting.is_empty() {
                    self.again(waiter % self.waiting.len(), *leaves);
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
        let before = self.shares(number.name.owner);
        let answer = self.sequences.ask(number, content, self.now);
        self.only_who_had_more_gave_way(number.name.owner, &before);
        self.forget();
        let told = self.told.entry(number.name.clone()).or_default();
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
            Ok(Answer::Send(before)) => {
                let others = self.jobs.iter().filter(|(_, job)| job.number.name == number.name);
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
                assert_eq!((&job.number.name, job.number.sequence), (&number.name, number.sequence));
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
                self.sequences.take(&number.name, id);
                let told = self.told.entry(number.name.clone()).or_default();
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
                self.sequences.end_turn(&number.name);
                self.jobs.remove(index);
            }
            Stage::HandingOver => {
                self.sequences.end_turn(&number.name);
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
                if let Some(told) = self.told.get_mut(&number.name)
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

    /// What each other owner has, and whether that is more than an even share.
    fn shares(&self, owner: Owner) -> Vec<(Owner, usize, bool)> {
        let (sequences, owners) = (&self.sequences, self.sequences.owners_with(owner));
        let others = sequences.owners.iter().filter(|(other, _)| **other != owner);
        let share = |(other, owned): (&Owner, &Owned)| {
            let has_more =
                owned.clients > (self.bounds.clients / owners).max(1) || owned.bytes > self.bounds.bytes / owners;
            (*other, owned.clients, has_more)
        };
        others.map(share).collect()
    }

    fn only_who_had_more_gave_way(&self, owner: Owner, before: &[(Owner, usize, bool)]) {
        for (other, clients, had_more) in before {
            let now = self.sequences.owners.get(other).map_or(0, |owned| owned.clients);
            assert!(now == *clients || *had_more, "{owner:?} made {other:?} be forgotten");
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
            assert_eq!(client.is_busy(), client.idle.is_none(), "{name:?}");
        }
        for (_, job) in &self.jobs {
            assert!(
                sequences.clients.contains_key(&job.number.name),
                "forgotten with something under way"
            );
        }
        let mut owners: HashMap<Owner, (usize, usize, usize)> = HashMap::new();
        for (name, client) in &sequences.clients {
            let (clients, bytes, idle) = owners.entry(name.owner).or_default();
            (*clients, *bytes) = (*clients + 1, *bytes + client.bytes);
            *idle += usize::from(client.idle.is_some());
        }
        let counted = sequences.owners.iter();
        let counted = counted.map(|(owner, owned)| (*owner, (owned.clients, owned.bytes, owned.idle.len())));
        assert_eq!(owners, counted.collect());
    }

    /// Everything goes well from now on: nobody may be left waiting, and whoever is not blocked may send what is expected.
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
        for (number, is_blocked) in self.next_numbers() {
            let answer = self.sequences.ask(&number, content(1), self.now);
            let fine = match &answer {
                Ok(Answer::Send(None)) => !is_blocked,
                Err(Refusal::Blocked { .. }) => is_blocked,
                // Time has passed.
                Err(Refusal::Resync { .. }) => true,
                _ => false,
            };
            assert!(fine, "{number:?}: {answer:?}");
        }
    }

    /// What each client would send next, and whether something blocks it.
    fn next_numbers(&self) -> Vec<(Number, bool)> {
        let next = self.told.iter().filter_map(|(name, told)| {
            let number = Number {
                name: name.clone(),
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
