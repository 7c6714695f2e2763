//! The `[kafka.properties]` block: what a team wrote, made into what librdkafka takes.
//!
//! Teams paste the `producer.properties` of their Java producer, or write librdkafka's own names, or mix both. This
//! module is a pure function of that text. It reads downhill:
//!
//! 1. every key is looked up: Java's names in [`NAMES`], then librdkafka's (`librdkafka`), and its value is checked;
//! 2. keys that mean something only together are combined (`combined`, `sasl`, `tls`);
//! 3. what would break the promised order is refused (`ordering`).
//!
//! A setting that has two names in librdkafka comes out under the one that Java uses too (`linger.ms`, never
//! `queue.buffering.max.ms`), so that whoever reads the result has one name to look for. No default is added: that is
//! the host's part.

mod combined;
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

pub use names::{Entry, NAMES, Treatment, markdown_table};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// How much of a value or key an error shows: enough to recognise it, too little to flood a log.
const SHOWN_CHARS: usize = 80;

/// Properties that librdkafka takes, and what the host has to know besides.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Translated {
    /// By librdkafka's names, one name for each setting, ready for a `ClientConfig`. Broker addresses, when given here,
    /// stand under `bootstrap.servers`.
    pub properties: BTreeMap<String, String>,
    /// What was ignored, bounded or taken in a way that may surprise. Logged at start; never holds a secret's value.
    pub notes: Vec<String>,
    /// Java's `buffer.memory` in bytes: the bound of what the host admits.
    pub buffer_memory: Option<u64>,
    /// Java's `max.block.ms`: how long the host lets a request wait for admission.
    pub max_block_ms: Option<u64>,
}

/// Shows the properties with their secrets masked, so that a stray `{:?}` cannot leak one.
impl fmt::Debug for Translated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masked = |(key, value)| (key, if is_hidden(key, value) { "(hidden)" } else { value });
        let properties: BTreeMap<&str, &str> = self
            .properties
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .map(masked)
            .collect();
        f.debug_struct("Translated")
            .field("properties", &properties)
            .field("notes", &self.notes)
            .field("buffer_memory", &self.buffer_memory)
            .field("max_block_ms", &self.max_block_ms)
            .finish()
    }
}

/// `[kafka] ordering`: whether settings that break the order of records are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ordering {
    /// Order and idempotence are promised; a setting that would break them is an error.
    #[default]
    Strict,
    /// Nothing is promised; such settings pass.
    None,
}

/// A property that cannot be used, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {message}")]
pub struct PropertyError {
    /// The key as it was written.
    pub key: String,
    /// What is wrong and what to do; never holds a secret's value.
    pub message: String,
}

impl PropertyError {
    fn new(key: &str, message: impl Into<String>) -> Self {
        Self {
            key: shown(key),
            message: message.into(),
        }
    }
}

/// Checks the block and translates it to librdkafka's names.
///
/// Keys and values may carry white space around them. The first thing that cannot be used, in the order of the keys,
/// is the error.
pub fn translate(raw: &BTreeMap<String, String>, ordering: Ordering) -> Result<Translated, PropertyError> {
    let (translated, refused) = translate_all(raw, ordering);
    match refused.into_iter().next() {
        Some(first) => Err(first),
        None => Ok(translated),
    }
}

/// The same, with everything that cannot be used, and what is left without it. The keys come first, each by itself; then what they
/// mean together, as far as all of that can be used by itself.
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
    // One after the other is taken out, until the rest keeps the order.
    while let Err(error) = ordering::check(&mut draft, ordering) {
        let without = draft.forget(&error.key).unwrap_or_default();
        let is_time = |name: &str| ordering::TIMES.contains(&name);
        // Times are compared with each other, last: one that was refused says nothing of another.
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

/// Whether the value of this key, by Java's name or librdkafka's, must never be shown.
///
/// Also true of keys that nobody knows but that sound like a secret: a misspelt `sasl.pasword` holds one all the same.
/// False of `<key>_file`, whose value is a path.
pub fn is_secret(key: &str) -> bool {
    const EXACT: [&str; 5] = [
        "sasl.jaas.config",
        "sasl.oauthbearer.config",
        "ssl.key.pem",
        "ssl.keystore.key",
        "sasl.oauthbearer.assertion.private.key.pem",
    ];
    let key = key.trim().to_ascii_lowercase();
    if key.ends_with("_file") {
        return false;
    }
    EXACT.contains(&key.as_str())
        || ["password", "pasword", "passphrase", "secret"]
            .iter()
            .any(|word| key.contains(word))
}

/// Whether this value of this key must never be shown: it goes by a secret's name, or holds a private key.
pub fn is_hidden(key: &str, value: &str) -> bool {
    is_secret(key) || value.contains("PRIVATE KEY")
}

/// Keys and values as written, without the white space around them.
type Given<'a> = BTreeMap<&'a str, &'a str>;

/// What is refused is left away.
fn trimmed<'a>(raw: &'a BTreeMap<String, String>, refused: &mut Vec<PropertyError>) -> Given<'a> {
    let mut given = Given::new();
    for (key, value) in raw {
        let (key, value) = (key.trim(), value.trim());
        if given.get(key).is_some_and(|other| *other != value) {
            let twice = "is given twice with different values; keep one";
            refused.push(PropertyError::new(key, twice));
        } else if value.contains('\0') {
            // librdkafka takes C strings: what stands behind a NUL would silently be lost.
            refused.push(PropertyError::new(key, "holds a NUL byte; remove it"));
        } else {
            given.insert(key, value);
        }
    }
    given
}

/// The value of a key, where an empty one counts as not given.
fn value_of<'a>(given: &Given<'a>, key: &str) -> Option<&'a str> {
    given.get(key).copied().filter(|value| !value.is_empty())
}

/// Takes one key by itself; those that [`Treatment::Combined`] or [`Treatment::Host`] name wait for their step.
fn take(draft: &mut Draft, key: &str, value: &str) -> Result<(), PropertyError> {
    let Some(entry) = names::find(key) else {
        return take_librdkafka(draft, key, value);
    };
    match entry.treatment {
        // `Class=` with nothing behind it is how Java dumps an unset list of classes.
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

/// The translation under way.
#[derive(Default)]
struct Draft {
    out: Translated,
    /// By librdkafka's name: the key as written that set it, for errors that name what a person can find in the file.
    origin: BTreeMap<String, String>,
}

impl Draft {
    fn note(&mut self, note: String) {
        self.out.notes.push(note);
    }

    fn note_empty(&mut self, key: &str) {
        self.note(format!("`{key}` is empty: taken as not given"));
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.out.properties.get(name).map(String::as_str)
    }

    /// A whole number that was set; every number is checked when it is set.
    fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.parse().ok()
    }

    /// The key as written behind a property, or the property's own name.
    fn origin<'a>(&'a self, name: &'a str) -> &'a str {
        self.origin.get(name).map_or(name, String::as_str)
    }

    /// Takes out the property that this key, as written, has set, and says its name.
    fn forget(&mut self, key: &str) -> Option<String> {
        let name = self
            .out
            .properties
            .keys()
            .find(|name| self.origin(name) == key)?
            .clone();
        self.out.properties.remove(&name).map(|_| name)
    }

    /// Checks a value against librdkafka's property `name` and sets it.
    fn set(&mut self, name: &str, from: &str, value: &str) -> Result<(), PropertyError> {
        let Some(property) = librdkafka::find(name) else {
            // Each treatment names a known property; a test walks the table.
            return Err(PropertyError::new(from, format!("has no property `{name}` behind it")));
        };
        if value.is_empty() && property.kind.may_be_empty() {
            self.note_empty(from);
            return Ok(());
        }
        let checked = property.kind.check(value).map_err(|expected| {
            let value = if is_hidden(from, value) {
                "(hidden)".to_owned()
            } else {
                shown(value)
            };
            PropertyError::new(from, format!("is \"{value}\"; expected {expected}"))
        })?;
        if let Some(bound) = checked.bounded {
            let value = &checked.value;
            self.note(format!(
                "`{from}`: {value} is used, the {bound} that librdkafka can do here"
            ));
        }
        self.put(name, from, checked.value)
    }

    /// Sets a property whose value is known to be right.
    fn put(&mut self, name: &str, from: &str, value: String) -> Result<(), PropertyError> {
        if self.get(name).is_some_and(|other| other != value) {
            let other = self.origin(name);
            return Err(PropertyError::new(
                from,
                format!("is the same setting as `{other}`, which has a different value; keep one of the two"),
            ));
        }
        self.origin.entry(name.to_owned()).or_insert_with(|| from.to_owned());
        self.out.properties.insert(name.to_owned(), value);
        Ok(())
    }
}

/// What a person wrote, fit for one line of a log.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for char in text.chars().take(SHOWN_CHARS) {
        match char {
            '\'' | '"' | '\\' => shown.push(char),
            _ => shown.extend(char.escape_debug()),
        }
    }
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}
