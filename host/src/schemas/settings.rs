//! The registry of a configuration.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};
use pointsman_schemas::registry::{Auth, PrivateKey, Registry, Settings};

use crate::config::SchemaRegistry;

/// Gets ready to ask the registry that the configuration names. Its secrets are read; nobody is asked yet.
pub fn registry_of(config: &SchemaRegistry) -> anyhow::Result<Registry> {
    let auth = match (&config.user, &config.password_file, &config.token_file) {
        (Some(user), Some(file), _) => Auth::Basic {
            user: user.clone(),
            password: secret("password_file", file)?,
        },
        (_, _, Some(file)) => Auth::Bearer(secret("token_file", file)?),
        _ => Auth::None,
    };
    let identity = match (&config.certificate_file, &config.key_file) {
        (Some(certificate), Some(key)) => Some((
            read("certificate_file", certificate)?,
            PrivateKey(read("key_file", key)?),
        )),
        _ => None,
    };
    let ca_pem = match &config.ca_file {
        Some(file) => Some(read("ca_file", file)?),
        None => None,
    };
    let settings = Settings {
        urls: config.url.all().to_vec(),
        auth,
        ca_pem,
        identity,
        timeout: config.timeout(),
        refresh: config.refresh(),
        max_schema_bytes: config.max_schema_bytes,
        max_schemas: config.max_schemas,
    };
    Registry::new(settings).context("[schema_registry]")
}

fn read(key: &str, file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("schema_registry.{key}: {} cannot be read", file.display()))
}

fn secret(key: &str, file: &Path) -> anyhow::Result<String> {
    let text = String::from_utf8(read(key, file)?)
        .ok()
        .with_context(|| format!("schema_registry.{key}: {} is no text", file.display()))?;
    match text.trim() {
        "" => bail!("schema_registry.{key}: {} is empty", file.display()),
        secret => Ok(secret.to_owned()),
    }
}
