//! `[log] level`.

use tracing_subscriber::filter::{LevelFilter, Targets};

/// Reads `[log] level`; none if the text is not a level. A bare word must be a level: the filter would take it for a
/// target.
pub(crate) fn targets(level: &str) -> Option<Targets> {
    let bare = level.split(',').filter(|part| !part.contains('='));
    for word in bare {
        // For the filter, an empty text means "error".
        Some(word.trim())
            .filter(|word| !word.is_empty())?
            .parse::<LevelFilter>()
            .ok()?;
    }
    level.parse().ok()
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
