//! A request's topics, looked up.

use std::{collections::HashMap, sync::Arc};

use crate::{
    base::{outcome::RecordError, record::Record},
    topic::{Destination, Topic, TopicView},
};

/// A request's topics.
#[derive(Default)]
pub(super) struct RequestTopics {
    /// Each found, by its place in `views`, or refused.
    by_name: HashMap<Arc<str>, Result<u32, RecordError>>,
    pub(super) views: Vec<TopicView>,
    /// The first one: nearly all requests have one topic, and then its name is one string.
    first: Option<(Arc<str>, Result<u32, RecordError>)>,
}

impl RequestTopics {
    pub(super) fn knows(&self, name: &Arc<str>) -> bool {
        self.is_first(name) || self.by_name.contains_key(name)
    }

    fn is_first(&self, name: &Arc<str>) -> bool {
        self.first.as_ref().is_some_and(|(first, _)| Arc::ptr_eq(first, name))
    }

    pub(super) fn add(&mut self, name: &Arc<str>, found: Result<Arc<Topic>, RecordError>) {
        let found = found.map(|topic| {
            self.views.push(topic.view());
            // As many as a request has records, at most.
            self.views.len() as u32 - 1
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
pub(super) struct Sendable<'t> {
    pub(super) record: Record,
    pub(super) destination: Destination,
    pub(super) view: &'t TopicView,
}

impl Sendable<'_> {
    /// Whether it may be decided in one call with a record of this destination.
    pub(super) fn continues(&self, first: &Destination) -> bool {
        self.record.partition.is_none() && self.destination.topic == first.topic
    }
}
