//! The mistakes that are found in a configuration.

use super::source::{ConfigError, Source};

/// Mistakes in the order in which they are found.
pub(super) struct Findings<'s> {
    pub(super) source: &'s Source,
    pub(super) mistakes: Vec<ConfigError>,
}

impl<'s> Findings<'s> {
    pub(super) fn new(source: &'s Source) -> Self {
        Self {
            source,
            mistakes: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, path: &[&str], message: impl Into<String>) {
        self.mistakes.push(self.source.error(path, message));
    }

    /// The value if there is one; an error is kept as a mistake.
    pub(super) fn take<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|error| self.mistakes.push(error)).ok()
    }
}
