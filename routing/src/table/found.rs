//! Which row places a tenant, and where a record goes by it.

use super::entry::Entry;
use crate::{
    murmur2,
    row::{OrderClass, Status},
};

/// The row that places a tenant.
#[derive(Debug, Clone, Copy)]
pub struct Found<'t> {
    pub(super) entry: &'t Entry,
    /// Whether it is the tail, which goes by the tenant's name.
    pub(super) by_tail: bool,
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
