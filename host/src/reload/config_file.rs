//! The configuration file, which is read again because its routes can change while the process runs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::config::{Config, ConfigError, Loaded, Overrides};

/// Where the configuration came from, so that it can be read again in the same way.
#[derive(Debug, Clone, Default)]
pub struct ConfigFile {
    /// None: there is no file to look at.
    file: Option<PathBuf>,
    /// SHA-256 of the file before it was loaded, so that a change right after loading counts as a change.
    digest: Option<String>,
    /// The environment at the start.
    environment: Vec<(String, String)>,
    /// What the command line added.
    overrides: Overrides,
}

impl ConfigFile {
    /// Must be called before the configuration is loaded by [`ConfigFile::load`], because it takes the digest.
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

    /// Loads the configuration as it is now.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        Config::load(self.file.as_deref(), self.environment.iter().cloned(), &self.overrides)
    }

    /// See [`ConfigFile::new`].
    pub(super) fn digest(&self) -> Option<String> {
        self.digest.clone()
    }

    /// The path of the file.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

pub(super) fn digest_of(text: &[u8]) -> String {
    format!("{:x}", Sha256::digest(text))
}
