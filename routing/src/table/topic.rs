//! The rows of one topic, spread over [`SHARDS`] shards by the hash of the tenant's name. A change of one row copies its shard
//! and the list of shards.

use std::{collections::HashSet, sync::Arc};

use super::{Hashing, entry::Entry, found::Found, shard::Shard};
use crate::{
    change::Change,
    row::{Row, Status, TAIL},
    rules::{self, Broken, Uses, name_of},
};

/// Shards of a topic.
const SHARDS: usize = 256;

/// More changes of a topic at once are made by making all its shards anew.
const ONE_BY_ONE: usize = 2 * SHARDS;

/// The rows of one topic.
#[derive(Debug, Clone)]
pub struct TopicTable {
    name: Arc<str>,
    tail: Arc<Entry>,
    shards: Box<[Arc<Shard>]>,
    /// How many rows there are beside the tail.
    rows: usize,
    uses: Uses,
    /// The rows that are in a move, which are few: the tail among them.
    moving: Arc<Vec<Arc<str>>>,
}

impl TopicTable {
    /// The topic.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The row that places this tenant. `hash` is [`Hashing::of`] its name.
    #[inline]
    pub fn find(&self, tenant: &str, hash: u64) -> Found<'_> {
        match self.shards[shard_of(hash)].find(tenant, hash) {
            Some(entry) => Found { entry, by_tail: false },
            None => Found {
                entry: &self.tail,
                by_tail: true,
            },
        }
    }

    /// The row of this very tenant, or the tail.
    pub fn row(&self, tenant: &str, hashing: &Hashing) -> Option<Row> {
        Some(self.own(tenant, hashing)?.row(&self.name))
    }

    pub(super) fn own(&self, tenant: &str, hashing: &Hashing) -> Option<&Entry> {
        if tenant == TAIL {
            return Some(&self.tail);
        }
        let hash = hashing.of(tenant);
        self.shards[shard_of(hash)].find(tenant, hash)
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        let entries = self.shards.iter().flat_map(|shard| shard.entries());
        entries.chain([&*self.tail])
    }

    /// All rows, in no order.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        self.entries().map(|entry| entry.row(&self.name))
    }

    /// The rows that are in a move.
    pub fn moving(&self, hashing: &Hashing) -> Vec<Row> {
        let rows = self.moving.iter().filter_map(|tenant| self.row(tenant, hashing));
        rows.collect()
    }

    /// The partitions that the tail uses, each as often as it has slots.
    pub fn tail_slots(&self) -> &[u32] {
        self.tail.slots()
    }

    /// How many rows there are, the tail among them.
    pub(super) fn all_rows(&self) -> usize {
        self.rows + 1
    }

    pub(super) fn of(name: Arc<str>, entries: Vec<Entry>, hashing: &Hashing) -> Result<Self, Broken> {
        let mut uses = Uses::default();
        let mut tail = None;
        let mut moving = Vec::new();
        let mut shards: Vec<Vec<(u64, Entry)>> = (0..SHARDS).map(|_| Vec::new()).collect();
        let mut rows = 0;
        for entry in entries {
            uses.add(entry.status(), entry.slots());
            if entry.moving().is_some() {
                moving.push(Arc::from(entry.name()));
            }
            if entry.name() != TAIL {
                let hash = hashing.of(entry.name());
                rows += 1;
                shards[shard_of(hash)].push((hash, entry));
            } else if tail.replace(Arc::new(entry)).is_some() {
                return Err(Broken::Twice {
                    row: name_of(&name, TAIL),
                });
            }
        }
        let Some(tail) = tail else {
            let first = shards.iter().flatten().next();
            let tenant = first.map_or("", |(_, entry)| entry.name());
            return Err(Broken::NoTail {
                row: name_of(&name, tenant),
            });
        };
        let empty = Arc::new(Shard::default());
        let shards = shards.into_iter().map(|entries| match entries.is_empty() {
            true => Ok(Arc::clone(&empty)),
            false => Shard::of(entries).map(Arc::new).map_err(|tenant| Broken::Twice {
                row: name_of(&name, &tenant),
            }),
        });
        let topic = Self {
            shards: shards.collect::<Result<_, _>>()?,
            name,
            tail,
            rows,
            uses,
            moving: Arc::new(moving),
        };
        match topic.uses.any_not_alone() {
            Some(partition) => Err(topic.not_alone(partition)),
            None => Ok(topic),
        }
    }

    /// The topic after these changes; `None` if it has no row any more.
    pub(super) fn changed(
        name: &str,
        before: Option<&Arc<Self>>,
        changes: &[&Change],
        hashing: &Hashing,
    ) -> Result<Option<Self>, Broken> {
        let Some(before) = before.filter(|_| changes.len() <= ONE_BY_ONE) else {
            let gone: HashSet<&str> = changes.iter().map(|change| change.tenant()).collect();
            let stay = before.into_iter().flat_map(|topic| topic.entries());
            let stay = stay.filter(|entry| !gone.contains(entry.name())).cloned();
            let rows = changes.iter().filter_map(|change| change.row());
            let entries: Vec<Entry> = stay.chain(rows.cloned().map(Entry::from)).collect();
            if entries.is_empty() {
                return Ok(None);
            }
            return Self::of(Arc::from(name), entries, hashing).map(Some);
        };
        let mut next = Self::clone(before);
        let mut has_tail = true;
        for change in changes {
            has_tail = next.change(change, has_tail, hashing);
        }
        if !has_tail {
            return match next.shards.iter().find_map(|shard| shard.entries().next()) {
                None => Ok(None),
                Some(entry) => Err(Broken::NoTail {
                    row: name_of(name, entry.name()),
                }),
            };
        }
        for row in changes.iter().filter_map(|change| change.row()) {
            if let Some(partition) = next.uses.not_alone(&row.slots) {
                return Err(next.not_alone(partition));
            }
        }
        Ok(Some(next))
    }

    /// Makes one change. Whether there is a tail then.
    fn change(&mut self, change: &Change, has_tail: bool, hashing: &Hashing) -> bool {
        let entry = change.row().cloned().map(Entry::from);
        let tenant = change.tenant();
        if let Some(entry) = &entry {
            self.uses.add(entry.status(), entry.slots());
        }
        self.note_move(tenant, entry.as_ref().is_some_and(|entry| entry.moving().is_some()));
        if tenant == TAIL {
            if has_tail {
                self.uses.remove(self.tail.status(), self.tail.slots());
            }
            return match entry {
                Some(entry) => {
                    self.tail = Arc::new(entry);
                    true
                }
                None => false,
            };
        }
        let hash = hashing.of(tenant);
        let shard = &mut self.shards[shard_of(hash)];
        if let Some(old) = shard.find(tenant, hash) {
            self.uses.remove(old.status(), old.slots());
            self.rows -= 1;
        }
        self.rows += usize::from(entry.is_some());
        *shard = Arc::new(shard.with(tenant, hash, entry, hashing));
        has_tail
    }

    fn note_move(&mut self, tenant: &str, moves: bool) {
        let known = self.moving.iter().any(|moving| **moving == *tenant);
        if known == moves {
            return;
        }
        let mut moving = Vec::clone(&self.moving);
        match moves {
            true => moving.push(Arc::from(tenant)),
            false => moving.retain(|moving| **moving != *tenant),
        }
        self.moving = Arc::new(moving);
    }

    /// Which two rows share a partition of which one should be alone. Looks at all rows.
    fn not_alone(&self, partition: u32) -> Broken {
        let entries = || self.entries().filter(move |entry| entry.slots().contains(&partition));
        let dedicated = entries().find(|entry| entry.status() == Status::Dedicated);
        let name = dedicated.map_or("", |entry| entry.name());
        let other = entries().find(|entry| entry.name() != name);
        Broken::NotAlone {
            row: name_of(&self.name, name),
            partition,
            other: match other.map_or("", |entry| entry.name()) {
                TAIL => "the row of tenant \"*\"".to_owned(),
                other => format!("that of tenant {}", rules::quoted(other)),
            },
        }
    }
}

fn shard_of(hash: u64) -> usize {
    // The shard's index goes by the lowest bits, so this takes the highest.
    (hash >> 56) as usize % SHARDS
}
