//! Which partition a record takes: finds the route of its topic, asks that route's plugin, and reads the decision.
//!
//! [`Table`] finds the route (the first match wins). [`Route::decide`] asks the plugin or the host's own key-hash.
//! [`Routes`] holds the current table. Any change, of routes or plugins, becomes a whole new table that replaces the
//! old one in a single step. A request that has seen a table never sees an older one.

use std::sync::{Arc, atomic::Ordering};

use arc_swap::ArcSwap;
use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::{
    base::{
        murmur2::partition_for_key,
        outcome::{Code, RecordError},
        record::Record,
    },
    config::{self, OnError},
    plugin::{CallError, Choice, Decision, Lease, Placement, Pool, Shadow},
    tenants::TenantKey,
    topic::{Topic, TopicView},
};

/// A `[[route]]`, ready for use.
#[derive(Debug)]
pub struct Route {
    /// The configuration of this route.
    pub config: config::Route,
    /// What decides about its records.
    pub decider: Decider,
    /// A candidate plugin that is asked too; its decisions are only compared.
    pub shadow: Option<Arc<Shadow>>,
    /// Matches the topics of this route.
    topics: GlobSet,
    /// For tests without plugins: the key of a record is its tenant.
    #[cfg(test)]
    pub key_is_tenant: bool,
}

/// Bits of a topic's memo for the index of its route, counted from 1; 0 means that no route matches. The configuration
/// allows far fewer routes than that. The bits above are the table's shape.
const PLACE_BITS: u32 = 16;
const PLACE: u64 = (1 << PLACE_BITS) - 1;
const SHAPE: u64 = !PLACE;

/// What was decided about a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// It goes to this partition, which exists.
    Partition(u32),
    /// It goes where the routing table has this tenant, when all records of the request are decided.
    Tenant(TenantKey),
}

/// What decides about the records of a route.
#[derive(Debug, Clone)]
pub enum Decider {
    /// The host's own key-hash.
    KeyHash,
    /// A team's plugin.
    Plugin(Arc<Pool>),
    /// A plugin whose file has never been found yet. Its records follow `on_error`.
    Missing,
}

impl Route {
    /// A route from its configuration and what decides for it.
    pub fn new(config: &config::Route, decider: Decider, shadow: Option<Arc<Shadow>>) -> anyhow::Result<Self> {
        let mut topics = GlobSetBuilder::new();
        for glob in &config.topics {
            topics.add(Glob::new(glob)?);
        }
        Ok(Self {
            config: config.clone(),
            decider,
            shadow,
            topics: topics.build()?,
            #[cfg(test)]
            key_is_tenant: false,
        })
    }

    /// The plugin of this route; none if the key-hash decides or the plugin is missing.
    pub fn plugin(&self) -> Option<&Arc<Pool>> {
        match &self.decider {
            Decider::Plugin(pool) => Some(pool),
            Decider::KeyHash | Decider::Missing => None,
        }
    }

    /// The partition of a record by the host's own key-hash.
    pub fn by_key_hash(&self, record: &Record, view: &TopicView) -> Decided {
        if let Some(shadow) = &self.shadow {
            let decision = Decision::by_own_key(record.key.as_deref());
            shadow.offer(record, &view.partitions, &Ok(decision));
        }
        #[cfg(test)]
        if let (true, Some(key)) = (self.key_is_tenant, &record.key) {
            let name = String::from_utf8_lossy(key).into_owned();
            return Decided::Tenant(TenantKey::new(name, None));
        }
        key_hash(record, view)
    }

    /// Where a record goes that names no partition itself. `lease` is an instance of this route's plugin. The call takes
    /// the record and returns it.
    pub fn decide(
        &self,
        lease: &mut Lease,
        record: Record,
        view: &TopicView,
    ) -> (Record, Result<Decided, RecordError>) {
        let (record, answer) = lease.partition(record, &view.partitions);
        if let Some(shadow) = &self.shadow {
            shadow.offer(&record, &view.partitions, &answer);
        }
        let decided = match answer {
            Ok(decision) => place(decision, &record, view),
            Err(error) => self.without_plugin(error.into(), &record, view),
        };
        (record, decided)
    }

    /// Where a record goes whose plugin has chosen in a batch.
    pub fn chosen(&self, choice: Choice, record: &Record, view: &TopicView) -> Result<Decided, RecordError> {
        if let Some(shadow) = &self.shadow {
            shadow.offer(record, &view.partitions, &Ok(choice.clone().into_decision(record)));
        }
        match choice {
            Choice::OwnKey => Ok(key_hash(record, view)),
            Choice::Decision(decision) => place(decision, record, view),
        }
    }

    /// Where a record goes whose plugin cannot decide, or its refusal, as `on_error` says.
    pub fn without_plugin(
        &self,
        error: RecordError,
        record: &Record,
        view: &TopicView,
    ) -> Result<Decided, RecordError> {
        match self.config.on_error {
            OnError::Reject => Err(error),
            OnError::KeyHash => Ok(key_hash(record, view)),
        }
    }
}

/// Checks the partition that a record names itself.
pub fn explicit(partition: u32, view: &TopicView) -> Result<Decided, RecordError> {
    if partition < view.partitions.count() {
        return Ok(Decided::Partition(partition));
    }
    Err(out_of_range(
        format!("the record names partition {partition}"),
        view,
        "",
    ))
}

/// What a decision stands for.
fn place(decision: Decision, record: &Record, view: &TopicView) -> Result<Decided, RecordError> {
    if let Decision::Tenant(tenant) = decision {
        return Ok(Decided::Tenant(tenant));
    }
    match decision.placement(view.partitions.count()) {
        Placement::Partition(partition) => Ok(Decided::Partition(partition)),
        Placement::OutOfRange(partition) => {
            let chose = format!("the plugin chose partition {partition}");
            Err(out_of_range(chose, view, "; correct the plugin"))
        }
        // Only a table's row has several, and tenants are resolved later.
        Placement::Anywhere | Placement::AnyOf(_) => Ok(anywhere(record, view)),
        Placement::Rejected(reason) => Err(RecordError::new(Code::PluginRejected, reason.to_owned())),
    }
}

/// The refusal of a record for a partition that the topic lacks.
pub fn out_of_range(chose: String, view: &TopicView, advice: &str) -> RecordError {
    let (topic, last) = (&view.topic.name, view.partitions.count() - 1);
    RecordError::new(
        Code::PartitionOutOfRange,
        format!("{chose}, topic \"{topic}\" has 0 to {last}{advice}"),
    )
}

fn key_hash(record: &Record, view: &TopicView) -> Decided {
    match &record.key {
        Some(key) => Decided::Partition(partition_for_key(key, view.partitions.count())),
        None => anywhere(record, view),
    }
}

fn anywhere(record: &Record, view: &TopicView) -> Decided {
    Decided::Partition(view.topic.any(&view.partitions, record.wire_size()))
}

impl From<CallError> for RecordError {
    fn from(error: CallError) -> Self {
        let code = match &error {
            CallError::Trapped { .. } => Code::PluginTrapped,
            CallError::OverTime { .. } => Code::PluginTimeout,
            CallError::Unavailable { .. } => Code::PluginUnavailable,
            CallError::Suspended { .. } => Code::PluginSuspended,
        };
        Self::new(code, error.to_string())
    }
}

/// All routes of one moment, in the order of the configuration file.
#[derive(Debug, Default)]
pub struct Table {
    /// Changes when any topic may have another route than before.
    shape: u64,
    routes: Vec<Arc<Route>>,
    has_schemas: bool,
}

impl Table {
    /// A table of these routes, in this order. `shape` must differ from the shape of any table whose routes match other
    /// topics.
    pub fn new(shape: u64, routes: Vec<Arc<Route>>) -> Self {
        let has_schemas = routes.iter().any(|route| route.config.has_schemas());
        Self {
            shape,
            routes,
            has_schemas,
        }
    }

    /// Whether the records of any route follow a schema.
    pub fn has_schemas(&self) -> bool {
        self.has_schemas
    }

    /// The shape that was given to [`Table::new`].
    pub fn shape(&self) -> u64 {
        self.shape
    }

    /// All routes, in the order of the configuration file.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// Index of the first route that matches.
    pub fn find(&self, topic: &str) -> Option<usize> {
        self.routes.iter().position(|route| route.topics.is_match(topic))
    }

    /// Like [`Table::find`], for a known topic. The topic remembers the index: matching globs for each record would
    /// cost as much as the decision itself.
    pub fn place_of(&self, topic: &Topic) -> Option<usize> {
        // Shapes count from 0 and never reach the initial value of a topic's memo.
        let known = topic.route_memo.load(Ordering::Relaxed);
        if known & SHAPE == self.shape << PLACE_BITS {
            return usize::try_from(known & PLACE).ok()?.checked_sub(1);
        }
        let found = self.find(&topic.name);
        let place = found.map_or(0, |place| place as u64 + 1);
        topic
            .route_memo
            .store(self.shape << PLACE_BITS | place, Ordering::Relaxed);
        found
    }
}

/// Holds the current table. A request takes a table from here for a millisecond at a time.
#[derive(Debug, Default)]
pub struct Routes(ArcSwap<Table>);

impl Routes {
    /// Begins with this table.
    pub fn new(table: Table) -> Self {
        Self(ArcSwap::from_pointee(table))
    }

    /// The current table.
    pub fn table(&self) -> Arc<Table> {
        self.0.load_full()
    }

    /// Replaces the current table.
    pub fn replace(&self, table: Table) {
        self.0.store(Arc::new(table));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::metrics::Metrics, topic::Rules};

    fn table(shape: u64, routes: &[&[&str]]) -> Table {
        let routes = routes.iter().map(|topics| {
            let config = config::Route {
                topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
                ..config::Route::everything()
            };
            Arc::new(Route::new(&config, Decider::KeyHash, None).expect("a route"))
        });
        Table::new(shape, routes.collect())
    }

    fn find(routes: &[&[&str]], topic: &str) -> Option<usize> {
        table(0, routes).find(topic)
    }

    #[test]
    fn a_topic_does_not_keep_the_route_that_another_table_gave_it() {
        let metrics = Metrics::new().expect("metrics");
        let topic = Topic::new(Arc::from("b"), &[], Rules::default(), &metrics);
        let (old, new, without) = (
            table(0, &[&["a"], &["b"]]),
            table(1, &[&["b"], &["a"]]),
            table(2, &[&["a"]]),
        );
        for _ in 0..2 {
            assert_eq!(old.place_of(&topic), Some(1));
            assert_eq!(new.place_of(&topic), Some(0));
            assert_eq!(without.place_of(&topic), None);
            assert_eq!(without.place_of(&topic), None, "also from memory");
        }
    }

    #[test]
    fn the_first_route_that_matches_wins() {
        let routes: &[&[&str]] = &[&["orders"], &["billing.*", "b?"], &["{a,o}*"], &["*"]];
        for (topic, expected) in [("orders", 0), ("billing.eu", 1), ("bx", 1), ("other", 2), ("zoo", 3)] {
            assert_eq!(find(routes, topic), Some(expected), "{topic}");
        }
        assert_eq!(find(&routes[..2], "other"), None);
    }
}
