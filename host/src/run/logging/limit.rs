//! Limits how often one place in the code may log. A client that connects, a broker that comes and goes, or a file that
//! changes can make a place log without end; but the log is for what happened, not for how often. So a place has
//! [`A_MINUTE`] lines a minute, and then one line that says how many more there were. DEBUG and TRACE are not limited:
//! an operator who turns them on wants all lines.

use std::{
    collections::HashMap,
    fmt::{Debug, Write as _},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tracing::{
    Event, Level, Subscriber,
    callsite::Identifier,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use super::line::Bounded;

/// Lines of one place in a minute.
const A_MINUTE: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);
/// How much is kept of the first line that was left out, bytes.
const TOLD_BYTES: usize = 200;
/// Targets without this limit: no client can cause their lines, or they have a limit of their own. They are plugins'
/// lines, a drain's report by topic, and the notes at start.
const FREE: [&str; 3] = ["plugin", "pointsman::run::drain", "pointsman::run"];

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Limit {
    /// As many as there are places in the code.
    sites: Mutex<HashMap<Identifier, Site>>,
    left_out: AtomicU64,
}

#[derive(Debug)]
struct Site {
    /// The minute in which this place's lines are being counted.
    begun: Instant,
    lines: u32,
    left_out: u64,
    /// The message of the first line that was left out.
    message: String,
    target: &'static str,
}

impl Limit {
    fn admit(&self, site: Identifier, target: &'static str, now: Instant, message: impl FnOnce() -> String) -> bool {
        let mut sites = self.sites();
        let site = sites.entry(site).or_insert_with(|| Site {
            begun: now,
            lines: 0,
            left_out: 0,
            message: String::new(),
            target,
        });
        if now.saturating_duration_since(site.begun) >= MINUTE && site.left_out == 0 {
            (site.begun, site.lines) = (now, 0);
        }
        if site.lines < A_MINUTE {
            site.lines += 1;
            return true;
        }
        if site.left_out == 0 {
            site.message = message();
        }
        site.left_out += 1;
        self.left_out.fetch_add(1, Ordering::Relaxed);
        false
    }

    /// How many lines were left out, for the places whose minute is over.
    fn over(&self, now: Instant, all: bool) -> Vec<LeftOut> {
        let mut sites = self.sites();
        let over = sites
            .values_mut()
            .filter(|site| site.left_out > 0 && (all || now.saturating_duration_since(site.begun) >= MINUTE));
        over.map(|site| {
            (site.begun, site.lines) = (now, 0);
            LeftOut {
                of: site.target,
                like: std::mem::take(&mut site.message),
                lines: std::mem::take(&mut site.left_out),
            }
        })
        .collect()
    }

    /// Logs how many lines were left out: for the places whose minute is over, or for all places.
    pub(super) fn tell(&self, all: bool) {
        for LeftOut { of, like, lines } in self.over(Instant::now(), all) {
            tracing::warn!(
                lines,
                of,
                like,
                "log lines were left out: one place logs {A_MINUTE} a minute at most"
            );
        }
    }

    /// Lines that were left out so far.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    // A std mutex: it is held for a look at a table.
    fn sites(&self) -> MutexGuard<'_, HashMap<Identifier, Site>> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lines of one place that were left out.
#[derive(Debug, PartialEq, Eq)]
struct LeftOut {
    /// The place's target.
    of: &'static str,
    /// The message of the first of them.
    like: String,
    lines: u64,
}

/// The layer that decides whether a line may pass.
pub(super) struct Limited(pub(super) Arc<Limit>);

impl<S: Subscriber> Layer<S> for Limited {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO || FREE.contains(&metadata.target()) {
            return true;
        }
        let message = || {
            let mut message = Message(String::new());
            event.record(&mut message);
            message.0
        };
        self.0
            .admit(metadata.callsite(), metadata.target(), Instant::now(), message)
    }
}

/// An event's message.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            let _ = write!(Bounded::new(&mut self.0, TOLD_BYTES), "{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::{fmt::MakeWriter, layer::SubscriberExt as _};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn one_place_cannot_fill_the_log_nor_silence_another() {
        let (lines, limit) = (Lines::default(), Arc::new(Limit::default()));
        let subscriber = tracing_subscriber::registry().with(Limited(Arc::clone(&limit))).with(
            tracing_subscriber::fmt::layer()
                .with_writer(lines.clone())
                .with_ansi(false),
        );
        tracing::subscriber::with_default(subscriber, || {
            for client in 0..10_000 {
                tracing::warn!(client, "refused");
            }
            for line in 0..100 {
                tracing::debug!(line, "for who wants it");
                tracing::info!(target: "plugin", line, "has its own limit");
            }
            tracing::warn!("another place");
            limit.tell(false);
            limit.tell(true);
            limit.tell(true);
        });
        let text = String::from_utf8(lines.0.lock().expect("no panic").clone()).expect("text");
        let of = |what: &str| text.lines().filter(|line| line.contains(what)).count();
        assert_eq!(of(" refused"), A_MINUTE as usize);
        assert_eq!(
            (of("for who wants it"), of("has its own limit"), of("another place")),
            (100, 100, 1)
        );
        assert_eq!(of("lines=9940"), 1, "{text}");
        assert_eq!(limit.left_out(), 9_940);
    }

    #[test]
    fn a_place_may_log_again_when_its_minute_is_over() {
        let limit = Limit::default();
        let site = {
            struct Nothing;
            impl tracing::Callsite for Nothing {
                fn set_interest(&self, _: tracing::subscriber::Interest) {}
                fn metadata(&self) -> &tracing::Metadata<'_> {
                    unreachable!("nobody asks")
                }
            }
            static NOTHING: Nothing = Nothing;
            Identifier(&NOTHING)
        };
        let begun = Instant::now();
        let admitted = |now: Instant, lines: u32| {
            let admit = |_: &u32| limit.admit(site.clone(), "t", now, || "m".to_owned());
            (0..lines).filter(admit).count()
        };
        assert_eq!(admitted(begun, 100), 60);
        assert_eq!(limit.over(begun + Duration::from_secs(59), false), []);
        assert_eq!(admitted(begun + MINUTE, 5), 0, "not before it was told");
        assert_eq!(
            limit.over(begun + MINUTE, false),
            [LeftOut {
                of: "t",
                like: "m".to_owned(),
                lines: 45
            }]
        );
        assert_eq!(admitted(begun + MINUTE, 100), 60);
        assert_eq!(limit.over(begun + MINUTE, true).len(), 1);
        assert_eq!(admitted(begun + 3 * MINUTE, 60), 60);
        assert_eq!(admitted(begun + 4 * MINUTE, 60), 60);
    }
}
