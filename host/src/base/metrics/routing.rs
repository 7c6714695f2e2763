//! Metrics of the routing table of tenants.

use prometheus::{Histogram, IntCounterVec, IntGauge, Result};

use super::registrar::Registrar;

/// From a moment in which nothing is under way to a broker that is away for long.
const HOLD_BUCKETS: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0];

/// See the [module](self).
#[derive(Debug)]
pub struct RoutingMetrics {
    /// The version of the table that decides.
    pub version: IntGauge,
    /// Its rows.
    pub rows: IntGauge,
    /// Seconds since the store last confirmed it.
    pub age_seconds: IntGauge,
    /// 1 while the store can be used.
    pub store_up: IntGauge,
    /// Rows that are held.
    pub held: IntGauge,
    /// From the begin of a hold until it was clear.
    pub hold_seconds: Histogram,
    updates: IntCounterVec,
}

impl RoutingMetrics {
    pub(super) fn new(registrar: &Registrar) -> Result<Self> {
        Ok(Self {
            version: registrar.gauge(
                "pointsman_routing_table_version",
                "Version of the routing table that decides",
            )?,
            rows: registrar.gauge("pointsman_routing_table_rows", "Rows of the routing table")?,
            age_seconds: registrar.gauge(
                "pointsman_routing_table_age_seconds",
                "Since the store last confirmed the routing table",
            )?,
            store_up: registrar.gauge(
                "pointsman_routing_store_up",
                "1 while the routing table's store can be used",
            )?,
            held: registrar.gauge("pointsman_routing_held", "Rows whose records wait because they move")?,
            hold_seconds: registrar.histogram(
                "pointsman_routing_hold_seconds",
                "From the begin of a hold until nothing was under way for the old partitions",
                &HOLD_BUCKETS,
            )?,
            updates: registrar.counters(
                "pointsman_routing_updates_total",
                "What became of tables that were read, and of the reading",
                &["result"],
            )?,
        })
    }

    /// Counts a table, or a failure to read one.
    pub fn update(&self, result: &'static str) {
        self.updates.with_label_values(&[result]).inc();
    }
}
