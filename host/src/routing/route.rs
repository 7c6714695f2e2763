//! Which partition a record takes: the route of its topic, that route's plugin, and what to make of the answer.
//!
//! [`Table`] finds the route (first match wins), [`Route::decide`] asks the plugin or the host's own key-hash. [`Routes`] holds
//! the table of the moment: whatever changes, routes or plugins, becomes a whole new table that takes the place of the old one
//! in a single step. A request that has seen a table never sees an older one after it.

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
    topic::{Topic, TopicView},
};

/// A `[[route]]`, ready for use.
#[derive(Debug)]
pub struct Route {
    /// As it was configured.
    pub config: config::Route,
    /// Who decides.
    pub decider: Decider,
    /// A candidate that decides too, and whose decisions are only compared.
    pub shadow: Option<Arc<Shadow>>,
    topics: GlobSet,
}

/// Bits of a topic's memo that are its route's place, from 1; 0 where no route matches. The configuration allows far fewer routes. The
/// bits above are the table's shape.
const PLACE_BITS: u32 = 16;
const PLACE: u64 = (1 << PLACE_BITS) - 1;
const SHAPE: u64 = !PLACE;

/// Who decides for a route's records.
#[derive(Debug, Clone)]
pub enum Decider {
    /// The host's own key-hash.
    KeyHash,
    /// A plugin.
    Plugin(Arc<Pool>),
    /// A plugin whose file has not been there yet; its records follow `on_error`.
    Missing,
}

impl Route {
    /// From its configuration and who decides for it.
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
        })
    }

    /// The plugin that decides, if it is one and there.
    pub fn plugin(&self) -> Option<&Arc<Pool>> {
        match &self.decider {
            Decider::Plugin(pool) => Some(pool),
            Decider::KeyHash | Decider::Missing => None,
        }
    }

    /// The partition of a record by the host's own key-hash.
    pub fn by_key_hash(&self, record: &Record, view: &TopicView) -> u32 {
        if let Some(shadow) = &self.shadow {
            let decision = Decision::by_own_key(record.key.as_deref());
            shadow.offer(record, &view.partitions, &Ok(decision));
        }
        key_hash(record, view)
    }

    /// The partition of a record that names none itself. `lease` is an instance of this route's plugin; the record goes
    /// through it and comes back.
    pub fn decide(&self, lease: &mut Lease, record: Record, view: &TopicView) -> (Record, Result<u32, RecordError>) {
        let (record, answer) = lease.partition(record, &view.partitions);
        if let Some(shadow) = &self.shadow {
            shadow.offer(&record, &view.partitions, &answer);
        }
        let decided = match answer {
            Ok(decision) => place(&decision, &record, view),
            Err(error) => self.without_plugin(error.into(), &record, view),
        };
        (record, decided)
    }

    /// The partition of a record by what its plugin has chosen in a batch.
    pub fn chosen(&self, choice: Choice, record: &Record, view: &TopicView) -> Result<u32, RecordError> {
        if let Some(shadow) = &self.shadow {
            shadow.offer(record, &view.partitions, &Ok(choice.clone().into_decision(record)));
        }
        match choice {
            Choice::OwnKey => Ok(key_hash(record, view)),
            Choice::Decision(decision) => place(&decision, record, view),
        }
    }

    /// What a record gets when its plugin cannot decide.
    pub fn without_plugin(&self, error: RecordError, record: &Record, view: &TopicView) -> Result<u32, RecordError> {
        match self.config.on_error {
            OnError::Reject => Err(error),
            OnError::KeyHash => Ok(key_hash(record, view)),
        }
    }
}

/// A record's own choice, checked.
pub fn explicit(partition: u32, view: &TopicView) -> Result<u32, RecordError> {
    if partition < view.partitions.count() {
        return Ok(partition);
    }
    Err(out_of_range(
        format!("the record names partition {partition}"),
        view,
        "",
    ))
}

/// The partition that a decision comes to.
fn place(decision: &Decision, record: &Record, view: &TopicView) -> Result<u32, RecordError> {
    match decision.placement(view.partitions.count()) {
        Placement::Partition(partition) => Ok(partition),
        Placement::OutOfRange(partition) => {
            let chose = format!("the plugin chose partition {partition}");
            Err(out_of_range(chose, view, "; correct the plugin"))
        }
        Placement::Anywhere => Ok(view.topic.any(&view.partitions, record.wire_size())),
        Placement::Rejected(reason) => Err(RecordError::new(Code::PluginRejected, reason.to_owned())),
    }
}

fn out_of_range(chose: String, view: &TopicView, advice: &str) -> RecordError {
    let (topic, last) = (&view.topic.name, view.partitions.count() - 1);
    RecordError::new(
        Code::PartitionOutOfRange,
        format!("{chose}, topic \"{topic}\" has 0 to {last}{advice}"),
    )
}

fn key_hash(record: &Record, view: &TopicView) -> u32 {
    match &record.key {
        Some(key) => partition_for_key(key, view.partitions.count()),
        None => view.topic.any(&view.partitions, record.wire_size()),
    }
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

/// Every route at one moment, in the order of the file.
#[derive(Debug, Default)]
pub struct Table {
    /// Rises when a topic's route may be another one than before.
    shape: u64,
    routes: Vec<Arc<Route>>,
}

impl Table {
    /// In this order. `shape` must differ from that of any table with other topics in its routes.
    pub fn new(shape: u64, routes: Vec<Arc<Route>>) -> Self {
        Self { shape, routes }
    }

    /// See [`Table::new`].
    pub fn shape(&self) -> u64 {
        self.shape
    }

    /// In the order of the file.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The first that matches, by its place in the table.
    pub fn find(&self, topic: &str) -> Option<usize> {
        self.routes.iter().position(|route| route.topics.is_match(topic))
    }

    /// The same for a topic that is known: what was found last time is remembered with the topic, since matching globs for each
    /// record would cost as much as the decision.
    pub fn place_of(&self, topic: &Topic) -> Option<usize> {
        // Shapes count from 0 and never come near a topic's first memo.
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

/// The table of the moment. Everybody who routes holds this, and takes a table from it for a millisecond at a time.
#[derive(Debug, Default)]
pub struct Routes(ArcSwap<Table>);

impl Routes {
    /// Beginning with this table.
    pub fn new(table: Table) -> Self {
        Self(ArcSwap::from_pointee(table))
    }

    /// The table of the moment.
    pub fn table(&self) -> Arc<Table> {
        self.0.load_full()
    }

    /// Puts another table in its place.
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
