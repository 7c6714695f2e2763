//! How long an event lives, as its metadata says it.

use std::time::Duration;

/// The longest time that a duration of Go's can be: 292 years.
const LONGEST: Duration = Duration::from_nanos(i64::MAX as u64);

/// Reads a time to live: whole seconds from 1, or a duration as Go writes it, such as `1h30m`. None for anything else, as
/// Dapr has it (`TryGetTTL` in components-contrib's metadata/utils.go).
pub(super) fn read(text: &str) -> Option<Duration> {
    if let Some(duration) = duration(text) {
        return Some(duration);
    }
    let seconds: i64 = text.parse().ok()?;
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(seconds).min(LONGEST))
}

/// A duration in the notation of Go's `time.ParseDuration`; one before now is now.
fn duration(text: &str) -> Option<Duration> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = unsigned;
    let mut seconds = 0.0;
    loop {
        let is_digit = |char: char| char.is_ascii_digit() || char == '.';
        let (number, after) = rest.split_at(rest.find(|char| !is_digit(char))?);
        let (unit, after) = after.split_at(after.find(is_digit).unwrap_or(after.len()));
        let unit = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * unit;
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let duration = Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| *duration <= LONGEST)?;
    Some(if text.starts_with('-') {
        Duration::ZERO
    } else {
        duration
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_event_lives_as_long_as_it_would_with_dapr() {
        for (text, seconds) in [
            ("1", 1.0),
            ("60", 60.0),
            ("60s", 60.0),
            ("1h30m", 5_400.0),
            ("1.5h", 5_400.0),
            (".5s", 0.5),
            ("100ms", 0.1),
            ("0", 0.0),
            ("-5s", 0.0),
        ] {
            assert_eq!(read(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
        assert_eq!(read("9223372036854775807"), Some(LONGEST));
        for none in [
            "", "-1", "x", "1x", "s", "1.2.3s", "60 s", "1h30", "9999999h", "1e3s", "NaN", "infs",
        ] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_or_lives_for_ever(text in "[-+]?[0-9.]{0,25}[nuµmsh]{0,3}[0-9.]{0,3}[smh]?") {
            if let Some(duration) = read(&text) {
                prop_assert!(duration <= LONGEST);
            }
        }
    }
}
