//! Registers the schemas of routes with `auto_register`.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use pointsman_schemas::{
    framing::SchemaId,
    registry::{Format, LookUp, Registry, Version},
};

/// Each topic of such a route has its own; with more of them, all are asked for again.
const MOST_SUBJECTS: usize = 10_000;

/// The versions that files have at the registry.
#[derive(Default)]
pub(super) struct AutoRegister {
    registered: Mutex<HashMap<(String, PathBuf), Arc<Version>>>,
}

/// The registry does not take a route's schema, since readers of older versions could not go on.
#[derive(Debug, thiserror::Error)]
#[error("schema_incompatible: {file} cannot become a version of subject \"{subject}\": {told}", file = file.display())]
pub struct Incompatible {
    file: PathBuf,
    subject: String,
    told: String,
}

impl Incompatible {
    pub(super) fn new(file: &Path, subject: String, told: String) -> Self {
        Self {
            file: file.to_owned(),
            subject,
            told,
        }
    }
}

impl AutoRegister {
    /// The version of a subject that holds this file's text, which is registered if it is not there.
    pub(super) async fn version(
        &self,
        registry: &Registry,
        subject: &str,
        format: Format,
        file: &Path,
    ) -> Result<Arc<Version>, LookUp> {
        let key = (subject.to_owned(), file.to_owned());
        let known = self.registered().get(&key).cloned();
        if let Some(version) = known {
            return Ok(version);
        }
        let text = fs::read_to_string(file)
            .map_err(|error| LookUp::Unavailable(format!("{} cannot be read: {error}", file.display())))?;
        let found = match registry.find(subject, format, &text, &[]).await {
            Err(LookUp::Unknown(_)) => {
                registry.register(subject, format, &text, &[]).await?;
                registry.find(subject, format, &text, &[]).await?
            }
            found => found?,
        };
        let version = Arc::new(Version {
            subject: subject.to_owned(),
            version: found.version,
            id: found.id,
            schema: registry.get(SchemaId::Number(found.id)).await?,
        });
        let mut registered = self.registered();
        if registered.len() >= MOST_SUBJECTS {
            registered.clear();
        }
        registered.insert(key, Arc::clone(&version));
        Ok(version)
    }

    fn registered(&self) -> std::sync::MutexGuard<'_, HashMap<(String, PathBuf), Arc<Version>>> {
        self.registered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
