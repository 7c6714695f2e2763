//! The routing table of tenants, as the sidecar sees it now.
//!
//! One immutable table behind one atomic pointer. A request resolves all its tenants by one table; a call of a plugin
//! looks tenants up in one table. Without `[routing]` there is none, and a tenant goes by the key hash of its name.

use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};
use pointsman_routing::{Hashing, Resolved, Table, Target, murmur2};

/// The tenant that a plugin decided for, with what the table needs of the shard key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantKey {
    /// The tenant's name.
    pub name: String,
    /// Kafka's positive hash of the shard key: whatever the key's length, no more than this is kept of it.
    pub shard: Option<u32>,
}

impl TenantKey {
    /// A tenant with a shard key.
    pub fn new(name: String, shard_key: Option<&[u8]>) -> Self {
        Self {
            name,
            shard: shard_key.map(murmur2::positive),
        }
    }
}

/// Where the records of a tenant go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'t> {
    /// To this partition, which the topic may lack.
    Partition(u32),
    /// To any of these partitions.
    AnyOf(&'t [u32]),
}

/// The table of this moment; see the [module](self).
#[derive(Debug)]
pub struct Tenants {
    /// Whether there is `[routing]`.
    is_on: bool,
    table: ArcSwapOption<Table>,
    hashing: Hashing,
    /// A bug that is planted on purpose: only part of a request is resolved anew.
    #[cfg(test)]
    in_parts: bool,
}

/// A look at [`Tenants`].
#[derive(Debug)]
pub enum Now {
    /// There is no `[routing]`.
    Off,
    /// There is no table yet, so tenants cannot be placed.
    NoTable,
    /// This table decides.
    Table(Guard<Option<Arc<Table>>>),
}

/// There is no table yet, so tenants cannot be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no routing table has been read yet, so nobody knows where tenants go; see \"routing\" in /ready")]
pub struct NoTable;

impl Tenants {
    /// Without `[routing]`.
    pub fn off() -> Self {
        Self::new(false)
    }

    /// With `[routing]`, and without a table for now.
    pub fn on() -> Self {
        Self::new(true)
    }

    fn new(is_on: bool) -> Self {
        Self {
            is_on,
            table: ArcSwapOption::empty(),
            hashing: Hashing::with_seed(fastrand::u64(..)),
            #[cfg(test)]
            in_parts: false,
        }
    }

    /// With a bug that is planted on purpose: a request that is resolved anew is so only in part.
    #[cfg(test)]
    pub(crate) fn resolving_in_parts(mut self) -> Self {
        self.in_parts = true;
        self
    }

    /// Whether that bug is planted.
    #[cfg(test)]
    pub(crate) fn are_resolved_in_parts(&self) -> bool {
        self.in_parts
    }

    /// Whether there is `[routing]`.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// How all tables of the process hash names.
    pub fn hashing(&self) -> &Hashing {
        &self.hashing
    }

    /// What decides about tenants now.
    pub fn now(&self) -> Now {
        if !self.is_on {
            return Now::Off;
        }
        let table = self.table.load();
        match &*table {
            Some(_) => Now::Table(table),
            None => Now::NoTable,
        }
    }

    /// The table that decides now.
    pub fn table(&self) -> Option<Arc<Table>> {
        self.table.load_full()
    }

    /// Puts a table in place.
    pub fn put(&self, table: Arc<Table>) {
        self.table.store(Some(table));
    }
}

impl Now {
    /// The table, if there is one.
    pub fn table(&self) -> Option<&Table> {
        match self {
            Self::Off | Self::NoTable => None,
            Self::Table(table) => table.as_deref(),
        }
    }
}

/// Where one record of a tenant goes by this table. Without a table, or without rows of the topic, by the key hash of the
/// tenant's name.
pub fn place<'t>(table: Option<&'t Table>, topic: &str, tenant: &TenantKey, partitions: u32) -> Place<'t> {
    let found = table.and_then(|table| {
        let topic = table.topic(topic)?;
        Some(topic.find(&tenant.name, table.hashing().of(&tenant.name)))
    });
    match found.map(|found| found.resolve(&tenant.name, tenant.shard)) {
        None => Place::Partition(murmur2::partition_for_key(tenant.name.as_bytes(), partitions)),
        Some(Resolved {
            target: Target::Partition(partition),
            ..
        }) => Place::Partition(partition),
        Some(Resolved {
            target: Target::AnyOf(partitions),
            ..
        }) => Place::AnyOf(partitions),
    }
}
