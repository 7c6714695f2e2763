//! A sidecar's half of a move.
//!
//! While a row is in a move, its moving slots are *held*: requests with records there wait. A hold is *clear* when no
//! record that went by the old assignment is under way any more. The way there:
//!
//! 1. The table with the move is put in place. From now on requests are resolved by it.
//! 2. A fence goes up: a request that was resolved by an older table, and has no room yet, is resolved again. From now on
//!    nothing new can go by the old assignment.
//! 3. What is under way on the old partitions since before the fence gets its outcomes. Then each partition is *drained*.
//! 4. A record whose outcome is `unknown` may still be written. A later acknowledgement settles that, or time. Then each
//!    partition is *settled*, and the hold is clear.
//!
//! [`Holds::step`] says what to do; it does nothing by itself.

use std::{collections::BTreeMap, sync::Arc};

use crate::{row::Row, rules, table::Table};

/// A row that is held.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant {
    /// The topic.
    pub topic: Arc<str>,
    /// The tenant; the tail's is `*`.
    pub tenant: Arc<str>,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// This table is in place.
    Table {
        /// Its version.
        version: u64,
        /// All its rows that are in a move.
        moving: Vec<Row>,
    },
    /// The fence of this version is up. `number` counts fences.
    Fenced {
        /// The version that was given with [`Effect::Fence`].
        version: u64,
        /// The fence's number.
        number: u64,
    },
    /// All that had room on the partition before this fence has outcomes.
    Drained {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// The fence's number.
        fence: u64,
    },
    /// No record of the partition from before this fence may still be written.
    Settled {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// The fence's number.
        fence: u64,
    },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send back, to be resolved again, whatever was resolved by a table before this version and has no room yet; then
    /// say [`Event::Fenced`].
    Fence {
        /// The version.
        version: u64,
    },
    /// Watch a partition: say [`Event::Drained`], then [`Event::Settled`].
    Watch {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// The fence from before which records are watched.
        fence: u64,
    },
    /// Nothing by the old assignment is under way any more.
    Clear {
        /// Which row.
        row: Tenant,
        /// The row's version when its hold began.
        version: u64,
    },
    /// The row is no longer in a move.
    Released {
        /// Which row.
        row: Tenant,
    },
}

/// What a hold waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// For the fence.
    Fence,
    /// For outcomes of records on the old partitions.
    Outcomes,
    /// Until records with outcome `unknown` can no longer be written.
    Unknown,
    /// For nothing: it is clear.
    Clear,
}

/// One hold.
#[derive(Debug, Clone)]
pub struct Hold {
    /// The row's version when the hold began.
    pub version: u64,
    /// The slots that move, and where they are: the same hold goes on while these stay.
    slots: Vec<(u32, u32)>,
    stage: Holding,
}

#[derive(Debug, Clone)]
enum Holding {
    /// Waits for the fence of this version.
    Unfenced(u64),
    Fenced {
        number: u64,
        /// By old partition, those that are not settled yet; true if drained.
        left: BTreeMap<u32, bool>,
    },
}

/// All holds of a sidecar.
#[derive(Debug, Clone, Default)]
pub struct Holds {
    holds: BTreeMap<Tenant, Hold>,
}

impl Hold {
    fn of(row: &Row, version: u64) -> Self {
        Self {
            version: row.version,
            slots: moving_slots(row),
            stage: Holding::Unfenced(version),
        }
    }

    /// What it waits for.
    pub fn stage(&self) -> Stage {
        match &self.stage {
            Holding::Unfenced(_) => Stage::Fence,
            Holding::Fenced { left, .. } if left.is_empty() => Stage::Clear,
            Holding::Fenced { left, .. } if left.values().all(|drained| *drained) => Stage::Unknown,
            Holding::Fenced { .. } => Stage::Outcomes,
        }
    }

    /// The old partitions that it waits for.
    pub fn waits_for(&self) -> Vec<u32> {
        match &self.stage {
            Holding::Unfenced(_) => self.partitions().into_keys().collect(),
            Holding::Fenced { left, .. } => left.keys().copied().collect(),
        }
    }

    fn partitions(&self) -> BTreeMap<u32, bool> {
        self.slots.iter().map(|(_, partition)| (*partition, false)).collect()
    }
}

impl Holds {
    /// Takes an event, and says what is to be done.
    pub fn step(&mut self, event: &Event) -> Vec<Effect> {
        match event {
            Event::Table { version, moving } => self.table(*version, moving),
            Event::Fenced { version, number } => self.fenced(*version, *number),
            Event::Drained {
                topic,
                partition,
                fence,
            } => {
                self.each(topic, *partition, *fence, |left| {
                    left.insert(*partition, true);
                });
                Vec::new()
            }
            Event::Settled {
                topic,
                partition,
                fence,
            } => {
                let clear = self.each(topic, *partition, *fence, |left| {
                    left.remove(partition);
                });
                let effects = clear.into_iter().map(|(row, version)| Effect::Clear { row, version });
                effects.collect()
            }
        }
    }

    /// All holds.
    pub fn iter(&self) -> impl Iterator<Item = (&Tenant, &Hold)> {
        self.holds.iter()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.holds.is_empty()
    }

    fn table(&mut self, version: u64, moving: &[Row]) -> Vec<Effect> {
        let now: BTreeMap<Tenant, &Row> = moving.iter().map(|row| (Tenant::of(row), row)).collect();
        let mut effects = Vec::new();
        let mut changed = false;
        self.holds.retain(|row, _| {
            let stays = now.contains_key(row);
            if !stays {
                effects.push(Effect::Released { row: row.clone() });
                changed = true;
            }
            stays
        });
        for (tenant, row) in now {
            let goes_on = |hold: &Hold| hold.slots == moving_slots(row);
            if !self.holds.get(&tenant).is_some_and(goes_on) {
                self.holds.insert(tenant, Hold::of(row, version));
                changed = true;
            }
        }
        if changed {
            effects.push(Effect::Fence { version });
        }
        effects
    }

    fn fenced(&mut self, version: u64, number: u64) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (row, hold) in &mut self.holds {
            let partitions = hold.partitions();
            match &mut hold.stage {
                // A fence sends back whatever is older than its version, so a later one serves as well.
                Holding::Unfenced(wanted) if *wanted <= version => {}
                _ => continue,
            }
            for &partition in partitions.keys() {
                effects.push(Effect::Watch {
                    topic: Arc::clone(&row.topic),
                    partition,
                    fence: number,
                });
            }
            hold.stage = Holding::Fenced {
                number,
                left: partitions,
            };
        }
        effects
    }

    /// Changes what is left of the holds that wait for this partition since this fence or an earlier one: what is true
    /// of a later fence is true of an earlier one. Returns those that are clear now.
    fn each(
        &mut self,
        topic: &str,
        partition: u32,
        fence: u64,
        mut change: impl FnMut(&mut BTreeMap<u32, bool>),
    ) -> Vec<(Tenant, u64)> {
        let mut clear = Vec::new();
        for (row, hold) in &mut self.holds {
            let Holding::Fenced { number, left } = &mut hold.stage else {
                continue;
            };
            if *row.topic != *topic || *number > fence || !left.contains_key(&partition) {
                continue;
            }
            change(left);
            if left.is_empty() {
                clear.push((row.clone(), hold.version));
            }
        }
        clear
    }
}

impl Tenant {
    fn of(row: &Row) -> Self {
        Self {
            topic: Arc::from(row.topic.as_str()),
            tenant: Arc::from(row.tenant.as_str()),
        }
    }
}

impl std::fmt::Display for Tenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&rules::name_of(&self.topic, &self.tenant))
    }
}

impl Table {
    /// The event that this table is in place.
    pub fn in_place(&self) -> Event {
        let moving = self.topics().flat_map(|topic| topic.moving(self.hashing()));
        Event::Table {
            version: self.version(),
            moving: moving.collect(),
        }
    }
}

/// The slots that move, each with its partition.
fn moving_slots(row: &Row) -> Vec<(u32, u32)> {
    let slots = row.moving.iter().flat_map(|moving| &moving.slots);
    // `rules::row` has checked the slots.
    let with_partition = slots.filter_map(|&slot| Some((slot, *row.slots.get(slot as usize)?)));
    with_partition.collect()
}

#[cfg(test)]
mod tests;
