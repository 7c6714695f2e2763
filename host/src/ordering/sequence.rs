//! Decides about numbered requests: which one of a client is taken, which waits for its turn, which is a repeat, and
//! what is remembered.
//!
//! This is plain data. It keeps no clock (the time is passed in), waits for nothing and sends nothing;
//! [`crate::ordering::numbered`] does that. Every function is total: a call that makes no sense changes nothing.
//!
//! A client's first request of an epoch has the sequence 1. Each request takes as many sequences as its [`Number::span`]
//! says, and the next one has its sequence plus its span. Over HTTP each takes one sequence: 1, 2, 3, … In Kafka's
//! protocol a batch takes one for each record. [`Sequences::ask`] answers for each request:
//!
//! | It is | and | Answer |
//! |---|---|---|
//! | the next one | nobody has the turn | [`Answer::Send`] |
//! | the next one, or next behind those that wait | somebody has the turn, or there is no room yet | [`Answer::Wait`] |
//! | remembered, no outcomes yet | | [`Answer::UnderWay`] |
//! | remembered, all `acked` | | [`Answer::Settled`] |
//! | remembered, not all `acked` | nobody has the turn | [`Answer::Send`] with the outcomes so far |
//! | remembered | with other records, or with another span | [`Refusal::Mismatch`] |
//! | inside a remembered one, not at its beginning | | [`Refusal::Mismatch`] |
//! | behind one with a `failed` or `unknown` record | that one is being sent again | [`Answer::Wait`] |
//! | | it is not | [`Refusal::Blocked`] |
//! | no longer remembered, or inside such a one | | [`Refusal::Forgotten`] |
//! | further on, or before the first one of a client that did not begin with 1 | | [`Refusal::Gap`] |
//! | of an earlier epoch | | [`Refusal::StaleEpoch`] |
//! | of a later epoch | | as with a client that begins: 1, or any with `resume`, is the next one |
//! | of a client that nothing is known of | 1, or `resume` | the next one |
//! | | any other, of Kafka's protocol | the next one; no other one may begin, even if this one is refused |
//! | | any other | [`Refusal::Resync`] |
//!
//! Each client has one turn, over all its epochs. Only the request that has the turn hands over:
//!
//! ```text
//!          ask: Send                take                       end_turn
//!   free ───────────▶ reserved ───────────────▶ handing over ───────────▶ free
//!    ▲                   │  the sequence is used
//!    └───────────────────┘
//!      end_turn: the sequence is not used
//! ```
//!
//! A request that was taken is `under way` from [`Sequences::take`] until [`Sequences::settle`], which may come long
//! after the turn has gone to the next request. Then it is `settled`, until it is sent again (under way once more) or
//! forgotten. It is forgotten when later requests of its client push it out of the window, when its client is forgotten
//! (others need the place, or the client was idle for too long), or when its epoch ends.
//!
//! A client's name belongs to its [`Owner`]: what one owner sends never touches another owner's client of the same
//! name. A single owner may use all places and all memory. Where there are several owners and no room is left, an owner
//! with more than an even share gives way, and every other owner only makes room among its own clients.

mod bounds;
mod client;
#[cfg(any(test, fuzzing))]
pub(crate) mod model;
mod number;
mod refusal;
mod room;
mod settled;

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::Arc,
    time::Instant,
};

use self::client::{Client, Verdict};
pub use self::{
    bounds::Bounds,
    number::{Content, Name, Number, Owner},
    refusal::Refusal,
    settled::{Settled, Stored, most_bytes},
};

/// What the caller has to do for a request. `H` is a handle to the outcomes of a request that is under way.
#[derive(Debug)]
pub enum Answer<H> {
    /// Hand it over: call [`Sequences::take`], then [`Sequences::end_turn`]. With outcomes, hand over only the records
    /// that are not `acked` in them.
    Send(Option<Arc<Settled>>),
    /// Ask again when something about the client has changed.
    Wait,
    /// Tell the outcomes of the request that is under way, once they come.
    UnderWay(H),
    /// Tell these outcomes.
    Settled(Arc<Settled>),
}

/// All clients. See the [module](self).
#[derive(Debug)]
pub struct Sequences<H> {
    bounds: Bounds,
    /// Every client that is remembered.
    clients: HashMap<Name, Client<H>>,
    /// Every owner that has a client.
    owners: HashMap<Owner, Owned>,
    /// The next key for an owner's `idle`; keys only grow, so they give the order of use.
    place: u64,
    /// What all clients are counted for, bytes.
    bytes: usize,
}

/// What an owner has.
#[derive(Debug, Default)]
struct Owned {
    /// How many clients it has.
    clients: usize,
    /// What the owner's clients are counted for, bytes.
    bytes: usize,
    /// The owner's clients that may be forgotten, the least recently used first.
    idle: BTreeMap<u64, Name>,
}

impl<H: Clone> Sequences<H> {
    /// With no client known.
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

    /// What all remembered and all coming outcomes are counted for, bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The next new sequence of this client in this epoch. It comes after all that were taken, that have the turn and that
    /// wait for it. None if nothing is known of the epoch, or if the epoch is over.
    pub fn expected(&self, name: &Name, epoch: u64) -> Option<u64> {
        self.clients.get(name)?.expected(epoch)
    }

    /// Whether a client that hears of its requests in their order may hear that this one is written: every request before
    /// it in its epoch that is remembered has its outcomes, and none of them is `failed` or `unknown`. True for an epoch
    /// that is not the client's current one.
    pub fn may_acknowledge(&self, number: &Number) -> bool {
        let client = self.clients.get(&number.name);
        client.is_none_or(|client| client.may_acknowledge(number.epoch, number.sequence))
    }

    /// What to do for this request now. With [`Answer::Send`] the request gets the turn.
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

    /// How many owners there are, this one included.
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

    /// Counts one client of the owner less.
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

    /// Runs after every change to a client: settles whether the client may be forgotten, and after which others.
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

    /// Changes a client that is known. The change returns the bytes that are no longer counted.
    fn change(&mut self, name: &Name, change: impl FnOnce(&mut Client<H>) -> usize) {
        if let Some(freed) = self.clients.get_mut(name).map(change) {
            self.give_back(name.owner, freed);
        }
        self.arrange(name);
    }

    /// The request waits from now on, so that the requests behind it may wait, too.
    pub fn wait(&mut self, number: &Number) {
        self.change(&number.name, |client| {
            client.wait(number);
            0
        });
    }

    /// The request no longer waits.
    pub fn leave(&mut self, number: &Number) {
        self.change(&number.name, |client| {
            client.leave(number);
            0
        });
    }

    /// The request that has the turn is about to be handed over: its sequence is used, and a repeat finds it under way.
    pub fn take(&mut self, name: &Name, handle: H) {
        self.change(name, |client| client.take(handle));
    }

    /// The request that has the turn was handed over, or was not taken after all.
    pub fn end_turn(&mut self, name: &Name) {
        self.change(name, Client::end_turn);
    }

    /// A request that was taken has its outcomes now.
    pub fn settle(&mut self, number: &Number, settled: Arc<Settled>, now: Instant) {
        self.change(&number.name, |client| {
            client.used = now;
            client.settle(number, settled)
        });
    }
}

#[cfg(test)]
mod tests;
