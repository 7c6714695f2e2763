//! The topics of a request, looked up.

use std::{collections::HashMap, sync::Arc};

use crate::{
    base::{outcome::RecordError, record::Record},
    schemas::Applied,
    topic::{Destination, Topic, TopicView},
};

/// The topics of a request, each looked up once.
#[derive(Default)]
pub(super) struct RequestTopics {
    /// Index in `views`, or why the topic is refused.
    by_name: HashMap<Arc<str>, Result<u32, RecordError>>,
    pub(super) views: Vec<TopicView>,
    /// The first topic. Nearly all requests have only one, and then its name is compared as a pointer.
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
            // `views` has at most as many entries as the request has records.
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
            // `resolve` has looked up the topic of every record.
            _ => self.by_name[name].clone(),
        }
    }
}

/// A record that may be decided.
pub(super) struct Sendable<'t> {
    pub(super) record: Record,
    /// As far as it is known: without the partition.
    pub(super) destination: Destination,
    pub(super) view: &'t TopicView,
    /// What its schemas make of it, once it is decided.
    pub(super) applied: Applied,
}

impl Sendable<'_> {
    /// Whether this record can be decided in one call with a record for `first`.
    pub(super) fn continues(&self, first: &Destination) -> bool {
        self.record.partition.is_none() && self.destination.topic == first.topic
    }
}
