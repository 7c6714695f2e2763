//! What is wrong with a configuration.

use super::source::{ConfigError, Source};

/// What is wrong with a file, in the order in which it is found.
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

    /// What went well, else nothing.
    pub(super) fn take<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|error| self.mistakes.push(error)).ok()
    }
}
