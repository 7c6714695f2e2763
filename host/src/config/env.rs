//! The environment over the file: `POINTSMAN_<TABLE>__<KEY>`.
//!
//! Only names with a double underscore are keys. Kubernetes adds variables such as `POINTSMAN_PORT` for a Service
//! called pointsman, and none of those has a double underscore.

use serde::Deserialize as _;

use super::{Config, ConfigError, Source, shown::without_value};

const PREFIX: &str = "POINTSMAN_";

/// Lays every `POINTSMAN_A__B=…` over the file's `[a] b`. A value is text if the key holds text, else a TOML value
/// (number, boolean, array).
pub(super) fn overlay(
    source: &Source,
    config: Config,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let keys = keys_of(environment);
    if keys.is_empty() {
        return Ok(config);
    }
    let mut refused = Vec::new();
    let config = overlay_all(source.table()?, config, keys, &mut refused);
    match refused.into_iter().next() {
        Some(first) => Err(first),
        None => Ok(config),
    }
}

/// A variable that sets a configuration key.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Variable {
    name: String,
    /// The key, with the tables above it.
    path: Vec<String>,
    value: String,
}

/// Picks those variables, in the order of their names.
pub(super) fn keys_of(environment: impl IntoIterator<Item = (String, String)>) -> Vec<Variable> {
    let mut keys: Vec<Variable> = environment
        .into_iter()
        .filter_map(|(name, value)| {
            Some(Variable {
                path: path_of(&name)?,
                name,
                value,
            })
        })
        .collect();
    keys.sort();
    keys
}

/// Lays the variables over the file's table. Variables that cannot be used are put into `refused`.
pub(super) fn overlay_all(
    mut table: toml::Table,
    mut config: Config,
    keys: Vec<Variable>,
    refused: &mut Vec<ConfigError>,
) -> Config {
    for Variable { name, path, value } in keys {
        let laid = match path[0].as_str() {
            "route" => Err(error(&name, "routes come from the file only")),
            _ => set(&table, &name, &path, &value),
        };
        match laid {
            Ok(next) => (table, config) = next,
            Err(error) => refused.push(error),
        }
    }
    config
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
    // The rest of the message says what was expected. The value is removed because a property may be a secret.
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
