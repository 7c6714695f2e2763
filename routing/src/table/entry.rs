//! A row in memory: small, since there may be a million.

use std::sync::Arc;

use smol_str::SmolStr;

use crate::row::{Move, OrderClass, Past, Row, Status};

/// A row without its topic.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    name: SmolStr,
    slots: Slots,
    version: u64,
    /// What few rows have.
    more: Option<Box<More>>,
    status: Status,
    ordering: OrderClass,
    pinned: bool,
}

#[derive(Debug, Clone)]
enum Slots {
    /// Nearly all rows.
    One([u32; 1]),
    Many(Arc<[u32]>),
}

#[derive(Debug, Clone)]
struct More {
    moving: Option<Move>,
    /// By slot: whether it moves. Empty if none does.
    held: Box<[bool]>,
    lineage: Vec<Past>,
}

impl From<Row> for Entry {
    fn from(row: Row) -> Self {
        let more = (row.moving.is_some() || !row.lineage.is_empty()).then(|| {
            let mut held = match row.moving {
                Some(_) => vec![false; row.slots.len()],
                None => Vec::new(),
            };
            for &slot in row.moving.iter().flat_map(|moving| &moving.slots) {
                // `rules::row` has checked the slots.
                if let Some(held) = held.get_mut(slot as usize) {
                    *held = true;
                }
            }
            Box::new(More {
                moving: row.moving,
                held: held.into_boxed_slice(),
                lineage: row.lineage,
            })
        });
        Self {
            name: SmolStr::from(row.tenant),
            slots: match row.slots[..] {
                [partition] => Slots::One([partition]),
                _ => Slots::Many(Arc::from(row.slots)),
            },
            version: row.version,
            more,
            status: row.status,
            ordering: row.ordering,
            pinned: row.pinned,
        }
    }
}

impl Entry {
    pub(crate) fn row(&self, topic: &str) -> Row {
        Row {
            topic: topic.to_owned(),
            tenant: self.name.to_string(),
            version: self.version,
            status: self.status,
            ordering: self.ordering,
            slots: self.slots().to_vec(),
            pinned: self.pinned,
            moving: self.moving().cloned(),
            lineage: self.more.as_ref().map_or_else(Vec::new, |more| more.lineage.clone()),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    #[inline]
    pub(crate) fn slots(&self) -> &[u32] {
        match &self.slots {
            Slots::One(slots) => slots,
            Slots::Many(slots) => slots,
        }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn status(&self) -> Status {
        self.status
    }

    pub(crate) fn ordering(&self) -> OrderClass {
        self.ordering
    }

    pub(crate) fn moving(&self) -> Option<&Move> {
        self.more.as_ref()?.moving.as_ref()
    }

    #[inline]
    pub(crate) fn is_held(&self, slot: usize) -> bool {
        match &self.more {
            None => false,
            Some(more) => more.held.get(slot).copied().unwrap_or(false),
        }
    }
}
