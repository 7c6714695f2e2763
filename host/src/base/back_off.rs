//! Leaves something that keeps failing alone for a while, because each failure costs others something: a plugin's trap
//! costs an instance and the time until the trap, and a topic that the brokers refuse pauses the whole producer.
//!
//! [`Suspension`] counts failures. Too many failures within a window suspend. When the pause is over, one try is let
//! through: if it fails, the pause doubles; if it succeeds, the suspension ends.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// When to suspend, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct SuspendLimits {
    /// Failures within `window` that suspend.
    pub failures: usize,
    /// The time in which `failures` are counted. If a suspension ended longer ago than this, pauses begin with `first`.
    pub window: Duration,
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

/// Whether a try may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    /// A try may be made.
    Open,
    /// This caller may try, and must report the result. Other callers wait for that.
    Probe,
    /// No try may be made for this long.
    Suspended(Duration),
}

/// What a failure led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureEffect {
    /// No new suspension.
    Noted,
    /// Suspended from now on.
    Suspended {
        /// How long it lasts.
        pause: Duration,
        /// Whether there was no suspension until now, so that a caller that counts suspensions counts each once.
        was_open: bool,
    },
}

/// The failures of one plugin with one config, or of one topic.
#[derive(Debug)]
pub(crate) struct Suspension {
    limits: SuspendLimits,
    begun: Instant,
    /// End of the suspension, in milliseconds since `begun`; 0: not suspended. While all is well, this read is the only
    /// cost.
    until_ms: AtomicU64,
    failures: Mutex<Failures>,
}

#[derive(Debug, Default)]
struct Failures {
    /// The time of each failure, and how often the failure counts.
    recent: VecDeque<(Instant, usize)>,
    /// How often the pause has doubled.
    doublings: u32,
    resumed: Option<Instant>,
}

impl Suspension {
    pub(crate) fn new(limits: SuspendLimits, now: Instant) -> Self {
        Self {
            limits,
            begun: now,
            until_ms: AtomicU64::new(0),
            failures: Mutex::default(),
        }
    }

    /// How long nothing is admitted from now on. None if something is admitted, perhaps as a probe.
    pub(crate) fn pause_left(&self, now: impl FnOnce() -> Instant) -> Option<Duration> {
        let until = self.until_ms.load(Ordering::Relaxed);
        if until == 0 {
            return None;
        }
        let left = until.saturating_sub(self.ms(now()));
        (left > 0).then(|| Duration::from_millis(left))
    }

    /// Whether a try may be made. Reads the clock only while suspended.
    pub(crate) fn admit(&self, now: impl FnOnce() -> Instant) -> Permission {
        let until = self.until_ms.load(Ordering::Relaxed);
        if until == 0 {
            return Permission::Open;
        }
        let now = now();
        let now_ms = self.ms(now);
        if now_ms < until {
            return Permission::Suspended(Duration::from_millis(until - now_ms));
        }
        // The caller that moves the end may probe. If it never reports, another caller may probe after another pause.
        let pause = self.pause(self.lock().doublings);
        let next = self.ms(now + pause);
        match self
            .until_ms
            .compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed)
        {
            Ok(_) => Permission::Probe,
            Err(_) => Permission::Suspended(pause),
        }
    }

    pub(crate) fn is_suspended(&self) -> bool {
        self.until_ms.load(Ordering::Relaxed) != 0
    }

    /// Notes that a try failed. `weight` says how often the failure counts, at least once.
    pub(crate) fn failed(&self, probe: bool, weight: usize, now: Instant) -> FailureEffect {
        let mut failures = self.lock();
        if probe {
            failures.doublings += 1;
            return self.suspend(&mut failures, now);
        }
        // A call that began before the suspension does not prolong it.
        if self.is_suspended() {
            return FailureEffect::Noted;
        }
        failures.recent.push_back((now, weight));
        while failures
            .recent
            .front()
            .is_some_and(|(first, _)| now - *first > self.limits.window)
        {
            failures.recent.pop_front();
        }
        let counted = failures
            .recent
            .iter()
            .fold(0_usize, |sum, (_, weight)| sum.saturating_add(*weight));
        if counted < self.limits.failures {
            return FailureEffect::Noted;
        }
        failures.doublings = match failures.resumed {
            Some(resumed) if now - resumed <= self.limits.window => failures.doublings + 1,
            _ => 0,
        };
        self.suspend(&mut failures, now)
    }

    /// Notes that the probe succeeded. False if an earlier probe, which took longer than its pause, had succeeded
    /// already.
    pub(crate) fn resume(&self, now: Instant) -> bool {
        let mut failures = self.lock();
        failures.resumed = Some(now);
        self.until_ms.swap(0, Ordering::Relaxed) != 0
    }

    fn suspend(&self, failures: &mut Failures, now: Instant) -> FailureEffect {
        failures.recent.clear();
        let pause = self.pause(failures.doublings);
        let before = self.until_ms.swap(self.ms(now + pause), Ordering::Relaxed);
        FailureEffect::Suspended {
            pause,
            was_open: before == 0,
        }
    }

    fn pause(&self, doublings: u32) -> Duration {
        let factor = 1_u32.checked_shl(doublings.min(16)).unwrap_or(u32::MAX);
        self.limits.first.saturating_mul(factor).min(self.limits.longest)
    }

    /// Never 0, which means "not suspended".
    fn ms(&self, moment: Instant) -> u64 {
        moment.saturating_duration_since(self.begun).as_millis() as u64 + 1
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SuspendLimits = SuspendLimits {
        failures: 3,
        window: Duration::from_secs(10),
        first: Duration::from_secs(1),
        longest: Duration::from_secs(3),
    };

    fn suspended(seconds: u64, was_open: bool) -> FailureEffect {
        FailureEffect::Suspended {
            pause: Duration::from_secs(seconds),
            was_open,
        }
    }

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn failures_that_are_far_apart_do_not_suspend() {
        let start = Instant::now();
        let suspension = Suspension::new(LIMITS, start);
        for second in [0, 6, 12, 18, 24] {
            assert_eq!(suspension.failed(false, 1, at(start, second)), FailureEffect::Noted);
        }
        assert_eq!(suspension.admit(|| at(start, 24)), Permission::Open);
        let verdict = suspension.failed(false, 1, at(start, 24));
        assert_eq!(verdict, suspended(1, true), "three since 14");
    }

    #[test]
    fn one_call_at_a_time_finds_out_whether_it_is_well_again() {
        let start = Instant::now();
        let suspension = Suspension::new(LIMITS, start);
        for _ in 0..3 {
            suspension.failed(false, 1, start);
        }
        let admitted = |second| suspension.admit(|| at(start, second));
        assert!(matches!(admitted(0), Permission::Suspended(_)));
        assert_eq!(admitted(1), Permission::Probe);
        assert!(matches!(admitted(1), Permission::Suspended(_)), "one probe at a time");
        // A probe that never reports does not suspend for ever.
        assert_eq!(admitted(2), Permission::Probe);
        let doubled = suspension.failed(true, 1, at(start, 2));
        assert_eq!(doubled, suspended(2, false));
        assert_eq!(admitted(4), Permission::Probe);
        let longest = suspension.failed(true, 1, at(start, 4));
        assert_eq!(longest, suspended(3, false), "and no longer than that");
        assert_eq!(admitted(7), Permission::Probe);
        suspension.resume(at(start, 7));
        assert_eq!(admitted(7), Permission::Open);
    }

    #[test]
    fn a_failure_that_costs_as_much_as_three_counts_as_three() {
        let start = Instant::now();
        let suspension = Suspension::new(LIMITS, start);
        assert_eq!(suspension.failed(false, 2, start), FailureEffect::Noted);
        assert_eq!(suspension.failed(false, 1, start), suspended(1, true));
        let suspension = Suspension::new(LIMITS, start);
        assert_eq!(suspension.failed(false, 3, start), suspended(1, true));
    }

    #[test]
    fn two_probes_that_both_took_their_time_open_it_once() {
        let start = Instant::now();
        let suspension = Suspension::new(LIMITS, start);
        for _ in 0..3 {
            suspension.failed(false, 1, start);
        }
        // The second probe is let through because the first has not reported yet.
        for second in [1, 2] {
            assert_eq!(suspension.admit(|| at(start, second)), Permission::Probe);
        }
        assert!(suspension.resume(at(start, 3)), "by the first");
        assert!(!suspension.resume(at(start, 3)), "it is open already");
        assert_eq!(suspension.failed(true, 1, at(start, 4)), suspended(2, true));
    }

    #[test]
    fn one_that_fails_again_soon_waits_longer_and_one_that_went_well_for_long_does_not() {
        let start = Instant::now();
        let suspension = Suspension::new(LIMITS, start);
        let fail = |second| {
            suspension.failed(false, 1, at(start, second));
            suspension.failed(false, 1, at(start, second));
            suspension.failed(false, 1, at(start, second))
        };
        assert_eq!(fail(0), suspended(1, true));
        suspension.resume(at(start, 1));
        assert_eq!(fail(2), suspended(2, true));
        suspension.resume(at(start, 4));
        assert_eq!(fail(60), suspended(1, true));
    }
}
