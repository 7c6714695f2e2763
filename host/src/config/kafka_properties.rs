//! Translates the `[kafka.properties]` block from what a team wrote to what librdkafka takes.
//!
//! A team may paste the `producer.properties` of its Java producer, write librdkafka's own names, or mix both. This
//! module is a pure function of that text. Its steps are:
//!
//! 1. Each key is looked up, first among Java's names in [`NAMES`], then among librdkafka's (`librdkafka`). Its value
//!    is checked.
//! 2. Keys that have a meaning only together are combined (`combined`, `sasl`, `tls`).
//! 3. Settings that would break the promised order are refused (`ordering`).
//!
//! If librdkafka has two names for a setting, the result has the name that Java uses too (`linger.ms`, never
//! `queue.buffering.max.ms`), so that a reader has only one name to look for. No default is added: the host does that.

mod combined;
mod draft;
mod jaas;
mod librdkafka;
mod names;
mod ordering;
mod pem;
mod sasl;
mod spelling;
mod tls;
mod unusable;

#[cfg(test)]
mod tests;

pub use draft::{Ordering, PropertyError, Translated, is_hidden, is_secret};
pub use names::{Entry, NAMES, Treatment, markdown_table};

use self::draft::{Draft, Given};
use std::collections::BTreeMap;

/// Checks the block and translates it to librdkafka's names.
///
/// Keys and values may have white space around them. The error is about the first key, in the order of the keys, that
/// cannot be used.
pub fn translate(raw: &BTreeMap<String, String>, ordering: Ordering) -> Result<Translated, PropertyError> {
    let (translated, refused) = translate_all(raw, ordering);
    match refused.into_iter().next() {
        Some(first) => Err(first),
        None => Ok(translated),
    }
}

/// Like [`translate`], but returns all errors, and the translation without the refused keys. First each key is checked
/// by itself. Then keys are checked together, if each of them passed by itself.
pub fn translate_all(raw: &BTreeMap<String, String>, ordering: Ordering) -> (Translated, Vec<PropertyError>) {
    let mut refused = Vec::new();
    let given = trimmed(raw, &mut refused);
    let mut draft = Draft::default();
    for (key, value) in &given {
        refused.extend(take(&mut draft, key, value).err());
    }
    refused.extend(combined::translate(&given, &mut draft));
    let by_themselves = refused.len();
    let is_refused = |family: &[&str]| {
        let mut keys = refused[..by_themselves].iter().map(|error| error.key.as_str());
        keys.any(|key| family.iter().any(|start| key.starts_with(start)))
    };
    let (without_sasl, without_tls) = (is_refused(&["sasl.", "security."]), is_refused(&["ssl."]));
    if !without_sasl {
        refused.extend(sasl::translate(&given, &mut draft).err());
    }
    if !without_tls {
        refused.extend(tls::translate(&given, &mut draft).err());
    }
    // Refused keys are taken out one after another, until the rest keeps the order.
    while let Err(error) = ordering::check(&mut draft, ordering) {
        let without = draft.forget(&error.key).unwrap_or_default();
        let is_time = |name: &str| ordering::TIMES.contains(&name);
        // Times are compared with each other, and last. A refused time says nothing about another time.
        let is_last = without.is_empty() || is_time(&without);
        if !is_time(&without) || !refused.iter().any(|earlier| is_time(&earlier.key)) {
            refused.push(error);
        }
        if is_last {
            break;
        }
    }
    (draft.out, refused)
}

/// Keys and values without white space around them, and without the refused keys.
fn trimmed<'a>(raw: &'a BTreeMap<String, String>, refused: &mut Vec<PropertyError>) -> Given<'a> {
    let mut given = Given::new();
    for (key, value) in raw {
        let (key, value) = (key.trim(), value.trim());
        if given.get(key).is_some_and(|other| *other != value) {
            let twice = "is given twice with different values; keep one";
            refused.push(PropertyError::new(key, twice));
        } else if value.contains('\0') {
            // librdkafka takes C strings: whatever follows a NUL would silently be lost.
            refused.push(PropertyError::new(key, "holds a NUL byte; remove it"));
        } else {
            given.insert(key, value);
        }
    }
    given
}

/// Takes one key by itself. Keys of [`Treatment::Combined`] or [`Treatment::Host`] wait for their step.
fn take(draft: &mut Draft, key: &str, value: &str) -> Result<(), PropertyError> {
    let Some(entry) = names::find(key) else {
        return take_librdkafka(draft, key, value);
    };
    match entry.treatment {
        // `Class=` with nothing behind it is how Java writes an unset list of classes.
        Treatment::Refused if value.is_empty() => draft.note_empty(key),
        Treatment::Refused => {
            return Err(PropertyError::new(
                key,
                format!("cannot be used: {}; remove it", entry.remark),
            ));
        }
        Treatment::Ignored => draft.note(format!("`{key}` is ignored: {}", entry.remark)),
        Treatment::Same => draft.set(key, key, value)?,
        Treatment::Renamed(name) => draft.set(name, key, value)?,
        Treatment::Combined(_) | Treatment::Host(_) => {}
    }
    Ok(())
}

fn take_librdkafka(draft: &mut Draft, key: &str, value: &str) -> Result<(), PropertyError> {
    let name = librdkafka::one_name(key);
    if librdkafka::find(name).is_some() {
        return draft.set(name, key, value);
    }
    if let Some(reason) = unusable::refusal(key) {
        return Err(PropertyError::new(key, format!("cannot be used: {reason}; remove it")));
    }
    if unusable::is_consumer_only(key) {
        return Err(PropertyError::new(
            key,
            "is a setting of consumers, and this is a producer; remove it",
        ));
    }
    Err(spelling::unknown(key))
}
