//! The table in memory. It never changes: a change makes a new table, which shares everything that the change does not
//! touch with the one before it.

mod entry;
mod found;
mod shard;
mod topic;

use std::{collections::HashMap, hash::BuildHasher, sync::Arc};

use foldhash::{SharedSeed, quality::SeedableRandomState};

pub(crate) use self::entry::Entry;
pub use self::{
    found::{Found, Resolved, Target},
    topic::TopicTable,
};
use crate::{
    change::Change,
    document::{Document, FORMAT, Head, TableError},
    row::{Row, TAIL},
    rules::{self, Broken, name_of},
};

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
                    next.topics.insert(Arc::clone(topic.name()), Arc::new(topic));
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

#[cfg(test)]
pub(crate) mod tests;
