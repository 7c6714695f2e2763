//! Structured logs on standard error: text for people, JSON for collectors.
//!
//! Levels say what an operator must do. ERROR: records are lost or somebody must act. WARN: it works, but not as
//! configured or not for long. INFO: what a person wants to see at start, at stop and when something changes. DEBUG: for
//! finding out why.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::config::{Log, LogFormat};

/// Reads `[log] level`; none when it is none. A bare word has to be a level: the filter itself would take it for a target.
pub fn targets(level: &str) -> Option<Targets> {
    let bare = level.split(',').filter(|part| !part.contains('='));
    for word in bare {
        // The parser itself takes no text for "error".
        Some(word.trim())
            .filter(|word| !word.is_empty())?
            .parse::<LevelFilter>()
            .ok()?;
    }
    level.parse().ok()
}

/// Starts logging for the process. A second call changes nothing.
pub fn init(log: &Log) {
    let filter = targets(&log.level).unwrap_or_else(|| Targets::new().with_default(tracing::Level::INFO));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(stderr);
    // An error means that a subscriber is there already.
    let _ = match log.format {
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        LogFormat::Text => registry.with(layer.with_ansi(stderr().is_terminal())).try_init(),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_does_not_silence_the_log() {
        for level in ["error", "warn", "info,plugin=debug", "librdkafka=trace,warn", "off"] {
            assert!(targets(level).is_some(), "{level}");
        }
        for level in ["loud", "", "info,plugin", "info;debug", "plugin=loud"] {
            assert!(targets(level).is_none(), "{level}");
        }
    }
}
