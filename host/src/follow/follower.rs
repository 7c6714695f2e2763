//! What is known of the routing table: what the threads that follow it write, and what others see.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use pointsman_routing::{
    Table,
    hold::{Stage, Tenant},
};

use crate::{base::metrics::Metrics, tenants::Tenants};

/// The routing table's way into the sidecar.
#[derive(Debug)]
pub struct Follower {
    pub(super) tenants: Arc<Tenants>,
    pub(super) metrics: Arc<Metrics>,
    /// The store's URL, without a password. `None` without `[routing]`.
    pub(super) store: Option<String>,
    pub(super) state: Mutex<State>,
}

/// What is known of the store and of what is held.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Since when the store cannot be used, and why.
    pub(super) trouble: Option<(Instant, String)>,
    /// Why the last table that was read is not used.
    pub(super) refused: Option<String>,
    /// When the store last confirmed the table.
    pub(super) confirmed: Option<Instant>,
    /// What is held.
    pub(super) held: Vec<Held>,
}

/// A row that is held, as it is shown.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) row: Tenant,
    /// The row's version when the hold began.
    pub(super) version: u64,
    pub(super) since: tokio::time::Instant,
    pub(super) stage: Stage,
    pub(super) waits_for: Vec<u32>,
}

impl Follower {
    /// Follows no table, if there is no `[routing]`.
    pub fn off(metrics: &Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            tenants: Arc::new(Tenants::off()),
            metrics: Arc::clone(metrics),
            store: None,
            state: Mutex::default(),
        })
    }

    /// Will follow the table of this store, whose URL is shown.
    pub fn on(store: String, metrics: &Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            tenants: Arc::new(Tenants::on()),
            metrics: Arc::clone(metrics),
            store: Some(store),
            state: Mutex::default(),
        })
    }

    /// The table of this moment.
    pub fn tenants(&self) -> &Arc<Tenants> {
        &self.tenants
    }

    /// Waits until there is a table, or it is known why there is none.
    pub(super) fn wait_for_table(&self, patience: Duration) {
        let begun = Instant::now();
        while self.tenants.table().is_none() && self.state().trouble.is_none() && begun.elapsed() < patience {
            thread::sleep(Duration::from_millis(1));
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that this table is in place.
    pub(super) fn in_place(&self, table: &Table) {
        let metrics = &self.metrics.routing;
        metrics.version.set(table.version().cast_signed());
        metrics.rows.set(table.len().cast_signed() as i64);
    }
}
