//! Finds out what an unknown key was meant to be.

use super::{
    draft::{PropertyError, is_secret},
    librdkafka, names,
};

/// Only the beginning of a longer key is compared: a comparison takes time in proportion to the product of both
/// lengths.
const COMPARED_CHARS: usize = 80;

/// The error for a key that neither Java nor librdkafka knows.
pub(super) fn unknown(key: &str) -> PropertyError {
    if let Some(base) = key.strip_suffix("_file") {
        return PropertyError::new(key, unknown_file(base));
    }
    match nearest(key) {
        Some(name) => PropertyError::new(
            key,
            format!("is neither a Java producer's nor librdkafka's; did you mean `{name}`?"),
        ),
        None => PropertyError::new(key, "is neither a Java producer's nor librdkafka's; remove it"),
    }
}

fn unknown_file(base: &str) -> String {
    match nearest(base) {
        Some(name) if is_secret(name) => format!("is not known; did you mean `{name}_file`?"),
        Some(name) => {
            format!("is not known: only secrets are read from files; did you mean `{name}`?")
        }
        None => "is not known: only secrets such as sasl.password are read from files; remove it".to_owned(),
    }
}

/// The nearest known name, if it is near.
fn nearest(key: &str) -> Option<&'static str> {
    // Spellings such as `bootstrap_servers`, `Spring-Style` and `spring.kafka.producer.acks` are frequent.
    let plain: String = key
        .to_ascii_lowercase()
        .replace(['_', '-'], ".")
        .chars()
        .take(COMPARED_CHARS)
        .collect();
    let known = || names::all_names().chain(librdkafka::all_names());
    let behind_prefix = known().filter(|name| plain.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')));
    if let Some(name) = behind_prefix.max_by_key(|name| name.len()) {
        return Some(name);
    }
    let (distance, name) = known().map(|name| (distance(&plain, name), name)).min()?;
    let near = (plain.len().min(name.len()) / 4).max(2);
    (distance <= near).then_some(name)
}

/// The Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
