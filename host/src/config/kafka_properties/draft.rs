//! Properties while they are translated to librdkafka's names.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::librdkafka;

/// How much of a value or key an error shows: enough to recognise it, and too little to flood a log.
const SHOWN_CHARS: usize = 80;

/// `[kafka] ordering`: whether settings that break the order of records are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ordering {
    /// Order and idempotence are promised. A setting that would break them is an error.
    #[default]
    Strict,
    /// Nothing is promised. Such settings pass.
    None,
}

/// A property that cannot be used, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {message}")]
pub struct PropertyError {
    /// The key as it was written.
    pub key: String,
    /// What is wrong and what to do. Never holds a secret's value.
    pub message: String,
}

impl PropertyError {
    pub(super) fn new(key: &str, message: impl Into<String>) -> Self {
        Self {
            key: shown(key),
            message: message.into(),
        }
    }
}

/// Keys and values as written, without white space around them.
pub(super) type Given<'a> = BTreeMap<&'a str, &'a str>;

/// A translation that is not complete yet.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) out: Translated,
    /// For each property: the key, as written, that set it. Errors name that key, since a person can find it in the
    /// file.
    origin: BTreeMap<String, String>,
}

impl Draft {
    pub(super) fn note(&mut self, note: String) {
        self.out.notes.push(note);
    }

    pub(super) fn note_empty(&mut self, key: &str) {
        self.note(format!("`{key}` is empty: taken as not given"));
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.out.properties.get(name).map(String::as_str)
    }

    /// A number that was set. It is a whole number, since every value is checked when it is set.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.parse().ok()
    }

    /// The key, as written, that set the property; else the property's own name.
    pub(super) fn origin<'a>(&'a self, name: &'a str) -> &'a str {
        self.origin.get(name).map_or(name, String::as_str)
    }

    /// Removes the property that this key, as written, has set, and returns the property's name.
    pub(super) fn forget(&mut self, key: &str) -> Option<String> {
        let name = self
            .out
            .properties
            .keys()
            .find(|name| self.origin(name) == key)?
            .clone();
        self.out.properties.remove(&name).map(|_| name)
    }

    /// Checks a value against librdkafka's property `name` and sets it.
    pub(super) fn set(&mut self, name: &str, from: &str, value: &str) -> Result<(), PropertyError> {
        let Some(property) = librdkafka::find(name) else {
            // Never happens: each treatment names a known property, and a test checks the table.
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

    /// Sets a property whose value is already checked.
    pub(super) fn put(&mut self, name: &str, from: &str, value: String) -> Result<(), PropertyError> {
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

/// The value of a key. An empty value counts as not given.
pub(super) fn value_of<'a>(given: &Given<'a>, key: &str) -> Option<&'a str> {
    given.get(key).copied().filter(|value| !value.is_empty())
}

/// A text that a person wrote, fit for one line of a log.
pub(super) fn shown(text: &str) -> String {
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

/// Whether the value of this key, by Java's name or librdkafka's, must never be shown.
///
/// True also for unknown keys that sound like a secret: a misspelt `sasl.pasword` still holds one. False for
/// `<key>_file`, whose value is a path.
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

/// Whether this value of this key must never be shown: the key is a secret's name, or the value holds a private key.
pub fn is_hidden(key: &str, value: &str) -> bool {
    is_secret(key) || value.contains("PRIVATE KEY")
}

/// Properties that librdkafka takes, and settings for the host.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Translated {
    /// The properties under librdkafka's names, one name for each setting, ready for a `ClientConfig`. Broker
    /// addresses, if given here, are under `bootstrap.servers`.
    pub properties: BTreeMap<String, String>,
    /// What was ignored, bounded or taken in a surprising way. Logged at start; never holds a secret's value.
    pub notes: Vec<String>,
    /// Java's `buffer.memory` in bytes: the limit on what the host admits.
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
