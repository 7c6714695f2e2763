//! Ends a round of [`crate::observe`] each second.

use std::{
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};

use crate::pipeline::Pipeline;

const ROUND: Duration = Duration::from_secs(1);

/// Gathers until the pipeline is gone.
pub(super) fn run(pipeline: &Weak<Pipeline>) {
    loop {
        thread::sleep(ROUND);
        let Some(pipeline) = pipeline.upgrade() else {
            return;
        };
        gather(&pipeline, Instant::now());
    }
}

fn gather(pipeline: &Pipeline, now: Instant) {
    let Some(observer) = &pipeline.observer else {
        return;
    };
    let table = pipeline.tenants.table();
    let topics = table.iter().flat_map(|table| table.topics()).filter_map(|topic| {
        let partitions = pipeline.topics.partitions(topic.name())?;
        Some((Arc::clone(topic.name()), partitions))
    });
    observer.gather(topics.collect(), &pipeline.metrics, now);
}
