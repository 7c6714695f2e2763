//! How long the whole producer pauses because of one topic's trouble.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use prometheus::Histogram;

/// A time in which the producer answers no request.
#[derive(Debug)]
pub struct Pause {
    pub(super) seconds: Histogram,
    is_on: AtomicBool,
    since: Mutex<Option<Instant>>,
}

impl Pause {
    pub(super) fn new(seconds: Histogram) -> Self {
        Self {
            seconds,
            is_on: AtomicBool::new(false),
            since: Mutex::default(),
        }
    }

    /// Begins the pause, unless it has begun.
    pub fn begin(&self) {
        self.since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(Instant::now);
        self.is_on.store(true, Ordering::Relaxed);
    }

    /// Ends the pause, if there is one. Called for every acknowledgement, so it costs nothing without a pause.
    pub(super) fn end(&self) {
        if self.is_on.load(Ordering::Relaxed) && self.is_on.swap(false, Ordering::Relaxed) {
            let since = self.since.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(since) = since {
                self.seconds.observe(since.elapsed().as_secs_f64());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::base::{metrics::Metrics, outcome::Kind};

    #[test]
    fn a_pause_ends_with_the_first_acknowledgement_and_is_counted_once() {
        let metrics = Metrics::new().expect("metrics");
        let counted = || metrics.pause.seconds.get_sample_count();
        metrics.delivered(Kind::Acked);
        assert_eq!(counted(), 0, "nothing has paused");
        metrics.pause.begin();
        metrics.pause.begin();
        metrics.delivered(Kind::Failed);
        assert_eq!(counted(), 0, "nobody was acknowledged");
        metrics.delivered(Kind::Acked);
        metrics.delivered(Kind::Acked);
        assert_eq!(counted(), 1);
    }
}
