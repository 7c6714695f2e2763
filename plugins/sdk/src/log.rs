//! Lines for the host's log, marked there with the partitioner's name. The host shortens long ones and limits how many
//! it writes: a line for each record is too many.
//!
//! In a test, lines go nowhere unless [`captured`] looks at them.

use std::fmt::Display;

/// How much a line matters to the operator of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For whoever develops the partitioner. Off by default.
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

#[cfg(not(target_family = "wasm"))]
mod capture {
    use std::cell::RefCell;

    use super::Level;

    // Of the thread, because the test harness runs each test on a thread of its own.
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

    /// For tests: runs `work`, and gives back the lines that it wrote beside its result. Not there in a component.
    pub fn captured<T>(work: impl FnOnce() -> T) -> (T, Vec<(Level, String)>) {
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
}
