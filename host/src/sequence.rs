//! Numbered requests: which one of a client is taken, which waits for its turn, which is a repeat, and what is remembered.
//!
//! Plain data. It keeps no clock (the time is passed in), waits for nothing and sends nothing; [`crate::numbered`] does that
//! around it. Every function is total: a call that makes no sense changes nothing.
//!
//! A client has requests with the sequences 1, 2, 3, … in an epoch. What becomes of one, by [`Sequences::ask`]:
//!
//! | It is | and | Answer |
//! |---|---|---|
//! | the next one | nobody has the turn | [`Answer::Turn`] |
//! | the next one, or next behind those that wait | somebody has the turn, or there is no room yet | [`Answer::Wait`] |
//! | remembered, no outcomes yet | | [`Answer::UnderWay`] |
//! | remembered, all `acked` | | [`Answer::Settled`] |
//! | remembered, not all `acked` | nobody has the turn | [`Answer::Turn`] with the outcomes so far |
//! | remembered | with other records | [`Refusal::Mismatch`] |
//! | behind one with a `failed` or `unknown` record | that one is being sent again | [`Answer::Wait`] |
//! | | it is not | [`Refusal::Blocked`] |
//! | no longer remembered | | [`Refusal::Forgotten`] |
//! | further on | | [`Refusal::Gap`] |
//! | of an earlier epoch | | [`Refusal::StaleEpoch`] |
//! | of a later epoch | | as with a client that begins: 1, or any with `resume`, is the next one |
//! | of a client that nothing is known of | 1, or `resume` | the next one |
//! | | any other | [`Refusal::Resync`] |
//!
//! The turn of a client goes round, over all its epochs; who has it is the only one that hands over:
//!
//! ```text
//!          ask: Turn                take                       end_turn
//!   free ───────────▶ reserved ───────────────▶ handing over ───────────▶ free
//!    ▲                   │  the sequence is used
//!    └───────────────────┘
//!      end_turn: the sequence is not used
//! ```
//!
//! What was taken is `under way` from [`Sequences::take`] until [`Sequences::settle`], which may be long after the turn has
//! gone on. Then it is `settled`, until it is sent again (under way once more), or forgotten: by later ones of the same client
//! beyond the window, with the client when others need its place or it was idle for too long, or with its epoch.

mod client;
#[cfg(any(test, fuzzing))]
pub(crate) mod model;
mod refusal;
mod settled;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use self::client::{Client, Verdict};
pub use self::{
    refusal::Refusal,
    settled::{Settled, Stored, most_bytes},
};

/// A client may have this part of the memory: one with large requests must not make all others be forgotten.
const SHARE: usize = 4;

/// Where the memory is full, a client forgets its own requests but the last ones of these before it makes others be forgotten:
/// many clients that send all the time had better each remember a little less than keep forgetting one another.
const SPARED: usize = 8;

/// What may be remembered.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// `limits.max_clients`.
    pub clients: usize,
    /// `limits.client_window`: requests of one client.
    pub window: usize,
    /// `limits.client_memory_bytes`: of all clients together.
    pub bytes: usize,
    /// `limits.client_idle_ms`.
    pub idle: Duration,
}

/// The number of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// `Pointsman-Client`.
    pub client: Arc<str>,
    /// `Pointsman-Epoch`.
    pub epoch: u64,
    /// `Pointsman-Sequence`, from 1.
    pub sequence: u64,
    /// `Pointsman-Resume: 1`.
    pub resume: bool,
}

/// What a repeat must have in common with the request that it repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// How many records.
    pub records: usize,
    /// A hash over all of them.
    pub digest: u64,
}

/// What is to be done for a request. `H` leads to the outcomes of one that is under way.
#[derive(Debug)]
pub enum Answer<H> {
    /// Hand it over: [`Sequences::take`], then [`Sequences::end_turn`]. With outcomes: only what is not `acked` of them.
    Turn(Option<Arc<Settled>>),
    /// Ask again when something of the client has changed.
    Wait,
    /// Tell the outcomes of the one that is under way.
    UnderWay(H),
    /// Tell these outcomes.
    Settled(Arc<Settled>),
}

/// All clients. See the [module](self).
#[derive(Debug)]
pub struct Sequences<H> {
    bounds: Bounds,
    clients: HashMap<Arc<str>, Client<H>>,
    /// Those that may be forgotten, the least recently used first.
    idle: BTreeMap<u64, Arc<str>>,
    /// The next place in `idle`.
    place: u64,
    /// Of all clients.
    bytes: usize,
}

impl<H: Clone> Sequences<H> {
    /// Nothing known.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            clients: HashMap::new(),
            idle: BTreeMap::new(),
            place: 0,
            bytes: 0,
        }
    }

    /// How many clients are remembered.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// What the remembered and the coming outcomes are counted for, bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is to be done for this request now? With [`Answer::Turn`] it has the turn.
    pub fn ask(&mut self, number: &Number, content: Content, now: Instant) -> Result<Answer<H>, Refusal> {
        self.forget_idle(now);
        if !self.clients.contains_key(&number.client) {
            self.admit(number, now)?;
        }
        let answer = self.ask_known(number, content, now);
        self.arrange(&number.client);
        answer
    }

    fn ask_known(&mut self, number: &Number, content: Content, now: Instant) -> Result<Answer<H>, Refusal> {
        let Some(client) = self.clients.get_mut(&number.client) else {
            return Ok(Answer::Wait);
        };
        client.used = now;
        match client.look(number, content)? {
            Verdict::UnderWay(handle) => Ok(Answer::UnderWay(handle)),
            Verdict::Settled(settled) => Ok(Answer::Settled(settled)),
            Verdict::Wait => Ok(Answer::Wait),
            Verdict::Repeat(settled) => {
                client.claim(number, content, true, 0);
                Ok(Answer::Turn(Some(settled)))
            }
            Verdict::New => {
                let bytes = most_bytes(content.records);
                if !self.make_room(number, content, bytes)? {
                    return Ok(Answer::Wait);
                }
                if let Some(client) = self.clients.get_mut(&number.client) {
                    client.claim(number, content, false, bytes);
                    self.bytes += bytes;
                }
                Ok(Answer::Turn(None))
            }
        }
    }

    /// A place for a client of which nothing is known.
    fn admit(&mut self, number: &Number, now: Instant) -> Result<(), Refusal> {
        if number.sequence != 1 && !number.resume {
            return Err(Refusal::Resync {
                sequence: number.sequence,
            });
        }
        while self.clients.len() >= self.bounds.clients {
            if !self.forget_one(&number.client) {
                return Err(Refusal::TooManyClients);
            }
        }
        let client = Client::new(self.bounds.window, now);
        self.clients.insert(Arc::clone(&number.client), client);
        Ok(())
    }

    /// Room for a new request's outcomes. False: something of the same client has to end first.
    fn make_room(&mut self, number: &Number, content: Content, bytes: usize) -> Result<bool, Refusal> {
        let share = self.bounds.bytes / SHARE;
        if bytes > share {
            return Err(Refusal::TooLarge {
                records: content.records,
            });
        }
        loop {
            let in_all = self.bytes + bytes > self.bounds.bytes;
            let even = self.bounds.bytes / self.clients.len().max(SHARE);
            let Some(client) = self.clients.get_mut(&number.client) else {
                return Ok(false);
            };
            if !in_all && !client.is_full() && client.bytes + bytes <= share {
                return Ok(true);
            }
            let greedy = client.remembered() > SPARED && client.bytes + bytes > even;
            if (greedy || !in_all)
                && let Some(freed) = client.forget_oldest(number.epoch)
            {
                self.bytes -= freed;
                continue;
            }
            if in_all && self.forget_one(&number.client) {
                continue;
            }
            let Some(client) = self.clients.get_mut(&number.client) else {
                return Ok(false);
            };
            match client.forget_oldest(number.epoch) {
                Some(freed) => self.bytes -= freed,
                None if client.is_under_way() => return Ok(false),
                None => return Err(Refusal::NoMemory),
            }
        }
    }

    /// Forgets whoever was idle for too long.
    fn forget_idle(&mut self, now: Instant) {
        while let Some((&place, name)) = self.idle.first_key_value() {
            let used = self.clients.get(name).map(|client| client.used);
            if used.is_some_and(|used| now.saturating_duration_since(used) < self.bounds.idle) {
                return;
            }
            self.forget(place);
        }
    }

    /// Forgets the least recently used client but this one. False: all are busy.
    fn forget_one(&mut self, but: &str) -> bool {
        let first = self.idle.iter().find(|(_, name)| &***name != but);
        let Some(place) = first.map(|(place, _)| *place) else {
            return false;
        };
        self.forget(place);
        true
    }

    fn forget(&mut self, place: u64) {
        let client = self.idle.remove(&place).and_then(|name| self.clients.remove(&name));
        self.bytes -= client.map_or(0, |client| client.bytes);
    }

    /// After whatever happened to a client: whether it may be forgotten, and as which.
    fn arrange(&mut self, name: &Arc<str>) {
        let Some(client) = self.clients.get_mut(name) else {
            return;
        };
        if let Some(place) = client.idle.take() {
            self.idle.remove(&place);
        }
        if client.is_busy() {
            return;
        }
        if client.is_blank() {
            self.clients.remove(name);
            return;
        }
        client.idle = Some(self.place);
        self.idle.insert(self.place, Arc::clone(name));
        self.place += 1;
    }

    /// Changes a client that is known; what the change gives back is no longer counted.
    fn change(&mut self, name: &Arc<str>, change: impl FnOnce(&mut Client<H>) -> usize) {
        if let Some(client) = self.clients.get_mut(name) {
            self.bytes -= change(client);
        }
        self.arrange(name);
    }

    /// The request waits from now on, and holds its place for those behind it.
    pub fn wait(&mut self, number: &Number) {
        self.change(&number.client, |client| {
            client.wait(number);
            0
        });
    }

    /// It no longer does.
    pub fn leave(&mut self, number: &Number) {
        self.change(&number.client, |client| {
            client.leave(number);
            0
        });
    }

    /// Whoever has the turn will be handed over: its sequence is used, and repeats find it under way.
    pub fn take(&mut self, client: &Arc<str>, handle: H) {
        self.change(client, |client| client.take(handle));
    }

    /// Whoever has the turn has been handed over, or was not taken after all.
    pub fn end_turn(&mut self, client: &Arc<str>) {
        self.change(client, Client::end_turn);
    }

    /// A request that was taken has its outcomes.
    pub fn settle(&mut self, number: &Number, settled: Arc<Settled>, now: Instant) {
        self.change(&number.client, |client| {
            client.used = now;
            client.settle(number, settled)
        });
    }
}

#[cfg(test)]
mod tests;
