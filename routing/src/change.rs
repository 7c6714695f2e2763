//! Changes of the table, and what they do to the order of records.

use std::collections::HashSet;

use crate::{
    document::{Head, MOST_ROWS, TableError},
    row::{OrderClass, Row, TAIL},
    rules::{Broken, name_of},
    table::Table,
};

/// A change of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The row is this one from now on.
    Put(Row),
    /// The row is no longer there.
    Remove {
        /// The row's topic.
        topic: String,
        /// The row's tenant.
        tenant: String,
    },
}

/// Why changes were not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Somebody else has changed the table since it was read.
    #[error(
        "the table has changed meanwhile: it has epoch {} and version {} now, and the change was made for epoch {} and \
         version {}; look at it again, and make the change anew",
        now.0, now.1, expected.0, expected.1
    )]
    Outdated {
        /// Epoch and version that the change was made for.
        expected: (u64, u64),
        /// Epoch and version now.
        now: (u64, u64),
    },
    /// The row to remove is not there.
    #[error("{row} is not there")]
    NoRow {
        /// Which row.
        row: String,
    },
    /// The table would break a rule.
    #[error(transparent)]
    Broken(#[from] TableError),
}

impl Change {
    /// The topic.
    pub fn topic(&self) -> &str {
        match self {
            Self::Put(row) => &row.topic,
            Self::Remove { topic, .. } => topic,
        }
    }

    /// The tenant.
    pub fn tenant(&self) -> &str {
        match self {
            Self::Put(row) => &row.tenant,
            Self::Remove { tenant, .. } => tenant,
        }
    }

    /// The row that is there after the change.
    pub fn row(&self) -> Option<&Row> {
        match self {
            Self::Put(row) => Some(row),
            Self::Remove { .. } => None,
        }
    }
}

impl Table {
    /// The table with these changes under the next version, which all changed rows get, and the changes as they were
    /// made.
    pub fn apply(&self, changes: Vec<Change>) -> Result<(Self, Vec<Change>), Refused> {
        let version = self.version() + 1;
        let mut rows = self.len() as u64;
        is_each_once(&changes)?;
        let mut made: Vec<Change> = Vec::with_capacity(changes.len());
        for mut change in changes {
            let was_there = self.has(change.topic(), change.tenant());
            match &mut change {
                Change::Put(row) => {
                    row.version = version;
                    rows += u64::from(!was_there);
                }
                Change::Remove { topic, tenant } if !was_there => {
                    return Err(Refused::NoRow {
                        row: name_of(topic, tenant),
                    });
                }
                Change::Remove { .. } => rows -= 1,
            }
            made.push(change);
        }
        if rows > MOST_ROWS as u64 {
            return Err(Refused::Broken(Broken::TooManyRows { rows }.into()));
        }
        let head = Head {
            version,
            rows,
            ..self.head()
        };
        Ok((self.with(&head, &made)?, made))
    }

    /// The changes after which the rows of `self` are those of `next`.
    pub fn changes_to(&self, next: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        for row in next.rows() {
            if self.row(&row.topic, &row.tenant).as_ref() != Some(&row) {
                changes.push(Change::Put(row));
            }
        }
        for Row { topic, tenant, .. } in self.rows() {
            if !next.has(&topic, &tenant) {
                changes.push(Change::Remove { topic, tenant });
            }
        }
        changes
    }

    /// Which records the change sends to other partitions than before, if their order matters: in words, or `None` if
    /// every such record stays where it is.
    ///
    /// `partitions` is how many partitions the topic has, if that is known: a tenant without any row goes by the key hash
    /// of its name.
    pub fn moves(&self, change: &Change, partitions: Option<u32>) -> Option<String> {
        let before = self.row(change.topic(), change.tenant());
        let after = change.row();
        // What the tenant is promised until now, by its row or by the tail.
        let tail = || self.row(change.topic(), TAIL);
        let promised = before
            .as_ref()
            .map(|row| row.ordering)
            .or_else(|| Some(tail()?.ordering));
        if promised == Some(OrderClass::None) {
            return None;
        }
        let from = before
            .map(|row| row.slots)
            .or_else(|| self.without_row(change, partitions));
        let to = after
            .map(|row| row.slots.clone())
            .or_else(|| self.without_row(change, partitions));
        let who = name_of(change.topic(), change.tenant());
        match (from, to) {
            (Some(from), Some(to)) => {
                let slot = first_difference(&from, &to)?;
                Some(match change.tenant() {
                    TAIL => format!("tenants of topic {:?} without a row, in slot {slot}", change.topic()),
                    _ if from.len() == 1 && to.len() == 1 => {
                        format!("{who}: from partition {} to {}", from[0], to[0])
                    }
                    _ => format!("{who}, with shard keys in slot {slot}"),
                })
            }
            // Nothing is known of where they are.
            (None, _) | (_, None) => Some(format!("{who}, whose present partition is not known")),
        }
    }

    /// The slots by which a tenant goes that has no row: that of the tail for its name, or, for the tail itself, one for
    /// each partition of the topic.
    fn without_row(&self, change: &Change, partitions: Option<u32>) -> Option<Vec<u32>> {
        match (change.tenant(), self.topic(change.topic())) {
            (TAIL, _) => Some((0..partitions?).collect()),
            (tenant, Some(topic)) => {
                let hash = crate::murmur2::positive(tenant.as_bytes()) as usize;
                let slots = topic.tail_slots();
                Some(vec![slots[hash % slots.len()]])
            }
            (tenant, None) => Some(vec![crate::murmur2::partition_for_key(tenant.as_bytes(), partitions?)]),
        }
    }
}

/// Checks that no row is changed twice.
fn is_each_once(changes: &[Change]) -> Result<(), Refused> {
    let mut seen = HashSet::with_capacity(changes.len());
    let mut names = changes.iter().map(|change| (change.topic(), change.tenant()));
    match names.find(|name| !seen.insert(*name)) {
        Some((topic, tenant)) => {
            let row = name_of(topic, tenant);
            Err(Refused::Broken(Broken::Twice { row }.into()))
        }
        None => Ok(()),
    }
}

/// The first slot of `to` that has records of another partition than in `from`. Slots go by the remainder of a hash, so
/// slot i of one and slot j of the other have records in common if i and j leave the same remainder by the greatest
/// common divisor of both numbers.
fn first_difference(from: &[u32], to: &[u32]) -> Option<usize> {
    let common = gcd(from.len(), to.len());
    let mut expected: Vec<Option<u32>> = vec![None; common];
    let mut several = vec![false; common];
    for (slot, partition) in from.iter().enumerate() {
        let expected = &mut expected[slot % common];
        several[slot % common] |= expected.is_some_and(|expected| expected != *partition);
        *expected = Some(*partition);
    }
    let differs = |(slot, partition): (usize, &u32)| {
        let class = slot % common;
        // Several partitions for one remainder: then no single partition is right for all records of the slot, unless
        // both have the same slots.
        (several[class] && from != to || !several[class] && expected[class] != Some(*partition)).then_some(slot)
    };
    to.iter().enumerate().find_map(differs)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests;
