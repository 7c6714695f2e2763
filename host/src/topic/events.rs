//! What an operator hears of a topic. Each event writes its log line and its metric together, so that the two never disagree.

use std::time::Duration;

use crate::base::metrics::TopicCounters;

/// The brokers refuse the topic's records for good.
pub(super) struct TopicClosed<'a> {
    pub(super) topic: &'a str,
    pub(super) pause: Duration,
    /// What the brokers said.
    pub(super) reason: &'a str,
}

impl TopicClosed<'_> {
    pub(super) fn emit(self, counters: &TopicCounters) {
        counters.closed();
        tracing::error!(
            topic = %self.topic,
            pause_ms = self.pause.as_millis() as u64,
            reason = self.reason,
            "topic closed: the brokers refuse its records; they are rejected here until one record gets through"
        );
    }
}

/// The brokers took a record of a closed topic.
pub(super) struct TopicOpened<'a> {
    pub(super) topic: &'a str,
}

impl TopicOpened<'_> {
    pub(super) fn emit(self, counters: &TopicCounters) {
        counters.opened();
        tracing::info!(topic = %self.topic, "topic open again: a record got through");
    }
}
