//! `[[route]]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schemas::PartSchema;

/// `[[route]]`: which plugin decides for which topics.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Globs (`*`, `?`, `[a-z]`, `{a,b}`) over topic names.
    pub topics: Vec<String>,
    /// `<dir>/<plugin>.wasm`. Absent: the host's own key-hash, which picks as Java's default partitioner does.
    pub plugin: Option<String>,
    /// Handed to the plugin's `configure` as JSON. Default `{}`.
    #[serde(default)]
    pub config: serde_json::Map<String, serde_json::Value>,
    /// What a record gets when the plugin traps or runs over a limit. Default `reject`.
    #[serde(default)]
    pub on_error: OnError,
    /// SHA-256 that the plugin's file must have, 64 hexadecimal digits. Default: none.
    pub sha256: Option<String>,
    /// A candidate plugin that decides too. Its decisions are compared and never used. Default: none.
    pub shadow: Option<Shadow>,
    /// The schema that records' keys follow. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PartSchema>,
    /// The schema that records' values follow. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<PartSchema>,
}

/// `shadow = { … }` of a route.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shadow {
    /// `<dir>/<plugin>.wasm`.
    pub plugin: String,
    /// The share of the route's records that the candidate gets, above 0 and up to 1.
    pub share: f64,
    /// The candidate's config. Default: the route's.
    pub config: Option<serde_json::Map<String, serde_json::Value>>,
}

impl Route {
    /// Every topic by the host's own key-hash. Used if no route is configured.
    pub fn everything() -> Self {
        Self {
            topics: vec!["*".to_owned()],
            plugin: None,
            config: serde_json::Map::new(),
            on_error: OnError::Reject,
            sha256: None,
            shadow: None,
            key: None,
            value: None,
        }
    }

    /// Whether its records' keys or values follow a schema.
    pub fn has_schemas(&self) -> bool {
        self.key.is_some() || self.value.is_some()
    }

    /// Its schemas, by their keys.
    pub(super) fn parts(&self) -> [(&'static str, &Option<PartSchema>); 2] {
        [("key", &self.key), ("value", &self.value)]
    }

    /// The plugins that the route names, including its shadow.
    pub fn plugins(&self) -> impl Iterator<Item = &str> {
        let shadow = self.shadow.as_ref().map(|shadow| shadow.plugin.as_str());
        self.plugin.as_deref().into_iter().chain(shadow)
    }
}

/// What a record gets when its plugin cannot decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// The record is rejected, and its error says why.
    #[default]
    Reject,
    /// The host's own key-hash decides.
    KeyHash,
}
