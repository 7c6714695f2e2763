//! Which partition a record takes: the route of its topic, that route's plugin, and what to make of the answer.
//!
//! [`Routes`] finds the route (first match wins), [`Route::decide`] asks the plugin or the host's own key-hash.

mod murmur2;

use std::sync::Arc;

use globset::{Glob, GlobSet, GlobSetBuilder};

pub use self::murmur2::partition_for_key;
use crate::{
    config::{self, OnError},
    outcome::{Code, RecordError},
    plugin::{CallError, Decision, Lease, Pool},
    record::Record,
    topics::{Partitions, Topic},
};

/// A `[[route]]`, ready for use.
#[derive(Debug)]
pub struct Route {
    topics: GlobSet,
    /// None: the host's own key-hash.
    pub plugin: Option<Arc<Pool>>,
    on_error: OnError,
}

impl Route {
    /// From its configuration and its loaded plugin.
    pub fn new(config: &config::Route, plugin: Option<Arc<Pool>>) -> anyhow::Result<Self> {
        let mut topics = GlobSetBuilder::new();
        for glob in &config.topics {
            topics.add(Glob::new(glob)?);
        }
        Ok(Self {
            topics: topics.build()?,
            plugin,
            on_error: config.on_error,
        })
    }

    /// The partition of a record that names none itself. `lease` is an instance of this route's plugin; the record goes
    /// through it and comes back.
    pub fn decide(
        &self,
        lease: Option<&mut Lease>,
        record: Record,
        topic: &Arc<Topic>,
        partitions: &Arc<Partitions>,
    ) -> (Record, Result<u32, RecordError>) {
        let Some(lease) = lease else {
            let decided = key_hash(&record, topic, partitions);
            return (record, Ok(decided));
        };
        let (record, answer) = lease.partition(record, partitions);
        let decided = match answer {
            Ok(decision) => interpret(decision, &record, topic, partitions),
            Err(error) => self.without_plugin(error.into(), &record, topic, partitions),
        };
        (record, decided)
    }

    /// What a record gets when its plugin cannot decide.
    pub fn without_plugin(
        &self,
        error: RecordError,
        record: &Record,
        topic: &Topic,
        partitions: &Partitions,
    ) -> Result<u32, RecordError> {
        match self.on_error {
            OnError::Reject => Err(error),
            OnError::KeyHash => Ok(key_hash(record, topic, partitions)),
        }
    }
}

/// A record's own choice, checked.
pub fn explicit(partition: u32, topic: &Topic, partitions: &Partitions) -> Result<u32, RecordError> {
    if partition < partitions.count() {
        return Ok(partition);
    }
    Err(RecordError::new(
        Code::PartitionOutOfRange,
        format!(
            "the record names partition {partition}, topic \"{}\" has 0 to {}",
            topic.name,
            partitions.count() - 1
        ),
    ))
}

fn interpret(decision: Decision, record: &Record, topic: &Topic, partitions: &Partitions) -> Result<u32, RecordError> {
    let count = partitions.count();
    match decision {
        Decision::Partition(partition) if partition < count => Ok(partition),
        Decision::Partition(partition) => Err(RecordError::new(
            Code::PartitionOutOfRange,
            format!(
                "the plugin chose partition {partition}, topic \"{}\" has 0 to {}; correct the plugin",
                topic.name,
                count - 1
            ),
        )),
        Decision::KeyHash(bytes) => Ok(partition_for_key(&bytes, count)),
        Decision::Any => Ok(topic.any(partitions, record.wire_size())),
        // Until there is a routing table, a tenant is as good as a key.
        Decision::Tenant(tenant) => Ok(partition_for_key(tenant.as_bytes(), count)),
        Decision::Reject(message) => Err(RecordError::new(Code::PluginRejected, message)),
    }
}

fn key_hash(record: &Record, topic: &Topic, partitions: &Partitions) -> u32 {
    match &record.key {
        Some(key) => partition_for_key(key, partitions.count()),
        None => topic.any(partitions, record.wire_size()),
    }
}

impl From<CallError> for RecordError {
    fn from(error: CallError) -> Self {
        let code = match &error {
            CallError::Trapped { .. } => Code::PluginTrapped,
            CallError::OverTime { .. } => Code::PluginTimeout,
            CallError::Unavailable { .. } => Code::PluginUnavailable,
        };
        Self::new(code, error.to_string())
    }
}

/// Every route, in the order of the file.
#[derive(Debug, Clone, Default)]
pub struct Routes(Arc<[Arc<Route>]>);

impl Routes {
    /// In this order.
    pub fn new(routes: Vec<Route>) -> Self {
        Self(routes.into_iter().map(Arc::new).collect())
    }

    /// In the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter().map(|route| &**route)
    }

    /// The first that matches.
    pub fn find(&self, topic: &str) -> Option<Arc<Route>> {
        self.0.iter().find(|route| route.topics.is_match(topic)).cloned()
    }
}
