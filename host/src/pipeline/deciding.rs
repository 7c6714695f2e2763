//! Asks the plugin about the records of a request: one by one, or many in one call.

use std::iter::Peekable;

use super::{
    by::By, placed::Refused, plugin_session::PluginSession, request_topics::Sendable, routed_request::RoutedRequest,
};
use crate::{
    base::{outcome::RecordError, record::Record},
    routing::route::{self, Decided},
    topic::TopicView,
};

/// Decides about a record, and in the same call about the records after it, as far as the plugin can.
pub(super) async fn decide<'t>(
    first: Sendable<'t>,
    records: &mut Peekable<impl Iterator<Item = Result<Sendable<'t>, Refused>>>,
    session: &mut PluginSession<'_>,
    routed: &mut RoutedRequest<'_>,
) {
    let view = first.view;
    let topic = &view.topic;
    if let Some(pool) = session.wants_lease(&first.record, topic) {
        session.lease(pool).await;
    }
    let asked = routed.traced(|| session.asks(&first.record, topic).cloned());
    let most = match first.record.partition {
        Some(_) => 1,
        None => session.batch_size(topic),
    };
    if most == 1 {
        let (mut record, mut applied) = (first.record, first.applied);
        if session.asks(&record, topic).is_none() {
            // No plugin wants to see what the application sent, and Java's producer hashes keys as they are written.
            applied.put(&mut record);
        }
        let (mut record, decided) = decide_one(record, view, session);
        applied.put(&mut record);
        return routed.decided(record, first.destination, decided, topic, By::new(asked, applied));
    }
    let (mut batch, mut destinations) = (Vec::with_capacity(most), Vec::with_capacity(most));
    let destination = first.destination;
    batch.push(first.record);
    destinations.push((destination, first.applied));
    while batch.len() < most
        && let Some(Ok(next)) = records.next_if(|next| next.as_ref().is_ok_and(|next| next.continues(&destination)))
    {
        batch.push(next.record);
        destinations.push((next.destination, next.applied));
    }
    let (batch, partitioned) = match batch.len() {
        1 => (batch, None),
        _ => session.decide_batch(batch, view),
    };
    if let Some(partitioned) = partitioned {
        for ((mut record, (destination, mut applied)), decided) in batch.into_iter().zip(destinations).zip(partitioned)
        {
            applied.put(&mut record);
            routed.decided(record, destination, decided, topic, By::new(asked.clone(), applied));
        }
        return;
    }
    // Either the batch is a single record, or one of its records made the plugin fail: only that record must suffer.
    for (record, (destination, mut applied)) in batch.into_iter().zip(destinations) {
        if let Some(pool) = session.wants_lease(&record, topic) {
            session.lease(pool).await;
        }
        let (mut record, decided) = decide_one(record, view, session);
        applied.put(&mut record);
        routed.decided(record, destination, decided, topic, By::new(asked.clone(), applied));
        // One record may use up all plugin time until the next yield.
        if session.is_over() {
            session.pause();
            tokio::task::yield_now().await;
            session.resume();
        }
    }
}

/// Decides one record after [`PluginSession::wants_lease`] has been asked about it.
fn decide_one(
    record: Record,
    view: &TopicView,
    session: &mut PluginSession<'_>,
) -> (Record, Result<Decided, RecordError>) {
    match record.partition {
        Some(partition) => (record, route::explicit(partition, view)),
        None => session.decide(record, view),
    }
}
