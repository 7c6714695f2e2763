//! Follows the routing table of tenants: reads it from its store, puts each version in place, and takes the sidecar's
//! half in moves.
//!
//! Three threads. [`reading`] waits for the store, and decides whether what it reads may replace the table there is.
//! [`holds`] puts a table in place, sends back what an older table resolved, and watches the partitions that tenants
//! leave, until nothing by the old assignment is under way there. [`saved`] keeps the last table for a start without the
//! store. [`gathering`] makes rates of what tenants send, once a second. [`Follower`] is what others see of it.

mod events;
mod follower;
mod gathering;
mod holds;
mod reading;
mod saved;
mod shown;

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use pointsman_stores::{Settings, open};

pub use self::follower::Follower;
pub(crate) use self::holds::Driver;
#[cfg(test)]
pub(crate) use self::holds::Planted;
use self::{reading::Reading, saved::Saved};
use crate::{base::metrics::Metrics, config::Routing, pipeline::Pipeline};

/// How long a record with the outcome `unknown` may still be written after that, if no acknowledgement settles it.
pub const GRACE: Duration = Duration::from_secs(30);
/// How long a start waits for the first table: usually it is there at once, and then no request has to be refused.
const FIRST_TABLE: Duration = Duration::from_secs(1);
/// Tables that wait to be put in place. Only the last of them matters.
const TABLES: usize = 4;

/// What is known of the table of this configuration, before it is followed.
pub fn follower(config: Option<&Routing>, metrics: &Arc<Metrics>) -> anyhow::Result<Arc<Follower>> {
    Ok(match config {
        Some(config) => Follower::on(config.url()?.to_string(), metrics),
        None => Follower::off(metrics),
    })
}

/// Starts to follow.
///
/// `brokers`: librdkafka's properties, for a table in Kafka.
pub fn start(
    follower: &Arc<Follower>,
    config: &Routing,
    brokers: &BTreeMap<String, String>,
    pipeline: &Arc<Pipeline>,
) -> anyhow::Result<()> {
    let settings = Settings {
        poll: config.poll(),
        hashing: follower.tenants.hashing().clone(),
    };
    let saved = config.state_dir.as_deref().map(Saved::new).transpose()?;
    let (tables, next) = mpsc::sync_channel(TABLES);
    let mut reading = Reading::new(
        open(&config.url()?, brokers, settings)?,
        saved,
        Arc::clone(follower),
        tables,
    );
    // Before the first request, so that a start without the store has a table.
    let mut driver = Driver::new(Arc::clone(pipeline), GRACE);
    if let Some(table) = reading.saved_table() {
        driver.put(table);
    }
    let shown = Arc::clone(follower);
    let name = |name: &str| thread::Builder::new().name(name.to_owned());
    name("routing")
        .spawn(move || holds::run(driver, &next, &shown))
        .context("cannot start the thread of the routing table")?;
    name("routing-store")
        .spawn(move || reading.run())
        .context("cannot start the thread of the routing table's store")?;
    let observed = Arc::downgrade(pipeline);
    name("observer")
        .spawn(move || gathering::run(&observed))
        .context("cannot start the thread that counts tenants")?;
    follower.wait_for_table(FIRST_TABLE);
    Ok(())
}
