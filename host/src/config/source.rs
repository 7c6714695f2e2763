//! The configuration file as text, so that every error can name its line.

use std::{
    collections::VecDeque,
    fmt, fs,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::{Config, shown::without_value};

/// The most characters of a message that are shown.
const MOST_SAID: usize = 1_000;

/// What is wrong with the configuration, and where. Its `Display` is one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize)]
pub struct ConfigError {
    /// The file, or the environment variable.
    pub origin: String,
    /// 1-based line in the file.
    pub line: Option<usize>,
    /// The key with its table, `limits.max_body_bytes`.
    pub key: Option<String>,
    /// What is wrong and what was expected.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        // A TOML message may span lines and quote the file. An operator searches for one line.
        let message = self.message.replace('\n', " ");
        match message.char_indices().nth(MOST_SAID) {
            Some((end, _)) => write!(f, ": {}…", &message[..end]),
            None => write!(f, ": {message}"),
        }
    }
}

/// The text and the path of the configuration file.
#[derive(Debug)]
pub struct Source {
    path: Option<PathBuf>,
    text: String,
}

impl Source {
    /// Reads the file. Without a path, the text is empty.
    pub fn read(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else {
            return Ok(Self {
                path: None,
                text: String::new(),
            });
        };
        match fs::read_to_string(path) {
            Ok(text) => Ok(Self {
                path: Some(path.to_owned()),
                text,
            }),
            Err(error) => Err(ConfigError {
                origin: path.display().to_string(),
                line: None,
                key: None,
                message: format!("cannot read the configuration file ({error}), expected a readable TOML file"),
            }),
        }
    }

    /// The text of the file.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The typed configuration.
    pub(super) fn parse(&self) -> Result<Config, ConfigError> {
        toml::from_str(&self.text).map_err(|error| self.toml_error(&error))
    }

    /// The file as a table, so that the environment can be laid over it.
    pub(super) fn table(&self) -> Result<toml::Table, ConfigError> {
        self.text.parse().map_err(|error| self.toml_error(&error))
    }

    /// An error about the key at `path`, with the line of the key or of the nearest table above it.
    pub(super) fn error(&self, path: &[&str], message: impl Into<String>) -> ConfigError {
        ConfigError {
            origin: self.origin(),
            line: self.line_of(path),
            key: Some(path.join(".")),
            message: message.into(),
        }
    }

    /// How messages name the file.
    pub(super) fn origin(&self) -> String {
        match &self.path {
            Some(path) => path.display().to_string(),
            None => "configuration (no file given: use --config or POINTSMAN_CONFIG)".to_owned(),
        }
    }

    /// An error from the TOML reader, without values that may be secrets.
    pub(super) fn toml_error(&self, error: &toml::de::Error) -> ConfigError {
        let start = error.span().map(|span| span.start);
        let key = start.and_then(|at| self.key_at(at));
        // Values for plugins, for the Kafka client and for the routing table's store may be secrets.
        let may_be_secret = |key: &String| {
            let secret = ["route", "kafka.properties", "routing"];
            secret.iter().any(|secret| key.starts_with(secret))
        };
        ConfigError {
            origin: self.origin(),
            line: start.map(|at| self.line_at(at)),
            message: match key.as_ref().is_none_or(may_be_secret) {
                true => without_value(error.message()),
                false => error.message().to_owned(),
            },
            key,
        }
    }

    fn line_at(&self, offset: usize) -> usize {
        let end = offset.min(self.text.len());
        self.text.as_bytes()[..end].iter().filter(|&&b| b == b'\n').count() + 1
    }

    /// The innermost key whose definition covers `offset`.
    fn key_at(&self, offset: usize) -> Option<String> {
        let root = DeTable::parse(&self.text).ok()?;
        let mut path = Vec::new();
        descend(root.get_ref(), offset, &mut path);
        (!path.is_empty()).then(|| path.join("."))
    }

    /// A path segment that is a number picks from an array of tables. A segment with dots may be written as nested
    /// tables.
    fn line_of(&self, path: &[&str]) -> Option<usize> {
        let root = DeTable::parse(&self.text).ok()?;
        let mut table = root.get_ref();
        let mut line = None;
        let mut segments: VecDeque<&str> = path.iter().copied().collect();
        while let Some(segment) = segments.pop_front() {
            let Some((key, value)) = table.get_key_value(segment) else {
                let Some((first, rest)) = segment.split_once('.') else {
                    break;
                };
                segments.push_front(rest);
                segments.push_front(first);
                continue;
            };
            line = Some(self.line_at(key.span().start));
            let mut value = value;
            if let DeValue::Array(items) = value.get_ref()
                && let Some(index) = segments.front().and_then(|next| next.parse::<usize>().ok())
            {
                segments.pop_front();
                value = items.get(index)?;
                line = Some(self.line_at(value.span().start));
            }
            match value.get_ref() {
                DeValue::Table(inner) => table = inner,
                _ => break,
            }
        }
        line
    }
}

fn descend(table: &DeTable<'_>, offset: usize, path: &mut Vec<String>) {
    for (key, value) in table.iter() {
        if key.span().contains(&offset) || value.span().contains(&offset) {
            path.push(key.get_ref().to_string());
            if let DeValue::Table(inner) = value.get_ref() {
                descend(inner, offset, path);
            }
            return;
        }
        // The span of a `[table]` is its header only, so its keys and values must be searched too.
        if let DeValue::Table(inner) = value.get_ref() {
            let before = path.len();
            path.push(key.get_ref().to_string());
            descend(inner, offset, path);
            if path.len() > before + 1 {
                return;
            }
            path.truncate(before);
        }
    }
}
