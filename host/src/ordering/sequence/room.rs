//! Room for clients and for what is remembered of them: who gives way, and who is refused.

use std::time::Instant;

use super::{Content, Name, Number, Owned, Owner, Refusal, Sequences, client::Client};

/// A client may use the memory divided by this, so that a client with large requests does not push out all others.
pub(super) const SHARE: usize = 4;

/// When the memory is full, a client first forgets its own requests, down to this many, before another client is
/// forgotten. Many clients that send all the time should rather remember a little less each than keep pushing one
/// another out.
pub(super) const SPARED: usize = 8;

impl<H: Clone> Sequences<H> {
    /// Makes a place for a client of which nothing is known.
    pub(super) fn admit(&mut self, number: &Number, now: Instant) -> Result<(), Refusal> {
        let owner = number.name.owner;
        if owner != Owner::Kafka && number.sequence != 1 && !number.resume {
            return Err(Refusal::Resync {
                sequence: number.sequence,
            });
        }
        while self.clients.len() >= self.bounds.clients {
            let share = (self.bounds.clients / self.owners_with(owner)).max(1);
            let has_less = self.owners.get(&owner).map_or(0, |owned| owned.clients) < share;
            let gave_way = has_less && self.forget_of_another(owner, |owned| owned.clients, share);
            if !gave_way && !self.forget_own(&number.name) {
                return Err(Refusal::TooManyClients);
            }
        }
        let mut client = Client::new(self.bounds.window, now);
        if owner == Owner::Kafka {
            // As with Kafka's brokers (KIP-360), any sequence begins. Producers send the oldest first, and the next ones before its
            // answer: those must not begin in its place when it is refused.
            client.begin_with(number);
        }
        self.clients.insert(number.name.clone(), client);
        self.owned(owner).clients += 1;
        Ok(())
    }

    /// Makes room for a new request's outcomes. False: another request of the same client has to end first.
    pub(super) fn make_room(&mut self, number: &Number, content: Content, bytes: usize) -> Result<bool, Refusal> {
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

    /// Forgets the clients that were idle for too long.
    pub(super) fn forget_idle(&mut self, now: Instant) {
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

    /// Forgets the owner's least recently used client, but never `but`. False: all others are busy.
    fn forget_own(&mut self, but: &Name) -> bool {
        let quietest = self.quietest(but.owner, Some(but));
        quietest.inspect(|name| self.forget(name)).is_some()
    }

    /// Forgets the least recently used client of the owner that has the most, if that owner has more than its share.
    /// False: there is no such owner, or all its clients are busy.
    fn forget_of_another(&mut self, owner: Owner, has: impl Fn(&Owned) -> usize, share: usize) -> bool {
        let others = self.owners.iter().filter(|(other, _)| **other != owner);
        let greedy = others.filter(|(_, owned)| has(owned) > share && !owned.idle.is_empty());
        let greediest = greedy.max_by_key(|(_, owned)| has(owned)).map(|(other, _)| *other);
        let quietest = greediest.and_then(|other| self.quietest(other, None));
        quietest.inspect(|name| self.forget(name)).is_some()
    }

    /// The owner's least recently used client that is not busy, and is not `but`.
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
}
