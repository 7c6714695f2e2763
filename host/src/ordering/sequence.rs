//! Numbered requests: which one of a client is taken, which waits for its turn, which is a repeat, and what is remembered.
//!
//! Plain data. It keeps no clock (the time is passed in), waits for nothing and sends nothing; [`crate::ordering::numbered`] does that
//! around it. Every function is total: a call that makes no sense changes nothing.
//!
//! A client has requests with the sequences 1, 2, 3, … in an epoch. What becomes of one, by [`Sequences::ask`]:
//!
//! | It is | and | Answer |
//! |---|---|---|
//! | the next one | nobody has the turn | [`Answer::Send`] |
//! | the next one, or next behind those that wait | somebody has the turn, or there is no room yet | [`Answer::Wait`] |
//! | remembered, no outcomes yet | | [`Answer::UnderWay`] |
//! | remembered, all `acked` | | [`Answer::Settled`] |
//! | remembered, not all `acked` | nobody has the turn | [`Answer::Send`] with the outcomes so far |
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
//!          ask: Send                take                       end_turn
//!   free ───────────▶ reserved ───────────────▶ handing over ───────────▶ free
//!    ▲                   │  the sequence is used
//!    └───────────────────┘
//!      end_turn: the sequence is not used
//! ```
//!
//! What was taken is `under way` from [`Sequences::take`] until [`Sequences::settle`], which may be long after the turn has
//! gone on. Then it is `settled`, until it is sent again (under way once more), or forgotten: by later ones of the same client
//! beyond the window, with the client when others need its place or it was idle for too long, or with its epoch.
//!
//! A client's name belongs to its [`Owner`]: what one owner sends never touches another's client of the same name. An owner alone
//! may have all places and all memory; where there are more and no room is left, who has more than an even share gives way, and
//! everybody else only makes room among its own.

mod client;
#[cfg(any(test, fuzzing))]
pub(crate) mod model;
mod number;
mod refusal;
mod settled;

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::Arc,
    time::{Duration, Instant},
};

use self::client::{Client, Verdict};
pub use self::{
    number::{Content, Name, Number, Owner},
    refusal::Refusal,
    settled::{Settled, Stored, most_bytes},
};
use crate::config::Limits;

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

impl From<&Limits> for Bounds {
    fn from(limits: &Limits) -> Self {
        Self {
            clients: limits.max_clients,
            window: limits.client_window,
            bytes: limits.client_memory_bytes,
            idle: Duration::from_millis(limits.client_idle_ms),
        }
    }
}

/// What is to be done for a request. `H` leads to the outcomes of one that is under way.
#[derive(Debug)]
pub enum Answer<H> {
    /// Hand it over: [`Sequences::take`], then [`Sequences::end_turn`]. With outcomes: only what is not `acked` of them.
    Send(Option<Arc<Settled>>),
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
    clients: HashMap<Name, Client<H>>,
    /// Those who have clients.
    owners: HashMap<Owner, Owned>,
    /// The next place in an owner's `idle`.
    place: u64,
    /// Of all clients.
    bytes: usize,
}

/// What an owner has.
#[derive(Debug, Default)]
struct Owned {
    clients: usize,
    /// Of its clients.
    bytes: usize,
    /// Those that may be forgotten, the least recently used first.
    idle: BTreeMap<u64, Name>,
}

impl<H: Clone> Sequences<H> {
    /// Nothing known.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            clients: HashMap::new(),
            owners: HashMap::new(),
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

    /// What is to be done for this request now? With [`Answer::Send`] it has the turn.
    pub fn ask(&mut self, number: &Number, content: Content, now: Instant) -> Result<Answer<H>, Refusal> {
        self.forget_idle(now);
        if !self.clients.contains_key(&number.name) {
            self.admit(number, now)?;
        }
        let answer = self.ask_known(number, content, now);
        self.arrange(&number.name);
        answer
    }

    fn ask_known(&mut self, number: &Number, content: Content, now: Instant) -> Result<Answer<H>, Refusal> {
        let Some(client) = self.clients.get_mut(&number.name) else {
            return Ok(Answer::Wait);
        };
        client.used = now;
        match client.look(number, content)? {
            Verdict::UnderWay(handle) => Ok(Answer::UnderWay(handle)),
            Verdict::Settled(settled) => Ok(Answer::Settled(settled)),
            Verdict::Wait => Ok(Answer::Wait),
            Verdict::Repeat(settled) => {
                client.claim(number, content, true, 0);
                Ok(Answer::Send(Some(settled)))
            }
            Verdict::New => {
                let bytes = most_bytes(content.records);
                if !self.make_room(number, content, bytes)? {
                    return Ok(Answer::Wait);
                }
                if let Some(client) = self.clients.get_mut(&number.name) {
                    client.claim(number, content, false, bytes);
                    self.bytes += bytes;
                    self.owned(number.name.owner).bytes += bytes;
                }
                Ok(Answer::Send(None))
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
        let owner = number.name.owner;
        while self.clients.len() >= self.bounds.clients {
            let share = (self.bounds.clients / self.owners_with(owner)).max(1);
            let has_less = self.owners.get(&owner).map_or(0, |owned| owned.clients) < share;
            let gave_way = has_less && self.forget_of_another(owner, |owned| owned.clients, share);
            if !gave_way && !self.forget_own(&number.name) {
                return Err(Refusal::TooManyClients);
            }
        }
        let client = Client::new(self.bounds.window, now);
        self.clients.insert(number.name.clone(), client);
        self.owned(owner).clients += 1;
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
        let owner = number.name.owner;
        loop {
            let in_all = self.bytes + bytes > self.bounds.bytes;
            let owners_share = self.bounds.bytes / self.owners_with(owner);
            let owned = self.owned(owner);
            let even = owners_share / owned.clients.max(SHARE);
            let has_less = owned.bytes + bytes <= owners_share;
            if in_all && has_less && self.forget_of_another(owner, |owned| owned.bytes, owners_share) {
                continue;
            }
            let Some(client) = self.clients.get_mut(&number.name) else {
                return Ok(false);
            };
            if !in_all && !client.is_full() && client.bytes + bytes <= share {
                return Ok(true);
            }
            let greedy = client.remembered() > SPARED && client.bytes + bytes > even;
            if (greedy || !in_all)
                && let Some(freed) = client.forget_oldest(number.epoch)
            {
                self.give_back(owner, freed);
                continue;
            }
            if in_all && self.forget_own(&number.name) {
                continue;
            }
            let Some(client) = self.clients.get_mut(&number.name) else {
                return Ok(false);
            };
            match client.forget_oldest(number.epoch) {
                Some(freed) => self.give_back(owner, freed),
                None if client.is_under_way() => return Ok(false),
                None => return Err(Refusal::NoMemory),
            }
        }
    }

    /// Forgets whoever was idle for too long.
    fn forget_idle(&mut self, now: Instant) {
        while let Some(name) = self.overdue(now) {
            self.forget(&name);
        }
    }

    fn overdue(&self, now: Instant) -> Option<Name> {
        let mut quietest = self.owners.values().filter_map(|owned| owned.idle.values().next());
        let overdue = quietest.find(|name| {
            let used = self.clients.get(name).map(|client| client.used);
            used.is_none_or(|used| now.saturating_duration_since(used) >= self.bounds.idle)
        });
        overdue.cloned()
    }

    /// Forgets the owner's least recently used client but this one. False: all are busy.
    fn forget_own(&mut self, but: &Name) -> bool {
        let quietest = self.quietest(but.owner, Some(but));
        quietest.inspect(|name| self.forget(name)).is_some()
    }

    /// Forgets the least recently used client of whoever has the most, if that is more than its share. False: there is none, or all
    /// are busy.
    fn forget_of_another(&mut self, owner: Owner, has: impl Fn(&Owned) -> usize, share: usize) -> bool {
        let others = self.owners.iter().filter(|(other, _)| **other != owner);
        let greedy = others.filter(|(_, owned)| has(owned) > share && !owned.idle.is_empty());
        let greediest = greedy.max_by_key(|(_, owned)| has(owned)).map(|(other, _)| *other);
        let quietest = greediest.and_then(|other| self.quietest(other, None));
        quietest.inspect(|name| self.forget(name)).is_some()
    }

    /// The owner's least recently used client, but this one, that is not busy.
    fn quietest(&self, owner: Owner, but: Option<&Name>) -> Option<Name> {
        let mut idle = self.owners.get(&owner)?.idle.values();
        idle.find(|name| Some(*name) != but).cloned()
    }

    fn forget(&mut self, name: &Name) {
        if let Some(client) = self.clients.remove(name) {
            self.give_back(name.owner, client.bytes);
            self.disown(name.owner, client.idle);
        }
    }

    /// How many owners there are, this one among them.
    fn owners_with(&self, owner: Owner) -> usize {
        self.owners.len() + usize::from(!self.owners.contains_key(&owner))
    }

    fn owned(&mut self, owner: Owner) -> &mut Owned {
        self.owners.entry(owner).or_default()
    }

    fn give_back(&mut self, owner: Owner, bytes: usize) {
        self.bytes -= bytes;
        self.owned(owner).bytes -= bytes;
    }

    /// A client of the owner is gone.
    fn disown(&mut self, owner: Owner, place: Option<u64>) {
        if let Entry::Occupied(mut owned) = self.owners.entry(owner) {
            owned.get_mut().clients -= 1;
            if let Some(place) = place {
                owned.get_mut().idle.remove(&place);
            }
            if owned.get().clients == 0 {
                owned.remove();
            }
        }
    }

    /// After whatever happened to a client: whether it may be forgotten, and as which.
    fn arrange(&mut self, name: &Name) {
        let Some(client) = self.clients.get_mut(name) else {
            return;
        };
        let before = client.idle.take();
        let (is_busy, is_blank) = (client.is_busy(), client.is_blank());
        if !is_busy && !is_blank {
            client.idle = Some(self.place);
        }
        if !is_busy && is_blank {
            self.clients.remove(name);
            return self.disown(name.owner, before);
        }
        let place = self.place;
        let owned = self.owned(name.owner);
        if let Some(before) = before {
            owned.idle.remove(&before);
        }
        if !is_busy {
            owned.idle.insert(place, name.clone());
            self.place += 1;
        }
    }

    /// Changes a client that is known; what the change gives back is no longer counted.
    fn change(&mut self, name: &Name, change: impl FnOnce(&mut Client<H>) -> usize) {
        if let Some(freed) = self.clients.get_mut(name).map(change) {
            self.give_back(name.owner, freed);
        }
        self.arrange(name);
    }

    /// The request waits from now on, and holds its place for those behind it.
    pub fn wait(&mut self, number: &Number) {
        self.change(&number.name, |client| {
            client.wait(number);
            0
        });
    }

    /// It no longer does.
    pub fn leave(&mut self, number: &Number) {
        self.change(&number.name, |client| {
            client.leave(number);
            0
        });
    }

    /// Whoever has the turn will be handed over: its sequence is used, and repeats find it under way.
    pub fn take(&mut self, name: &Name, handle: H) {
        self.change(name, |client| client.take(handle));
    }

    /// Whoever has the turn has been handed over, or was not taken after all.
    pub fn end_turn(&mut self, name: &Name) {
        self.change(name, Client::end_turn);
    }

    /// A request that was taken has its outcomes.
    pub fn settle(&mut self, number: &Number, settled: Arc<Settled>, now: Instant) {
        self.change(&number.name, |client| {
            client.used = now;
            client.settle(number, settled)
        });
    }
}

#[cfg(test)]
mod tests;
