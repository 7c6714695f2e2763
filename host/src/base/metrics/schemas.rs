//! Metrics of the schema registry.

use prometheus::{IntCounterVec, IntGauge, Result};

use super::registrar::Registrar;

/// See the [module](self).
#[derive(Debug)]
pub struct SchemaMetrics {
    look_ups: IntCounterVec,
    /// Schemas that are kept.
    pub known: IntGauge,
    /// Seconds since the registry last answered.
    pub age_seconds: IntGauge,
}

impl SchemaMetrics {
    pub(super) fn new(registrar: &Registrar) -> Result<Self> {
        Ok(Self {
            look_ups: registrar.counters(
                "pointsman_schema_lookups_total",
                "Look-ups of schemas: known already, asked for, or not to be had",
                &["result"],
            )?,
            known: registrar.gauge("pointsman_schemas_known", "Schemas that are kept")?,
            age_seconds: registrar.gauge(
                "pointsman_schema_registry_age_seconds",
                "Since the schema registry last answered",
            )?,
        })
    }

    /// Sets how many look-ups there have been, by result.
    pub fn look_ups(&self, counts: &[(&'static str, u64)]) {
        for (result, count) in counts {
            let counter = self.look_ups.with_label_values(&[*result]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }
}
