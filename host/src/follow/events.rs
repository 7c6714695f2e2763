//! What an operator hears of the routing table. Each event writes its log line and its metric together.

use std::time::Duration;

use pointsman_routing::{Table, hold::Tenant};

use crate::base::metrics::RoutingMetrics;

/// A table is used from now on.
pub(super) struct NewTable<'a> {
    pub(super) table: &'a Table,
}

impl NewTable<'_> {
    pub(super) fn emit(self, metrics: &RoutingMetrics) {
        metrics.update("applied");
        tracing::info!(
            version = self.table.version(),
            epoch = self.table.epoch(),
            rows = self.table.len(),
            "a new routing table decides"
        );
    }
}

/// A table is not used.
pub(super) struct TableNotUsed<'a> {
    pub(super) reason: &'a str,
}

impl TableNotUsed<'_> {
    pub(super) fn emit(self, metrics: &RoutingMetrics) {
        metrics.update("refused");
        tracing::error!(
            reason = self.reason,
            "the store's routing table is not used; the one before decides on"
        );
    }
}

/// The store cannot be used.
pub(super) struct StoreTrouble<'a> {
    pub(super) reason: &'a str,
    pub(super) has_table: bool,
}

impl StoreTrouble<'_> {
    pub(super) fn emit(self, metrics: &RoutingMetrics) {
        metrics.update("error");
        let reason = self.reason;
        match self.has_table {
            true => tracing::warn!(
                reason,
                "the routing table's store cannot be used; the last table decides on"
            ),
            false => tracing::error!(
                reason,
                "the routing table's store cannot be used, and there is no table: records of tenants are refused until \
                 there is one"
            ),
        }
    }
}

/// The store can be used again.
pub(super) struct StoreBack {
    pub(super) away: Duration,
}

impl StoreBack {
    pub(super) fn emit(self, _metrics: &RoutingMetrics) {
        let away_ms = self.away.as_millis() as u64;
        tracing::info!(away_ms, "the routing table's store can be used again");
    }
}

/// Nothing by the old assignment of a tenant is under way any more.
pub(super) struct Clear<'a> {
    pub(super) row: &'a Tenant,
    /// Since the hold began.
    pub(super) took: Duration,
}

impl Clear<'_> {
    pub(super) fn emit(self, metrics: &RoutingMetrics) {
        metrics.hold_seconds.observe(self.took.as_secs_f64());
        let took_ms = self.took.as_millis() as u64;
        tracing::info!(row = %self.row, took_ms, "held and clear: nothing for the old partitions is under way");
    }
}
