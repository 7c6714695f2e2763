//! Where decisions put records by the routing table of `--routes`.

use std::{fs, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use pointsman_routing::Table;
use pointsman_stores::{Settings, Store as _, file::FileStore};

use crate::{
    plugin::{Decision, Placement},
    tenants::Tenants,
};

/// The routing table in a file, as `file:` stores have it; without one, tenants go by the key hash of their names.
pub(super) fn read(file: Option<&Path>) -> anyhow::Result<Arc<Tenants>> {
    let Some(file) = file else {
        return Ok(Arc::new(Tenants::off()));
    };
    let shown = file.display();
    // A store takes it for a table that is still to come.
    fs::metadata(file).with_context(|| format!("cannot read the routing table in {shown}"))?;
    let tenants = Tenants::on();
    let settings = Settings {
        poll: Duration::MAX,
        hashing: tenants.hashing().clone(),
    };
    let table = FileStore::new(file.to_owned(), settings).load();
    tenants.put(Arc::new(
        table.with_context(|| format!("{shown} cannot be used as a routing table"))?,
    ));
    Ok(Arc::new(tenants))
}

/// Where the records of a topic go.
#[derive(Debug, Clone, Copy)]
pub(super) struct ByTable<'t> {
    pub(super) table: Option<&'t Table>,
    pub(super) topic: &'t str,
    /// How many partitions the topic has.
    pub(super) partitions: u32,
}

impl<'t> ByTable<'t> {
    pub(super) fn placement<'d: 't>(self, decision: &'d Decision) -> Placement<'t> {
        decision.placement_by(self.table, self.topic, self.partitions)
    }
}
