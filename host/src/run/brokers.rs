//! Watches the brokers while the sidecar serves.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{pipeline::Pipeline, produce::Health};

/// How long one metadata request may take.
pub(super) const METADATA_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the sidecar looks for a broker while it knows of none.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// Keeps the view of topics fresh, and looks for a broker while the sidecar knows of none.
pub(super) async fn watch(pipeline: Arc<Pipeline>, refresh: Duration) {
    let mut refreshed = Instant::now();
    let mut looks = tokio::time::interval(PROBE_INTERVAL.min(refresh));
    loop {
        looks.tick().await;
        let due = refreshed.elapsed() >= refresh;
        let missing = pipeline.producer.health() != Health::Up;
        if !due && !missing {
            continue;
        }
        let asking = Arc::clone(&pipeline);
        let asked = tokio::task::spawn_blocking(move || {
            if missing {
                let topic = asking.topics.any_known();
                asking.producer.probe(topic.as_deref(), METADATA_TIMEOUT);
            }
            if due {
                asking.topics.refresh();
            }
        });
        let _ = asked.await;
        if due {
            refreshed = Instant::now();
        }
    }
}
