//! The configuration file, looked at again: its routes can change while the process runs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::config::{Config, ConfigError, Loaded, Overrides};

/// Where the configuration came from, to read it again the same way.
#[derive(Debug, Clone, Default)]
pub struct ConfigFile {
    /// None: there is no file, and nothing to look at.
    file: Option<PathBuf>,
    /// SHA-256 of what it held before it was loaded: a change right after that is a change.
    digest: Option<String>,
    /// The environment at the start.
    environment: Vec<(String, String)>,
    /// What the command line added.
    overrides: Overrides,
}

impl ConfigFile {
    /// To be made before the configuration is loaded, by [`ConfigFile::load`].
    pub fn new(file: Option<PathBuf>, environment: Vec<(String, String)>, overrides: Overrides) -> Self {
        Self {
            digest: file
                .as_deref()
                .and_then(|file| fs::read(file).ok())
                .map(|text| digest_of(&text)),
            file,
            environment,
            overrides,
        }
    }

    /// The configuration as it is now.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        Config::load(self.file.as_deref(), self.environment.iter().cloned(), &self.overrides)
    }

    /// See [`ConfigFile::new`].
    pub(super) fn digest(&self) -> Option<String> {
        self.digest.clone()
    }

    /// Its path.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

pub(super) fn digest_of(text: &[u8]) -> String {
    format!("{:x}", Sha256::digest(text))
}
