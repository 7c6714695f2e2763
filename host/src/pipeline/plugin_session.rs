//! A request's use of plugins.

use std::sync::Arc;

use crate::{
    base::{
        outcome::{Code, RecordError},
        record::Record,
    },
    plugin::{CallError, Lease, Pool},
    routing::{
        route::{Decided, Decider, Route, Routes, Table},
        topics::no_route,
    },
    topic::{Topic, TopicView},
};

/// Plugin time after which a request lets others run, in ms.
const PLUGIN_MS_BETWEEN_YIELDS: u64 = 1;

/// A request's use of plugins: a table of routes, a leased instance, and a budget of plugin time. Table and instance
/// are given back whenever others may run.
pub(super) struct PluginSession<'r> {
    /// Where the next table comes from.
    routes: &'r Routes,
    /// Taken anew after each pause, so that a new table decides from then on, and an old one never again.
    table: Arc<Table>,
    /// The instance that this request has now.
    lease: Option<Lease>,
    /// Why the plugin of the next record cannot be asked.
    refused: Option<CallError>,
    /// The plugin whose clock counts, and what that clock said when the lease began.
    begun: Option<(Arc<Pool>, u64)>,
    /// Plugin time of earlier leases.
    spent_ms: u64,
    /// `limits.max_plugin_ms`.
    budget_ms: u64,
}

impl<'r> PluginSession<'r> {
    pub(super) fn new(routes: &'r Routes, budget_ms: u64) -> Self {
        Self {
            routes,
            table: routes.table(),
            lease: None,
            refused: None,
            begun: None,
            spent_ms: 0,
            budget_ms,
        }
    }

    /// The plugin that decides about a record; none if the record names its partition or its route has no plugin.
    pub(super) fn asks(&self, record: &Record, topic: &Topic) -> Option<&Arc<Pool>> {
        match record.partition {
            Some(_) => None,
            None => self.plugin(topic),
        }
    }

    /// The plugin of which an instance must be leased before this record can be decided.
    pub(super) fn wants_lease(&self, record: &Record, topic: &Topic) -> Option<Arc<Pool>> {
        let pool = self.asks(record, topic)?;
        let fits = |lease: &Lease| Arc::ptr_eq(lease.pool(), pool) && !lease.is_spent();
        let has = self.lease.as_ref().is_some_and(fits);
        (!has && !self.is_spent()).then(|| Arc::clone(pool))
    }

    /// Leases an instance. Time spent waiting for one that others use does not count for this request; making one does.
    pub(super) async fn lease(&mut self, pool: Arc<Pool>) {
        self.pause();
        let place = pool.permit().await;
        self.begun = Some((Arc::clone(&pool), pool.coarse_ms()));
        match place.lease().await {
            Ok(lease) => self.lease = Some(lease),
            Err(error) => self.refused = Some(error),
        }
    }

    /// Decides about a record. Ask [`PluginSession::wants_lease`] first.
    pub(super) fn decide(&mut self, record: Record, view: &TopicView) -> (Record, Result<Decided, RecordError>) {
        let Some(route) = route_of(&self.table, &view.topic) else {
            return (record, Err(no_route(&view.topic.name)));
        };
        let error = match (&route.decider, &mut self.lease) {
            (Decider::KeyHash, _) => {
                let decided = route.by_key_hash(&record, view);
                return (record, Ok(decided));
            }
            (Decider::Missing, _) => missing(route),
            (Decider::Plugin(pool), lease) => match (self.refused.take(), lease) {
                (Some(error), _) => error.into(),
                (None, Some(lease)) if Arc::ptr_eq(lease.pool(), pool) && !lease.is_spent() => {
                    return route.decide(lease, record, view);
                }
                (None, _) => self.spent(pool),
            },
        };
        let decided = route.without_plugin(error, &record, view);
        (record, decided)
    }

    /// How many records of this topic to decide in one call. First ask [`PluginSession::wants_lease`] about the first
    /// of them. 1 means: use [`PluginSession::decide`].
    pub(super) fn batch_size(&mut self, topic: &Topic) -> usize {
        let plugin = route_of(&self.table, topic).and_then(|route| route.plugin());
        match (plugin, &mut self.lease) {
            (Some(pool), Some(lease)) if Arc::ptr_eq(lease.pool(), pool) => lease.batch_size(),
            _ => 1,
        }
    }

    fn plugin(&self, topic: &Topic) -> Option<&Arc<Pool>> {
        route_of(&self.table, topic)?.plugin()
    }

    /// Decides about records of one topic, at most [`PluginSession::batch_size`]. Returns no partitions if the call
    /// failed; then the records must be decided one by one.
    pub(super) fn decide_batch(
        &mut self,
        records: Vec<Record>,
        view: &TopicView,
    ) -> (Vec<Record>, Option<Vec<Result<Decided, RecordError>>>) {
        let (Some(route), Some(lease)) = (route_of(&self.table, &view.topic), &mut self.lease) else {
            return (records, None);
        };
        let (records, choices) = lease.partition_batch(records, &view.partitions);
        let decided = choices.map(|choices| {
            let chosen = choices.into_iter().zip(&records);
            chosen
                .map(|(choice, record)| route.chosen(choice, record, view))
                .collect()
        });
        (records, decided)
    }

    pub(super) fn is_spent(&self) -> bool {
        self.spent_ms + self.elapsed() >= self.budget_ms
    }

    pub(super) fn elapsed(&self) -> u64 {
        match &self.begun {
            Some((pool, begun_ms)) => pool.coarse_ms().saturating_sub(*begun_ms),
            None => 0,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.elapsed() >= PLUGIN_MS_BETWEEN_YIELDS
    }

    pub(super) fn pause(&mut self) {
        self.spent_ms += self.elapsed();
        self.begun = None;
        self.lease = None;
    }

    pub(super) fn resume(&mut self) {
        self.table = self.routes.table();
    }

    pub(super) fn spent(&self, pool: &Pool) -> RecordError {
        RecordError::new(
            Code::PluginBudgetSpent,
            format!(
                "the request has used its {} ms of plugin time before this record; make plugin \"{}\" faster, send \
                 smaller requests, or raise limits.max_plugin_ms",
                self.budget_ms,
                pool.name()
            ),
        )
    }
}

fn route_of<'t>(table: &'t Table, topic: &Topic) -> Option<&'t Arc<Route>> {
    table.routes().get(table.place_of(topic)?)
}

fn missing(route: &Route) -> RecordError {
    let name = route.config.plugin.as_deref().unwrap_or_default();
    RecordError::new(
        Code::PluginUnavailable,
        format!("plugin \"{name}\" has not been there yet; put {name}.wasm into the folder of plugins.dir"),
    )
}
