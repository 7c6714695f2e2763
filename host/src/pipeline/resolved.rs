//! A request's topics, looked up.

use std::{collections::HashMap, sync::Arc};

use crate::{
    base::{outcome::RecordError, record::Record},
    produce::batch::Seen,
    topic::{Destination, Topic},
};

/// A request's topics.
#[derive(Default)]
pub(super) struct Resolved {
    /// Each found, by its destination in `seen`, or refused.
    by_name: HashMap<Arc<str>, Result<u32, RecordError>>,
    pub(super) seen: Vec<Seen>,
    /// The first one: nearly all requests have one topic, and then its name is one string.
    first: Option<(Arc<str>, Result<u32, RecordError>)>,
}

impl Resolved {
    pub(super) fn knows(&self, name: &Arc<str>) -> bool {
        self.is_first(name) || self.by_name.contains_key(name)
    }

    fn is_first(&self, name: &Arc<str>) -> bool {
        self.first.as_ref().is_some_and(|(first, _)| Arc::ptr_eq(first, name))
    }

    pub(super) fn add(&mut self, name: &Arc<str>, found: Result<Arc<Topic>, RecordError>) {
        let found = found.map(|topic| {
            let partitions = topic.partitions();
            self.seen.push((topic, partitions));
            // As many as a request has records, at most.
            self.seen.len() as u32 - 1
        });
        if self.first.is_none() {
            self.first = Some((Arc::clone(name), found.clone()));
        }
        self.by_name.insert(Arc::clone(name), found);
    }

    pub(super) fn find(&self, name: &Arc<str>) -> Result<u32, RecordError> {
        match &self.first {
            Some((first, found)) if Arc::ptr_eq(first, name) => found.clone(),
            // `resolve` has seen every record.
            _ => self.by_name[name].clone(),
        }
    }
}

/// A record that may be decided, its destination as far as that is known, and its topic.
pub(super) struct Sendable<'t>(pub(super) Record, pub(super) Destination, pub(super) &'t Seen);

impl Sendable<'_> {
    /// Whether it may be decided in one call with a record of this destination.
    pub(super) fn continues(&self, first: &Destination) -> bool {
        self.0.partition.is_none() && self.1.topic == first.topic
    }
}
