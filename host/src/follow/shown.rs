//! The routing table as `/ready` and `/routes` show it.

use pointsman_routing::hold::Stage;
use serde_json::{Value, json};

use super::follower::{Follower, State};

impl Follower {
    /// Whether requests with tenants can be taken, and what `/ready` says about the routing table.
    pub fn readiness(&self) -> (bool, Value) {
        let Some(store) = &self.store else {
            return (true, Value::Null);
        };
        let table = self.tenants.table();
        let state = self.state();
        let detail = json!({
            "store": store,
            "store_up": state.trouble.is_none() && state.confirmed.is_some(),
            "problem": problem(&state),
            "version": table.as_ref().map(|table| table.version()),
            "age_ms": state.confirmed.map(|confirmed| confirmed.elapsed().as_millis() as u64),
        });
        (table.is_some(), detail)
    }

    /// What `/routes` shows.
    pub fn shown(&self) -> Value {
        let Some(store) = &self.store else {
            return json!({"routing": null});
        };
        let table = self.tenants.table();
        let state = self.state();
        let topics = table.iter().flat_map(|table| table.topics()).map(|topic| {
            json!({
                "topic": topic.name(),
                "rows": topic.rows().count(),
                "tail_slots": topic.tail_slots().len(),
            })
        });
        json!({"routing": {
            "store": store,
            "store_up": state.trouble.is_none() && state.confirmed.is_some(),
            "problem": problem(&state),
            "age_ms": state.confirmed.map(|confirmed| confirmed.elapsed().as_millis() as u64),
            "incarnation": table.as_ref().map(|table| table.incarnation().to_string()),
            "epoch": table.as_ref().map(|table| table.epoch()),
            "version": table.as_ref().map(|table| table.version()),
            "rows": table.as_ref().map(|table| table.len()),
            "topics": topics.collect::<Vec<_>>(),
            "held": state.held.iter().map(|held| json!({
                "topic": &*held.row.topic,
                "tenant": &*held.row.tenant,
                "version": held.version,
                "held_ms": held.since.elapsed().as_millis() as u64,
                "clear": held.stage == Stage::Clear,
                "waits_for": waits_for(held.stage),
                "partitions": held.waits_for,
            })).collect::<Vec<_>>(),
        }})
    }

    /// Brings gauges up to date that depend on the time.
    pub fn gauge(&self) {
        let Some(confirmed) = self.state().confirmed else {
            return;
        };
        let age = i64::try_from(confirmed.elapsed().as_secs()).unwrap_or(i64::MAX);
        self.metrics.routing.age_seconds.set(age);
    }
}

fn problem(state: &State) -> Option<&str> {
    let trouble = state.trouble.as_ref().map(|(_, reason)| &**reason);
    trouble.or(state.refused.as_deref())
}

fn waits_for(stage: Stage) -> Option<&'static str> {
    match stage {
        Stage::Fence => Some("older requests to be sent back"),
        Stage::Outcomes => Some("outcomes of records on the old partitions"),
        Stage::Unknown => Some("records whose outcome is unknown"),
        Stage::Clear => None,
    }
}
