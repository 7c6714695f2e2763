//! The world of the model: the sequences, the requests on their way, and what each client was told.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    super::{Answer, Bounds, Content, Name, Number, Owned, Owner, Refusal, Sequences, Settled, room::SHARE},
    event::{Call, Event, content, name, settled},
    told::{Sent, Told, kinds_of},
};
use crate::base::outcome::Kind;

/// Checks that no record is sent twice or overtakes another, and that the bounds hold, whatever happens. Requests take
/// spans of at most `longest` sequences.
pub(crate) fn run(bounds: Bounds, longest: u64, events: &[Event]) {
    let mut world = World::new(bounds, longest);
    for event in events {
        world.happens(event);
    }
    world.ends();
}

/// Checks that nothing panics and the bounds hold, whatever is called.
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
        sequences.expected(&number.name, number.epoch);
        sequences.may_acknowledge(number);
        assert!(sequences.bytes() <= bounds.bytes);
    }
}

/// A large odd number, which makes of sequences that follow one another numbers that do not.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// How far a request has come.
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
    /// For a repeat: the outcomes so far.
    before: Option<Arc<Settled>>,
}

/// What an owner had before a request of another one was asked about.
struct OwnerBefore {
    owner: Owner,
    clients: usize,
    /// An even share: only an owner with more has to give way.
    has_more_than_its_share: bool,
}

/// What an owner has, counted anew from its clients.
#[derive(Debug, Default, PartialEq, Eq)]
struct OwnerCount {
    clients: usize,
    bytes: usize,
    idle: usize,
}

/// The sequences under test, and what is known of the requests and the clients.
struct World {
    sequences: Sequences<u64>,
    bounds: Bounds,
    /// The longest span of a request.
    longest: u64,
    now: Instant,
    /// The requests that have the turn or are under way, by their handle.
    jobs: Vec<(u64, Job)>,
    next_job: u64,
    waiting: Vec<(Number, Content)>,
    /// What each client was told.
    told: HashMap<Name, Told>,
}

impl World {
    fn new(bounds: Bounds, longest: u64) -> Self {
        Self {
            sequences: Sequences::new(bounds),
            bounds,
            longest,
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
                inside,
                span,
                resume,
                records,
                digest,
            } => {
                let name = name(*client);
                let longest = self.longest;
                // Always the same for a sequence, so that most repeats have the same span.
                let span_of = |sequence: u64| 1 + (sequence.wrapping_mul(MIX) >> 32) % longest;
                let told = self.told.entry(name.clone()).or_default();
                let sequence = told.sequence(*epoch, *ahead, span_of) + inside.min(&(longest - 1));
                let number = Number {
                    name,
                    epoch: *epoch,
                    sequence,
                    span: span.map_or_else(|| span_of(sequence), |span| span.clamp(1, longest)),
                    resume: *resume,
                };
                let content = Content {
                    // The same count for each try of a sequence, so that most repeats have the same content.
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

    /// Asks, and checks the answer. Whether the request has to wait.
    fn ask(&mut self, number: &Number, content: Content) -> bool {
        // `ask` does this, too; but then a client that comes back at once would look as if it had never been forgotten.
        self.sequences.forget_idle(self.now);
        self.forget();
        let before = self.other_owners(number.name.owner);
        let was_known = self.sequences.clients.contains_key(&number.name);
        let answer = self.sequences.ask(number, content, self.now);
        self.only_who_had_more_gave_way(number.name.owner, &before);
        self.forget();
        let told = self.told.entry(number.name.clone()).or_default();
        if number.name.owner == Owner::Kafka && !was_known && self.sequences.clients.contains_key(&number.name) {
            // It begins with this one, even if this one is refused.
            *told = Told {
                epoch: number.epoch,
                first: Some(number.sequence),
                expected: Some(number.sequence),
                ..Told::default()
            };
        }
        told.check(number, &answer);
        match &answer {
            Ok(Answer::Send(before)) => {
                let mut others = self.jobs.iter().filter(|(_, job)| job.number.name == number.name);
                assert!(others.all(|(_, job)| job.stage == Stage::UnderWay), "two have the turn");
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
                let taken = |number: &Number| (number.name.clone(), number.sequence, number.span);
                assert_eq!(taken(&job.number), taken(number));
                assert_ne!(job.stage, Stage::Reserved);
            }
            Ok(Answer::Wait | Answer::Settled(_)) | Err(_) => {}
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
                    told.first.get_or_insert(number.sequence);
                    told.expected = Some(number.next_sequence());
                }
                let sent = Sent {
                    span: number.span,
                    kinds: None,
                };
                told.requests.insert(number.sequence, sent);
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
                // A record that was acked before is not produced again, and stays acked.
                let before = job.before.as_deref().map(kinds_of);
                let outcome = |record: usize| match before.as_ref().map(|kinds| kinds[record]) {
                    Some(Kind::Acked) => Kind::Acked,
                    _ => kinds[record % kinds.len()],
                };
                let now: Vec<Kind> = (0..job.content.records).map(outcome).collect();
                self.sequences.settle(number, settled(&now), self.now);
                if let Some(told) = self.told.get_mut(&number.name)
                    && told.epoch == number.epoch
                    && let Some(sent) = told.requests.get_mut(&number.sequence)
                {
                    sent.kinds = Some(now);
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

    /// What each owner but this one has.
    fn other_owners(&self, owner: Owner) -> Vec<OwnerBefore> {
        let (sequences, owners) = (&self.sequences, self.sequences.owners_with(owner));
        let others = sequences.owners.iter().filter(|(other, _)| **other != owner);
        let before = |(other, owned): (&Owner, &Owned)| OwnerBefore {
            owner: *other,
            clients: owned.clients,
            has_more_than_its_share: owned.clients > (self.bounds.clients / owners).max(1)
                || owned.bytes > self.bounds.bytes / owners,
        };
        others.map(before).collect()
    }

    fn only_who_had_more_gave_way(&self, owner: Owner, before: &[OwnerBefore]) {
        for other in before {
            let now = self.sequences.owners.get(&other.owner).map_or(0, |owned| owned.clients);
            assert!(
                now == other.clients || other.has_more_than_its_share,
                "{owner:?} made {:?} be forgotten",
                other.owner
            );
        }
    }

    /// A client that the host has forgotten begins anew.
    fn forget(&mut self) {
        let known = &self.sequences.clients;
        self.told.retain(|client, _| known.contains_key(client));
    }

    fn check(&self) {
        for (name, told) in &self.told {
            let mut jobs = self.jobs.iter().filter(|(_, job)| job.number.name == *name);
            let turn = jobs.find(|(_, job)| job.stage != Stage::UnderWay);
            let waits = self.waiting.iter().any(|(number, _)| number.name == *name);
            told.check_standing(&self.sequences, name, turn.map(|(_, job)| &job.number), waits);
        }
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
        let mut owners: HashMap<Owner, OwnerCount> = HashMap::new();
        for (name, client) in &sequences.clients {
            let count = owners.entry(name.owner).or_default();
            count.clients += 1;
            count.bytes += client.bytes;
            count.idle += usize::from(client.idle.is_some());
        }
        let counted = sequences.owners.iter().map(|(owner, owned)| {
            let count = OwnerCount {
                clients: owned.clients,
                bytes: owned.bytes,
                idle: owned.idle.len(),
            };
            (*owner, count)
        });
        assert_eq!(owners, counted.collect());
    }

    /// Ends the run, with everything going well from now on: no request may be left waiting, and a client that is not
    /// blocked may send what is expected.
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
        self.sequences.forget_idle(self.now);
        for (number, is_blocked) in self.next_numbers() {
            let is_known = self.sequences.clients.contains_key(&number.name);
            let answer = self.sequences.ask(&number, content(1), self.now);
            let fine = match &answer {
                // One that was forgotten begins anew.
                Ok(Answer::Send(None)) => !is_blocked || !is_known,
                Err(Refusal::Blocked { .. }) => is_blocked,
                // Enough time has passed that the client was forgotten.
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
                span: 1,
                resume: false,
            };
            Some((number, told.first_blocking(name.owner).is_some()))
        });
        next.collect()
    }
}
