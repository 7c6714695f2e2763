//! Lines for the host's log, marked there with the partitioner's name. The host shortens long ones and limits how many
//! it writes: a line for each record is too many.
//!
//! In a test, lines go nowhere unless [`captured`] looks at them.
//!
//! With the SDK's feature `log`, the macros of the crate `log` write here, too, also in crates that a plugin uses:
//!
//! ```toml
//! pointsman-plugin = { path = "vendor/pointsman-plugin", features = ["log"] }
//! log = "0.4"
//! ```
//!
//! `trace!` is level [`Debug`](Level::Debug) here. For the crate `tracing` choose its feature `log`, which hands events to the crate
//! `log` as long as nothing else takes them; its spans are not told. `println!` and `eprintln!` write nowhere.

use std::fmt::Display;

/// How much a line matters to the operator of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For the partitioner's developer. Off by default.
    Debug,
    /// Normal and rare: what was configured.
    Info,
    /// Something is not as it should be, but records go on.
    Warn,
    /// Somebody must act.
    Error,
}

/// Writes a line of level [`Level::Debug`].
pub fn debug(message: impl Display) {
    write(Level::Debug, &message.to_string());
}

/// Writes a line of level [`Level::Info`].
pub fn info(message: impl Display) {
    write(Level::Info, &message.to_string());
}

/// Writes a line of level [`Level::Warn`].
pub fn warn(message: impl Display) {
    write(Level::Warn, &message.to_string());
}

/// Writes a line of level [`Level::Error`].
pub fn error(message: impl Display) {
    write(Level::Error, &message.to_string());
}

#[cfg(target_family = "wasm")]
fn write(level: Level, message: &str) {
    use crate::bindings::pointsman::partitioner::log;

    let level = match level {
        Level::Debug => log::Level::Debug,
        Level::Info => log::Level::Info,
        Level::Warn => log::Level::Warn,
        Level::Error => log::Level::Error,
    };
    log::log(level, message);
}

/// Takes the lines of the crate `log`.
#[cfg(feature = "log")]
pub(crate) mod facade {
    use super::Level;

    struct Facade;

    impl ::log::Log for Facade {
        // The host decides which levels it writes.
        fn enabled(&self, _: &::log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &::log::Record<'_>) {
            let level = match record.level() {
                ::log::Level::Error => Level::Error,
                ::log::Level::Warn => Level::Warn,
                ::log::Level::Info => Level::Info,
                ::log::Level::Debug | ::log::Level::Trace => Level::Debug,
            };
            super::write(level, &record.args().to_string());
        }

        fn flush(&self) {}
    }

    /// Runs once for each instance, before its first call.
    pub(crate) fn install() {
        // There is a logger already where tests share a process, or where a plugin has chosen its own.
        if ::log::set_logger(&Facade).is_ok() {
            ::log::set_max_level(::log::LevelFilter::Trace);
        }
    }
}

#[cfg(not(target_family = "wasm"))]
mod capture {
    use std::cell::RefCell;

    use super::Level;

    // Thread-local, because the test harness runs each test on a thread of its own.
    std::thread_local! {
        static LINES: RefCell<Option<Vec<(Level, String)>>> = const { RefCell::new(None) };
    }

    pub(super) fn write(level: Level, message: &str) {
        LINES.with_borrow_mut(|lines| {
            if let Some(lines) = lines {
                lines.push((level, message.to_owned()));
            }
        });
    }

    /// For tests: runs `work`, and returns its result and the lines that it wrote. Does not exist in a component.
    pub fn captured<T>(work: impl FnOnce() -> T) -> (T, Vec<(Level, String)>) {
        #[cfg(feature = "log")]
        super::facade::install();
        let outer = LINES.replace(Some(Vec::new()));
        let result = work();
        let lines = LINES.replace(outer).unwrap_or_default();
        (result, lines)
    }
}

#[cfg(not(target_family = "wasm"))]
use capture::write;

#[cfg(not(target_family = "wasm"))]
pub use capture::captured;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_nowhere_unless_captured() {
        info("lost");
        let ((), lines) = captured(|| {
            warn(format_args!("{} left", 3));
            error("gone");
        });
        assert_eq!(
            lines,
            [(Level::Warn, "3 left".to_owned()), (Level::Error, "gone".to_owned())]
        );
    }

    #[cfg(feature = "log")]
    #[test]
    fn lines_of_the_crate_log_go_the_same_way() {
        let ((), lines) = captured(|| {
            ::log::info!("{} here", 1);
            ::log::trace!("there");
        });
        assert_eq!(
            lines,
            [(Level::Info, "1 here".to_owned()), (Level::Debug, "there".to_owned())]
        );
    }
}
