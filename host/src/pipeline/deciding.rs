//! Asks the plugin about the records of a request: one by one, or many in one call.

use std::{iter::Peekable, sync::Arc};

use super::{
    plugin_session::PluginSession,
    request_topics::Sendable,
    routed_request::{Placed, Refused, RoutedRequest},
};
use crate::{
    base::{outcome::RecordError, record::Record},
    routing::route,
    topic::{Destination, Topic, TopicView},
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
        return routed.push(decide_one(first.record, first.destination, view, session), asked);
    }
    let (mut batch, mut destinations) = (Vec::with_capacity(most), Vec::with_capacity(most));
    let destination = first.destination;
    batch.push(first.record);
    destinations.push(destination);
    while batch.len() < most
        && let Some(Ok(next)) = records.next_if(|next| next.as_ref().is_ok_and(|next| next.continues(&destination)))
    {
        batch.push(next.record);
        destinations.push(next.destination);
    }
    let (batch, partitioned) = match batch.len() {
        1 => (batch, None),
        _ => session.decide_batch(batch, view),
    };
    if let Some(partitioned) = partitioned {
        for ((record, destination), partition) in batch.into_iter().zip(destinations).zip(partitioned) {
            routed.push(placed(record, destination, partition, topic), asked.clone());
        }
        return;
    }
    // Either the batch is a single record, or one of its records made the plugin fail: only that record must suffer.
    for (record, destination) in batch.into_iter().zip(destinations) {
        if let Some(pool) = session.wants_lease(&record, topic) {
            session.lease(pool).await;
        }
        routed.push(decide_one(record, destination, view, session), asked.clone());
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
    destination: Destination,
    view: &TopicView,
    session: &mut PluginSession<'_>,
) -> Result<Placed, Refused> {
    let (record, partition) = match record.partition {
        Some(partition) => (record, route::explicit(partition, view)),
        None => session.decide(record, view),
    };
    placed(record, destination, partition, &view.topic)
}

fn placed(
    record: Record,
    destination: Destination,
    partition: Result<u32, RecordError>,
    topic: &Arc<Topic>,
) -> Result<Placed, Refused> {
    match partition {
        Ok(partition) => Ok(Placed {
            record,
            destination: Destination {
                partition,
                ..destination
            },
        }),
        Err(error) => Err(Refused {
            topic: Some(Arc::clone(topic)),
            error,
        }),
    }
}
