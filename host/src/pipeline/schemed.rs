//! The schemas of a request's records.

use super::request_topics::RequestTopics;
use crate::{
    base::{outcome::RecordError, record::Record},
    routing::route::Table,
    schemas::{Applied, Schemas, TopicSchemas},
};

/// For each topic of a request, its schemas. Empty if no route has any.
#[derive(Default)]
pub(super) struct RequestSchemas(Vec<Option<TopicSchemas>>);

impl RequestSchemas {
    /// Gets the schemas of all topics of a request.
    pub(super) async fn of(
        schemas: &Schemas,
        table: &Table,
        records: &[Result<Record, RecordError>],
        request_topics: &RequestTopics,
    ) -> Self {
        if !table.has_schemas() {
            return Self::default();
        }
        let views = &request_topics.views;
        let mut by_topic: Vec<Vec<&Record>> = vec![Vec::new(); views.len()];
        for record in records.iter().flatten() {
            if let Ok(topic) = request_topics.find(&record.topic) {
                by_topic[topic as usize].push(record);
            }
        }
        let mut found = Vec::with_capacity(views.len());
        for (view, records) in views.iter().zip(by_topic) {
            let route = table.place_of(&view.topic).and_then(|place| table.routes().get(place));
            let route = route.filter(|route| route.config.has_schemas());
            found.push(match route {
                Some(route) => Some(schemas.of_topic(&view.topic.name, &route.config, &records).await),
                None => None,
            });
        }
        Self(found)
    }

    /// Checks or encodes a record of the topic with this index.
    pub(super) fn apply(&self, topic: u32, record: &mut Record) -> Result<Applied, RecordError> {
        match self.0.get(topic as usize) {
            Some(Some(schemas)) => schemas.apply(record),
            _ => Ok(Applied::default()),
        }
    }
}
