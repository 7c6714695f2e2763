//! How long requests to a broker take, and whether that makes it a far one.

use std::time::{Duration, Instant};

/// From here on a broker is far: several requests on their way are worth the CPU time of several clients.
const FAR: Duration = Duration::from_micros(400);
/// Below this, a far broker is near again.
const NEAR: Duration = Duration::from_micros(250);
/// For so long a short request is remembered.
const REMEMBERED: Duration = Duration::from_secs(5);
/// The shortest time of a request, of about the last ten seconds.
#[derive(Debug, Default)]
pub(super) struct Times {
    begun: Option<Instant>,
    /// In this period, and in the one before.
    now: Option<Duration>,
    before: Option<Duration>,
}

impl Times {
    /// Notes how long a request took that ended now.
    pub(super) fn add(&mut self, time: Duration, now: Instant) {
        if self.begun.is_none_or(|begun| now.duration_since(begun) > REMEMBERED) {
            self.begun = Some(now);
            self.before = self.now.take();
        }
        self.now = Some(self.now.map_or(time, |shortest| shortest.min(time)));
    }

    /// Whether the broker is far, if it was so until now.
    pub(super) fn are_far(&self, was: bool) -> bool {
        let shortest = self.now.into_iter().chain(self.before).min();
        shortest.map_or(was, |shortest| shortest >= if was { NEAR } else { FAR })
    }
}
