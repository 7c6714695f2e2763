//! The metrics by topic. The labels of a topic exist as long as the topic is known, so that their number is bounded
//! whatever names clients send. A topic that comes back counts from 0.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::registrar::Registrar;
use crate::base::outcome::Kind;

/// The metrics with a topic's name.
#[derive(Debug)]
pub(super) struct TopicMetrics {
    pub(super) records: IntCounterVec,
    pub(super) closures: IntCounterVec,
    pub(super) closed: IntGaugeVec,
    /// How many [`TopicCounters`] there are for each name. A topic that was removed may come back before the last
    /// of its earlier records has an outcome.
    users: Mutex<HashMap<Arc<str>, usize>>,
}

/// One topic's counters, looked up once.
#[derive(Debug)]
pub struct TopicCounters {
    outcomes: [IntCounter; 4],
    closures: IntCounter,
    is_closed: IntGauge,
    name: Arc<str>,
    metrics: Arc<TopicMetrics>,
}

impl TopicMetrics {
    pub(super) fn new(registrar: &Registrar) -> prometheus::Result<Self> {
        Ok(Self {
            records: registrar.counters(
                "pointsman_records_total",
                "Records by topic and outcome",
                &["topic", "outcome"],
            )?,
            closures: registrar.counters(
                "pointsman_topic_closures_total",
                "Times a topic was closed for a while because the brokers refuse its records for good; each made the producer \
                 pause once",
                &["topic"],
            )?,
            closed: registrar.gauges("pointsman_topic_closed", "1 while a topic is closed", &["topic"])?,
            users: Mutex::default(),
        })
    }

    pub(super) fn topic(self: &Arc<Self>, name: Arc<str>) -> TopicCounters {
        let mut users = self.users();
        *users.entry(Arc::clone(&name)).or_default() += 1;
        TopicCounters {
            outcomes: Kind::ALL.map(|kind| self.records.with_label_values(&[&*name, kind.as_str()])),
            closures: self.closures.with_label_values(&[&*name]),
            is_closed: self.closed.with_label_values(&[&*name]),
            name,
            metrics: Arc::clone(self),
        }
    }

    fn users(&self) -> MutexGuard<'_, HashMap<Arc<str>, usize>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TopicCounters {
    /// Counts an outcome.
    pub fn count(&self, kind: Kind) {
        self.outcomes[kind as usize].inc();
    }

    /// Outcomes so far, by kind.
    pub fn counts(&self) -> [u64; 4] {
        self.outcomes.each_ref().map(IntCounter::get)
    }

    /// The topic was closed for a while.
    pub fn closed(&self) {
        self.closures.inc();
        self.is_closed.set(1);
    }

    /// The topic is open again.
    pub fn opened(&self) {
        self.is_closed.set(0);
    }
}

impl Drop for TopicCounters {
    fn drop(&mut self) {
        // The lock is held to the end: a caller that looks the topic up now must not get counters that are being
        // removed.
        let mut users = self.metrics.users();
        let Some(count) = users.get_mut(&self.name) else {
            return;
        };
        *count -= 1;
        if *count > 0 {
            return;
        }
        users.remove(&self.name);
        for kind in Kind::ALL {
            // An error only means that the label was not there.
            let _ = self.metrics.records.remove_label_values(&[&*self.name, kind.as_str()]);
        }
        let _ = self.metrics.closures.remove_label_values(&[&*self.name]);
        let _ = self.metrics.closed.remove_label_values(&[&*self.name]);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::base::{metrics::Metrics, outcome::Kind};

    #[test]
    fn a_topic_that_is_gone_leaves_no_label_behind_and_one_that_is_back_counts_on() {
        let metrics = Metrics::new().expect("metrics");
        let shown = || String::from_utf8(metrics.render()).expect("text");
        let name: Arc<str> = Arc::from("passing");
        let first = metrics.topic(&name);
        first.count(Kind::Acked);
        first.closed();
        let second = metrics.topic(&name);
        drop(first);
        second.count(Kind::Acked);
        assert!(
            shown().contains("pointsman_records_total{outcome=\"acked\",topic=\"passing\"} 2"),
            "{}",
            shown()
        );
        drop(second);
        assert!(!shown().contains("passing"), "{}", shown());
        assert_eq!(metrics.topic(&name).counts(), [0; 4]);
    }
}
