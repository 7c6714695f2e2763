//! `[log] level`.

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::findings::Findings;

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

/// Checks `log.level`.
pub(super) fn check(level: &str, found: &mut Findings<'_>) {
    if targets(level).is_none() {
        found.add(
            &["log", "level"],
            format!(
                "\"{level}\" is not a log level, expected error, warn, info, debug, trace, or target=level pairs after commas"
            ),
        );
    }
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
