//! The table in memory. It never changes: a change makes a new table, which shares everything that the change does not
//! touch with the one before it.
//!
//! The rows of a topic are spread over [`SHARDS`] shards by the hash of the tenant's name. A change of one row copies
//! its shard and the list of shards.

mod entry;
mod shard;

use std::{
    collections::{HashMap, HashSet},
    hash::BuildHasher,
    sync::Arc,
};

use foldhash::{SharedSeed, quality::SeedableRandomState};

pub(crate) use self::entry::Entry;
use self::shard::Shard;
use crate::{
    change::Change,
    document::{Document, FORMAT, Head, TableError},
    murmur2,
    row::{OrderClass, Row, Status, TAIL},
    rules::{self, Broken, Uses, name_of},
};

/// Shards of a topic.
const SHARDS: usize = 256;

/// More changes of a topic at once are made by making all its shards anew.
const ONE_BY_ONE: usize = 2 * SHARDS;

/// Hashes names of tenants. The seed keeps clients from choosing names that collide.
#[derive(Debug, Clone)]
pub struct Hashing(SeedableRandomState);

impl Hashing {
    /// Hashing with this seed. Two tables can only be compared and changed with the same one.
    pub fn with_seed(seed: u64) -> Self {
        Self(SeedableRandomState::with_seed(seed, SharedSeed::global_fixed()))
    }

    /// The hash of a tenant's name.
    #[inline]
    pub fn of(&self, tenant: &str) -> u64 {
        self.0.hash_one(tenant)
    }
}

/// A routing table; see the [module](self).
#[derive(Debug, Clone)]
pub struct Table {
    incarnation: Arc<str>,
    epoch: u64,
    version: u64,
    rows: usize,
    topics: HashMap<Arc<str>, Arc<TopicTable>>,
    hashing: Hashing,
}

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

/// The row that places a tenant.
#[derive(Debug, Clone, Copy)]
pub struct Found<'t> {
    entry: &'t Entry,
    /// Whether it is the tail, which goes by the tenant's name.
    by_tail: bool,
}

/// Where a record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved<'t> {
    /// The partition, or several of which any will do.
    pub target: Target<'t>,
    /// Whether the record has to wait, since its slot moves.
    pub held: bool,
}

/// See [`Resolved`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'t> {
    /// This one.
    Partition(u32),
    /// Any of these.
    AnyOf(&'t [u32]),
}

impl Table {
    /// A table without rows.
    pub fn empty(incarnation: &str, hashing: Hashing) -> Self {
        Self {
            incarnation: Arc::from(incarnation),
            epoch: 1,
            version: 1,
            rows: 0,
            topics: HashMap::new(),
            hashing,
        }
    }

    /// Checks the rows, and makes a table of them.
    pub fn from_rows(head: &Head, rows: Vec<Row>, hashing: Hashing) -> Result<Self, TableError> {
        head.check()?;
        if rows.len() as u64 != head.rows {
            return Err(TableError::Incomplete {
                found: rows.len() as u64,
                told: head.rows,
            });
        }
        let mut table = Self {
            epoch: head.epoch,
            version: head.version,
            rows: rows.len(),
            ..Self::empty(&head.incarnation, hashing)
        };
        let mut topics: HashMap<Arc<str>, Vec<Entry>> = HashMap::new();
        for row in rows {
            rules::row(&row)?;
            table.is_not_newer(&row)?;
            match topics.get_mut(row.topic.as_str()) {
                Some(entries) => entries.push(Entry::from(row)),
                None => {
                    topics.insert(Arc::from(row.topic.as_str()), vec![Entry::from(row)]);
                }
            }
        }
        for (name, entries) in topics {
            let topic = TopicTable::of(Arc::clone(&name), entries, &table.hashing)?;
            table.topics.insert(name, Arc::new(topic));
        }
        Ok(table)
    }

    fn is_not_newer(&self, row: &Row) -> Result<(), Broken> {
        if row.version <= self.version {
            return Ok(());
        }
        Err(Broken::FromTheFuture {
            row: name_of(&row.topic, &row.tenant),
            version: row.version,
            table: self.version,
        })
    }

    /// The table with these changes, under this head. The changes of one head come together or not at all; rows keep the
    /// versions that they bring.
    pub fn with(&self, head: &Head, changes: &[Change]) -> Result<Self, TableError> {
        head.check()?;
        let mut next = Self {
            incarnation: Arc::from(head.incarnation.as_str()),
            epoch: head.epoch,
            version: head.version,
            ..self.clone()
        };
        for change in changes {
            if let Change::Put(row) = change {
                rules::row(row)?;
                next.is_not_newer(row)?;
            }
        }
        let mut by_topic: HashMap<&str, Vec<&Change>> = HashMap::new();
        for change in changes {
            by_topic.entry(change.topic()).or_default().push(change);
        }
        for (name, changes) in by_topic {
            let before = next.topics.get(name);
            next.rows -= before.map_or(0, |topic| topic.all_rows());
            match TopicTable::changed(name, before, &changes, &self.hashing)? {
                Some(topic) => {
                    next.rows += topic.all_rows();
                    next.topics.insert(Arc::clone(&topic.name), Arc::new(topic));
                }
                None => {
                    next.topics.remove(name);
                }
            }
        }
        if next.rows as u64 != head.rows {
            return Err(TableError::Incomplete {
                found: next.rows as u64,
                told: head.rows,
            });
        }
        Ok(next)
    }

    /// As stores keep it.
    pub fn head(&self) -> Head {
        Head {
            format: FORMAT,
            incarnation: self.incarnation.to_string(),
            epoch: self.epoch,
            version: self.version,
            rows: self.rows as u64,
        }
    }

    /// As JSON has it, sorted by topic and tenant, the tail first.
    pub fn document(&self) -> Document {
        let mut rows: Vec<Row> = self.rows().collect();
        rows.sort_unstable_by(|a, b| {
            let (first, second) = ((a.tenant != TAIL, &a.tenant), (b.tenant != TAIL, &b.tenant));
            a.topic.cmp(&b.topic).then(first.cmp(&second))
        });
        Document {
            format: FORMAT,
            incarnation: self.incarnation.to_string(),
            epoch: self.epoch,
            version: self.version,
            rows,
        }
    }

    /// All rows, in no order.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        self.topics.values().flat_map(|topic| topic.rows())
    }

    /// Whether this table has exactly the rows of another.
    pub fn has_rows_of(&self, other: &Self) -> bool {
        let is_there = |row: Row| other.row(&row.topic, &row.tenant).as_ref() == Some(&row);
        self.rows == other.rows && self.rows().all(is_there)
    }

    /// One row.
    pub fn row(&self, topic: &str, tenant: &str) -> Option<Row> {
        self.topic(topic)?.row(tenant, &self.hashing)
    }

    /// Whether a row is there.
    pub fn has(&self, topic: &str, tenant: &str) -> bool {
        self.topic(topic)
            .is_some_and(|topic| topic.own(tenant, &self.hashing).is_some())
    }

    /// The rows of a topic.
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicTable>> {
        self.topics.get(name)
    }

    /// All topics.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicTable>> {
        self.topics.values()
    }

    /// The store that it is from.
    pub fn incarnation(&self) -> &Arc<str> {
        &self.incarnation
    }

    /// The epoch of who wrote it.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Its version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// How names are hashed for look-ups.
    pub fn hashing(&self) -> &Hashing {
        &self.hashing
    }
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

    fn own(&self, tenant: &str, hashing: &Hashing) -> Option<&Entry> {
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
    fn all_rows(&self) -> usize {
        self.rows + 1
    }

    fn of(name: Arc<str>, entries: Vec<Entry>, hashing: &Hashing) -> Result<Self, Broken> {
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
    fn changed(
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

impl<'t> Found<'t> {
    /// Where a record of this tenant goes. `shard` is [`murmur2::positive`] of its shard key.
    #[inline]
    pub fn resolve(self, tenant: &str, shard: Option<u32>) -> Resolved<'t> {
        let slots = self.entry.slots();
        let slot = match slots {
            [_] => 0,
            _ if self.by_tail => murmur2::positive(tenant.as_bytes()) as usize % slots.len(),
            _ => match shard {
                Some(shard) => shard as usize % slots.len(),
                None if self.entry.ordering() == OrderClass::None => {
                    return Resolved {
                        target: Target::AnyOf(slots),
                        held: self.entry.moving().is_some(),
                    };
                }
                None => murmur2::positive(tenant.as_bytes()) as usize % slots.len(),
            },
        };
        Resolved {
            target: Target::Partition(slots[slot]),
            held: self.entry.is_held(slot),
        }
    }

    /// The partitions that records of this tenant may go to: one, if the tail decides.
    pub fn partitions(self, tenant: &str) -> Vec<u32> {
        if self.by_tail {
            let Resolved { target, .. } = self.resolve(tenant, None);
            return match target {
                Target::Partition(partition) => vec![partition],
                Target::AnyOf(partitions) => partitions.to_vec(),
            };
        }
        let mut partitions = self.entry.slots().to_vec();
        partitions.sort_unstable();
        partitions.dedup();
        partitions
    }

    /// How the tenant shares its partitions.
    pub fn status(self) -> Status {
        self.entry.status()
    }

    /// The table's version with which the row last changed.
    pub fn version(self) -> u64 {
        self.entry.version()
    }

    /// Whether the tenant has no row of its own.
    pub fn is_tail(self) -> bool {
        self.by_tail
    }
}

fn shard_of(hash: u64) -> usize {
    // The shard's index goes by the lowest bits, so this takes the highest.
    (hash >> 56) as usize % SHARDS
}

#[cfg(test)]
pub(crate) mod tests;
