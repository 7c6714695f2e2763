//! A row of the table, as JSON has it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The tenant of the row that places all tenants without a row of their own.
pub const TAIL: &str = "*";
/// Most bytes of a tenant's name.
pub const NAME_BYTES: usize = 255;
/// Most slots of a row.
pub const MOST_SLOTS: usize = 1 << 16;
/// Most earlier moves that a row remembers.
pub const LINEAGE: usize = 8;

/// Where the records of one tenant of one topic go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The topic.
    pub topic: String,
    /// The tenant, or [`TAIL`].
    pub tenant: String,
    /// The table's version with which this row last changed.
    pub version: u64,
    /// How the tenant shares its partitions with others.
    pub status: Status,
    /// What a move of this row keeps.
    pub ordering: OrderClass,
    /// The partition of each slot. One slot: the whole tenant.
    pub slots: Vec<u32>,
    /// Whether a planner leaves the row as it is.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pinned: bool,
    /// The move that the row is in.
    #[serde(rename = "move", default, skip_serializing_if = "Option::is_none")]
    pub moving: Option<Move>,
    /// The last moves, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lineage: Vec<Past>,
}

/// How a tenant shares its partitions with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// One partition, which others use too. The tail is shared as well, on all its partitions.
    Shared,
    /// Partitions that no other row uses.
    Dedicated,
    /// Several slots, by shard keys.
    Sharded,
}

/// Which records of a tenant keep their order when slots move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderClass {
    /// All records of the tenant; in the tail, those of each tenant.
    Tenant,
    /// Those with the same shard key.
    Key,
    /// None: the records may go to any slot.
    None,
}

/// A move that a row is in. Until it has ended, records for its slots wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// What its history is found by.
    pub id: String,
    /// How far it has come.
    pub phase: Phase,
    /// The slots that move, as indexes into the row's slots.
    pub slots: Vec<u32>,
    /// The partition that each of them moves to.
    pub to: Vec<u32>,
    /// By partition: the end offset up to which its readers must have come.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub barrier: BTreeMap<u32, i64>,
}

/// How far a move has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Sidecars stop sending to the old partitions, and say when nothing is under way there any more.
    Pause,
    /// The readers of the old partitions come up to the barrier.
    Drain,
}

/// A move that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Past {
    /// The table's version with which it ended.
    pub version: u64,
    /// The slots that moved.
    pub slots: Vec<u32>,
    /// The partition that they left.
    pub partition: u32,
    /// Their records before this offset are in that partition.
    pub until: i64,
}

impl Status {
    /// As JSON and messages spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Dedicated => "dedicated",
            Self::Sharded => "sharded",
        }
    }
}

impl OrderClass {
    /// As JSON and messages spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Key => "key",
            Self::None => "none",
        }
    }
}

impl Row {
    /// A row of one slot, shared with others, whose tenant keeps its order.
    pub fn shared(topic: &str, tenant: &str, partition: u32) -> Self {
        Self {
            topic: topic.to_owned(),
            tenant: tenant.to_owned(),
            version: 0,
            status: Status::Shared,
            ordering: OrderClass::Tenant,
            slots: vec![partition],
            pinned: false,
            moving: None,
            lineage: Vec::new(),
        }
    }

    /// A tail for a topic of so many partitions under which every tenant stays where the key hash of its name puts it.
    /// `None` if a row cannot have that many partitions, or there are none.
    pub fn tail(topic: &str, partitions: u32) -> Option<Self> {
        const FEWEST_SLOTS: usize = 4_096;
        let most = usize::try_from(partitions).ok()?;
        if most == 0 || most > MOST_SLOTS {
            return None;
        }
        let slots = FEWEST_SLOTS.div_ceil(most) * most;
        // Only a number of partitions over half of the most slots is not multiplied.
        let slots = if slots > MOST_SLOTS { most } else { slots };
        Some(Self {
            slots: (0..partitions).cycle().take(slots).collect(),
            ..Self::shared(topic, TAIL, 0)
        })
    }
}

/// Whether a tenant of this name can have a row. Others are placed by the tail.
pub fn may_have_row(tenant: &str) -> bool {
    (1..=NAME_BYTES).contains(&tenant.len()) && tenant != TAIL && !tenant.chars().any(char::is_control)
}

fn is_false(value: &bool) -> bool {
    !value
}
