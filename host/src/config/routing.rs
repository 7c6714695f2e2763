//! `[routing]`: where tenants go.

use std::{path::PathBuf, time::Duration};

use pointsman_stores::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::findings::Findings;

/// Each tenant has two series, and as many that sent most before have some for a while.
const MOST_METRICS_TENANTS: usize = 1_000;
/// The store is looked at at least this often, and at most.
const POLL_MS: std::ops::RangeInclusive<u64> = 10..=600_000;

/// `[routing]`: the routing table of tenants. Without this section, a tenant goes by the key hash of its name.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Routing {
    /// The URL of the store that has the table: `kafka:TOPIC` or `file:PATH`. Required.
    pub store: String,
    /// How often the store is looked at, ms. Changes that the store tells of are seen at once. Default 2 000.
    #[serde(default = "poll_ms")]
    pub poll_ms: u64,
    /// Folder that keeps the last table, so that a start without the store has one. Default: none.
    #[serde(default)]
    pub state_dir: Option<PathBuf>,
    /// How many tenants have metrics of their own: those that send most. Default 50.
    #[serde(default = "metrics_tenants")]
    pub metrics_tenants: usize,
    /// Whether each record of a tenant gets the header `pointsman-route`: the version of the table that it went by. Default
    /// false.
    #[serde(default)]
    pub stamp: bool,
}

fn poll_ms() -> u64 {
    2_000
}

fn metrics_tenants() -> usize {
    50
}

impl Routing {
    /// `poll_ms`.
    pub fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms)
    }
}

pub(super) fn check(routing: &Routing, found: &mut Findings<'_>) {
    if let Err(error) = routing.store.parse::<Url>() {
        found.add(&["routing", "store"], error.to_string());
    }
    if !POLL_MS.contains(&routing.poll_ms) {
        let (least, most) = (POLL_MS.start(), POLL_MS.end());
        found.add(&["routing", "poll_ms"], format!("expected {least} to {most}"));
    }
    if routing.metrics_tenants > MOST_METRICS_TENANTS {
        found.add(
            &["routing", "metrics_tenants"],
            format!("expected 0 to {MOST_METRICS_TENANTS}"),
        );
    }
}
