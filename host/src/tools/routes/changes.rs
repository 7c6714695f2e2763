//! Changes that a command asks for, and whether they may be made.

use anyhow::bail;
use pointsman_routing::{Change, OrderClass, Row, Status, TAIL, Table};

use crate::tools::cli::routes::Set;

/// Changes, with what they do to order.
pub(super) struct Considered {
    pub(super) changes: Vec<Change>,
    /// Which records go elsewhere at once, in words.
    pub(super) moves: Vec<String>,
    pub(super) out_of_order: bool,
}

/// Of many moves, so many are told.
const TOLD: usize = 5;

impl Considered {
    /// Why the changes are not made.
    pub(super) fn refusal(&self) -> Option<String> {
        if self.out_of_order || self.moves.is_empty() {
            return None;
        }
        let told = self.moves.iter().take(TOLD).cloned().collect::<Vec<_>>().join("; ");
        let more = self.moves.len().saturating_sub(TOLD);
        let more = if more > 0 {
            format!("; and {more} more")
        } else {
            String::new()
        };
        Some(format!(
            "nothing was changed: records would go elsewhere at once, and could be read before earlier ones: {told}{more}. \
             With --out-of-order the change is made all the same"
        ))
    }
}

/// The row that the options ask for. What they do not say stays as it is.
pub(super) fn row(table: &Table, options: &Set) -> anyhow::Result<Row> {
    let before = table.row(&options.topic, &options.tenant);
    if before.as_ref().is_some_and(|row| row.moving.is_some()) {
        bail!("the row is in a move; wait until it has ended");
    }
    let slots = match (&options.slots[..], &before) {
        ([], None) => bail!("--slots is missing: the partition of each slot, such as 5 or 5,6,7"),
        ([], Some(row)) => row.slots.clone(),
        (slots, _) => slots.to_vec(),
    };
    let is_one = slots.iter().all(|partition| *partition == slots[0]);
    let is_tail = options.tenant == TAIL;
    let status = match (options.status, &before) {
        (Some(status), _) => status.into(),
        (None, Some(row)) if row.status != Status::Shared || is_one || is_tail => row.status,
        (None, _) if is_one && slots.len() == 1 || is_tail => Status::Shared,
        (None, _) => Status::Sharded,
    };
    let ordering = match (options.ordering, &before) {
        (Some(ordering), _) => ordering.into(),
        (None, Some(row)) if row.ordering != OrderClass::Tenant || is_one || is_tail => row.ordering,
        (None, _) if is_one || is_tail => OrderClass::Tenant,
        (None, _) => OrderClass::Key,
    };
    let was_pinned = before.as_ref().is_some_and(|row| row.pinned);
    Ok(Row {
        topic: options.topic.clone(),
        tenant: options.tenant.clone(),
        version: 0,
        status,
        ordering,
        slots,
        pinned: options.pin || was_pinned && !options.unpin,
        moving: None,
        lineage: before.map_or_else(Vec::new, |row| row.lineage),
    })
}
