//! What the rows of a table must keep. A table that breaks a rule is refused as a whole.

use std::collections::{HashMap, HashSet};

use crate::{
    document::MOST_ROWS,
    row::{LINEAGE, MOST_SLOTS, NAME_BYTES, OrderClass, Row, Status, TAIL},
};

/// Most characters of a name in a message.
const SHOWN: usize = 64;
/// Kafka's own bound for names of topics.
const TOPIC_BYTES: usize = 249;
/// Most bytes of a move's id.
const ID_BYTES: usize = 64;

/// A rule that is broken. `row` is the topic and the tenant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A topic that Kafka would not take.
    #[error(
        "topic {topic} is not a name that Kafka takes: 1 to {TOPIC_BYTES} of a-z, A-Z, 0-9, \".\", \"_\" and \"-\""
    )]
    Topic {
        /// Its name, shortened.
        topic: String,
    },
    /// A name that no row may have.
    #[error(
        "topic {topic} has a row for tenant {tenant}: a name has 1 to {NAME_BYTES} bytes without control characters"
    )]
    Name {
        /// The topic.
        topic: String,
        /// The name, shortened.
        tenant: String,
    },
    /// Something within one row.
    #[error("{row}: {what}")]
    Row {
        /// Which row.
        row: String,
        /// What is wrong.
        what: String,
    },
    /// A tenant has two rows.
    #[error("{row} is there twice; keep one of the rows")]
    Twice {
        /// Which row.
        row: String,
    },
    /// A row whose topic has no tail.
    #[error("{row} is there, but the topic has no row for tenant \"*\"; `pointsman routes adopt` makes it")]
    NoTail {
        /// Which row.
        row: String,
    },
    /// A partition that is to be one row's own.
    #[error("{row} is dedicated, but its partition {partition} is also in {other}; give one of them another partition")]
    NotAlone {
        /// Which row.
        row: String,
        /// The partition.
        partition: u32,
        /// One of the other rows.
        other: String,
    },
    /// Too many rows.
    #[error("{rows} rows are too many; a table may have {MOST_ROWS}")]
    TooManyRows {
        /// How many.
        rows: u64,
    },
    /// A row that is newer than the table.
    #[error("{row} has version {version}, and the table has version {table}")]
    FromTheFuture {
        /// Which row.
        row: String,
        /// Its version.
        version: u64,
        /// The table's.
        table: u64,
    },
}

/// A row's name in messages.
pub fn name_of(topic: &str, tenant: &str) -> String {
    format!("tenant {} of topic {}", quoted(tenant), quoted(topic))
}

/// A name in quotes, without control characters, and not longer than a message may be.
pub fn quoted(name: &str) -> String {
    let shown: String = name.chars().take(SHOWN).collect();
    match shown.len() == name.len() {
        true => format!("{shown:?}"),
        false => format!("{shown:?}… ({} bytes)", name.len()),
    }
}

/// Whether Kafka takes this name for a topic.
pub fn is_topic(name: &str) -> bool {
    let is_taken = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=TOPIC_BYTES).contains(&name.len()) && name.bytes().all(is_taken)
}

/// Checks what can be seen from one row alone.
pub fn row(row: &Row) -> Result<(), Broken> {
    if !is_topic(&row.topic) {
        return Err(Broken::Topic {
            topic: quoted(&row.topic),
        });
    }
    if row.tenant != TAIL && !crate::row::may_have_row(&row.tenant) {
        return Err(Broken::Name {
            topic: quoted(&row.topic),
            tenant: quoted(&row.tenant),
        });
    }
    let wrong = slots(row).or_else(|| moving(row)).or_else(|| lineage(row));
    match wrong {
        None => Ok(()),
        Some(what) => Err(Broken::Row {
            row: name_of(&row.topic, &row.tenant),
            what,
        }),
    }
}

fn slots(row: &Row) -> Option<String> {
    if row.slots.is_empty() {
        return Some("it has no slots; it needs at least one".to_owned());
    }
    if row.slots.len() > MOST_SLOTS {
        return Some(format!("it has {} slots; it may have {MOST_SLOTS}", row.slots.len()));
    }
    if let Some(partition) = row.slots.iter().find(|partition| !is_partition(**partition)) {
        return Some(format!("{partition} cannot be the number of a partition"));
    }
    let different: HashSet<u32> = row.slots.iter().copied().collect();
    if row.tenant == TAIL {
        return (row.status != Status::Shared).then(|| format!("the tail is shared, never {}", row.status.name()));
    }
    if row.ordering == OrderClass::Tenant && different.len() > 1 {
        return Some(format!(
            "its ordering is \"tenant\", which is one partition, and its slots have {}",
            different.len()
        ));
    }
    match row.status {
        Status::Shared if different.len() > 1 => Some(format!(
            "it is shared, which is one partition, and its slots have {}; make it sharded",
            different.len()
        )),
        Status::Dedicated if different.len() < row.slots.len() => {
            let mut seen = HashSet::new();
            let twice = row.slots.iter().find(|partition| !seen.insert(**partition));
            let twice = twice.copied().unwrap_or_default();
            Some(format!("it is dedicated, and its partition {twice} is there twice"))
        }
        Status::Sharded if row.slots.len() < 2 => Some("it is sharded, and has only one slot".to_owned()),
        Status::Shared | Status::Dedicated | Status::Sharded => None,
    }
}

fn moving(row: &Row) -> Option<String> {
    let moving = row.moving.as_ref()?;
    if moving.id.is_empty() || moving.id.len() > ID_BYTES || !moving.id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(format!(
            "its move has no id of 1 to {ID_BYTES} visible ASCII characters"
        ));
    }
    if moving.slots.is_empty() {
        return Some("its move has no slots".to_owned());
    }
    if moving.to.len() != moving.slots.len() {
        return Some(format!(
            "its move has {} slots, and partitions for {} of them",
            moving.slots.len(),
            moving.to.len()
        ));
    }
    let mut seen = HashSet::new();
    for &slot in &moving.slots {
        if slot as usize >= row.slots.len() {
            return Some(format!(
                "its move has slot {slot}, and the row has {} slots",
                row.slots.len()
            ));
        }
        if !seen.insert(slot) {
            return Some(format!("its move has slot {slot} twice"));
        }
    }
    let numbers = moving.to.iter().chain(moving.barrier.keys());
    let wrong = numbers.copied().find(|&partition| !is_partition(partition))?;
    Some(format!(
        "its move has {wrong}, which cannot be the number of a partition"
    ))
}

fn lineage(row: &Row) -> Option<String> {
    let most = row.lineage.len() > LINEAGE;
    most.then(|| format!("it has {} earlier moves; a row keeps {LINEAGE}", row.lineage.len()))
}

/// Kafka counts partitions with 32 bits, signed.
fn is_partition(number: u32) -> bool {
    i32::try_from(number).is_ok()
}

/// How many rows of a topic use each partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Uses(HashMap<u32, Use>);

#[derive(Debug, Clone, Copy, Default)]
struct Use {
    rows: u32,
    dedicated: u32,
}

impl Uses {
    pub(crate) fn add(&mut self, status: Status, slots: &[u32]) {
        self.each(slots, |used| {
            used.rows += 1;
            used.dedicated += u32::from(status == Status::Dedicated);
        });
    }

    pub(crate) fn remove(&mut self, status: Status, slots: &[u32]) {
        self.each(slots, |used| {
            used.rows -= 1;
            used.dedicated -= u32::from(status == Status::Dedicated);
        });
    }

    fn each(&mut self, slots: &[u32], mut change: impl FnMut(&mut Use)) {
        if let [partition] = slots {
            return change(self.0.entry(*partition).or_default());
        }
        let different: HashSet<u32> = slots.iter().copied().collect();
        for partition in different {
            change(self.0.entry(partition).or_default());
        }
    }

    /// The first of these partitions that a dedicated row shares with another row.
    pub(crate) fn not_alone(&self, slots: &[u32]) -> Option<u32> {
        let shared = |partition: &&u32| {
            let used = self.0.get(partition);
            used.is_some_and(|used| used.dedicated > 0 && used.rows > 1)
        };
        slots.iter().find(shared).copied()
    }

    /// Any partition that a dedicated row shares with another row.
    pub(crate) fn any_not_alone(&self) -> Option<u32> {
        let mut shared = self.0.iter().filter(|(_, used)| used.dedicated > 0 && used.rows > 1);
        shared.next().map(|(partition, _)| *partition)
    }
}
