//! Compares what a shell printed with what a page shows.

use serde_json::Value;

/// Stands for anything.
const ANYTHING: char = '…';

/// All JSON values of a text, one after another.
pub(crate) fn json_values(text: &str) -> Result<Vec<Value>, serde_json::Error> {
    serde_json::Deserializer::from_str(text).into_iter().collect()
}

/// Compares a `json` block with what was printed.
pub(crate) fn same_json(shown: &str, printed: &str) -> bool {
    let (Ok(shown), Ok(printed)) = (json_values(shown), json_values(printed)) else {
        return false;
    };
    shown.len() == printed.len()
        && shown
            .iter()
            .zip(&printed)
            .all(|(shown, printed)| same_value(shown, printed))
}

fn same_value(shown: &Value, printed: &Value) -> bool {
    match (shown, printed) {
        (Value::String(shown), Value::String(printed)) => same_line(shown, printed),
        (Value::String(shown), _) => shown.chars().eq([ANYTHING]),
        (Value::Array(shown), Value::Array(printed)) => {
            shown.len() == printed.len()
                && shown
                    .iter()
                    .zip(printed)
                    .all(|(shown, printed)| same_value(shown, printed))
        }
        (Value::Object(shown), Value::Object(printed)) => {
            let same = |(key, shown): (&String, &Value)| {
                let printed = printed.get(key).unwrap_or(&Value::Null);
                // The time differs each time that a page is run.
                (key == "timestamp" && shown.is_number() && printed.is_number()) || same_value(shown, printed)
            };
            shown.keys().eq(printed.keys()) && shown.iter().all(same)
        }
        _ => shown == printed,
    }
}

/// Compares a `text` block with what was printed.
pub(crate) fn same_text(shown: &str, printed: &str) -> bool {
    let lines =
        |text: &str| -> Vec<String> { text.trim().lines().map(|line| without_times(line.trim_end())).collect() };
    same_lines(&lines(shown), &lines(printed))
}

fn same_lines(shown: &[String], printed: &[String]) -> bool {
    let Some((first, rest)) = shown.split_first() else {
        return printed.is_empty();
    };
    if first.trim().chars().eq([ANYTHING]) {
        return (0..=printed.len()).any(|skipped| same_lines(rest, &printed[skipped..]));
    }
    printed
        .split_first()
        .is_some_and(|(line, others)| same_line(first, line) && same_lines(rest, others))
}

/// Whether the parts between the `…` of a line come one after another in the other one, from its beginning to its end.
fn same_line(shown: &str, printed: &str) -> bool {
    let Some((first, rest)) = shown.split_once(ANYTHING) else {
        return shown == printed;
    };
    let Some(mut left) = printed.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split(ANYTHING).collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match left.split_once(part) {
            Some((_, after)) => left = after,
            None => return false,
        }
    }
    left.ends_with(last)
}

/// The line with each timestamp of an outcome replaced by the same word.
fn without_times(line: &str) -> String {
    let mut parts = line.split("\"timestamp\":");
    let mut same = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        same.push_str("\"timestamp\":T");
        same.push_str(part.trim_start_matches(|letter: char| letter.is_ascii_digit()));
    }
    same
}

#[test]
fn what_was_printed_is_not_taken_for_something_else() {
    assert!(same_text("a … c\n…\nz", "a b b c\nd\ne\nz\n"));
    assert!(same_text("{\"timestamp\":1}", "{\"timestamp\":22}"));
    for (shown, printed) in [
        ("a … c", "a b"),
        ("a\n…", "b"),
        ("a", "a\nb"),
        ("{\"offset\":1}", "{\"offset\":2}"),
    ] {
        assert!(!same_text(shown, printed), "{shown} is not {printed}");
    }
    assert!(same_json(
        "{\"a\":\"…\",\"timestamp\":1}",
        "{\"timestamp\":2, \"a\":[1]}"
    ));
    for (shown, printed) in [
        ("{\"a\":1}", "{\"a\":1,\"b\":2}"),
        ("[1]", "[1] [1]"),
        ("{\"a\":\"b…\"}", "{\"a\":\"c\"}"),
    ] {
        assert!(!same_json(shown, printed), "{shown} is not {printed}");
    }
}
