//! The environment over the file: `POINTSMAN_<TABLE>__<KEY>`.
//!
//! Only names with a double underscore are keys. Kubernetes injects `POINTSMAN_PORT` and its like for a Service
//! called pointsman, and none of those has one.

use serde::Deserialize as _;

use super::{Config, ConfigError, Source, shown::without_value};

const PREFIX: &str = "POINTSMAN_";

/// Lays every `POINTSMAN_A__B=…` over the file's `[a] b`. A value is taken as text where the key holds text, else as
/// a TOML value (number, boolean, array).
pub(super) fn overlay(
    source: &Source,
    config: Config,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let mut keys: Vec<(String, Vec<String>, String)> = environment
        .into_iter()
        .filter_map(|(name, value)| Some((name.clone(), path_of(&name)?, value)))
        .collect();
    if keys.is_empty() {
        return Ok(config);
    }
    keys.sort();
    let mut table = source.table()?;
    let mut config = config;
    for (name, path, value) in keys {
        if path[0] == "route" {
            return Err(error(&name, "routes come from the file only"));
        }
        (table, config) = set(&table, &name, &path, &value)?;
    }
    Ok(config)
}

fn path_of(name: &str) -> Option<Vec<String>> {
    let rest = name.strip_prefix(PREFIX)?;
    let (table, key) = rest.split_once("__")?;
    Some(vec![table.to_lowercase(), key.to_lowercase()])
}

fn set(table: &toml::Table, name: &str, path: &[String], value: &str) -> Result<(toml::Table, Config), ConfigError> {
    let text = toml::Value::String(value.to_owned());
    let typed = format!("v = {value}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut table| table.remove("v"));
    let mut first_error = None;
    for candidate in typed.into_iter().chain([text]) {
        let mut next = table.clone();
        let entry = next
            .entry(path[0].clone())
            .or_insert_with(|| toml::Value::Table(toml::Table::new()));
        let Some(inner) = entry.as_table_mut() else {
            return Err(error(name, format!("\"{}\" is not a table", path[0])));
        };
        inner.insert(path[1].clone(), candidate);
        match Config::deserialize(next.clone()) {
            Ok(config) => return Ok((next, config)),
            Err(problem) => first_error = first_error.or(Some(problem)),
        }
    }
    let message = first_error
        .map(|problem| problem.message().to_owned())
        .unwrap_or_default();
    // The rest of the message says what was expected; a property may be a secret.
    let message = match path[0].as_str() {
        "kafka" => without_value(&message),
        _ => message,
    };
    Err(ConfigError {
        origin: format!("environment variable {name}"),
        line: None,
        key: Some(path.join(".")),
        message,
    })
}

fn error(name: &str, message: impl Into<String>) -> ConfigError {
    ConfigError {
        origin: format!("environment variable {name}"),
        line: None,
        key: None,
        message: message.into(),
    }
}
