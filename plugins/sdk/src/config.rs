use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The configuration that the route gives its partitioner: `config = { … }` in the host's file. Without one it is empty.
///
/// ```
/// # use pointsman_plugin::Config;
/// #[derive(serde::Deserialize)]
/// #[serde(deny_unknown_fields)] // a misspelt key is refused instead of ignored
/// struct Settings {
///     header: String,
///     #[serde(default)]
///     strict: bool,
/// }
///
/// let config = Config::from_json(r#"{"header": "region"}"#).unwrap();
/// let settings: Settings = config.parse().unwrap();
/// assert_eq!((settings.header.as_str(), settings.strict), ("region", false));
///
/// let config = Config::from_json(r#"{"haeder": "region"}"#).unwrap();
/// assert!(config.parse::<Settings>().is_err_and(|message| message.contains("unknown field `haeder`")));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    root: Map<String, Value>,
}

impl Config {
    /// The configuration of a route that gives none.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Reads a configuration from JSON text, the form in which the host passes it. For tests: a partitioner gets its
    /// configuration from the host.
    ///
    /// # Errors
    ///
    /// When the text is not a JSON object.
    pub fn from_json(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::empty());
        }
        match serde_json::from_str(text) {
            Ok(Value::Object(root)) => Ok(Self { root }),
            Ok(_) => {
                Err("the route's config is not a table of keys and values; write it as `config = { … }`".to_owned())
            }
            Err(error) => Err(format!("the route's config did not arrive as JSON: {error}")),
        }
    }

    /// Turns the configuration into a type of the partitioner's own. Put `#[serde(deny_unknown_fields)]` on it.
    ///
    /// # Errors
    ///
    /// When a key is unknown, missing, or of the wrong type. The text names it and is fit to be returned as it is.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, String> {
        // From the tree, not from the text: a line and column of the JSON would mislead an author who wrote another
        // format.
        T::deserialize(Value::Object(self.root.clone()))
            .map_err(|error| format!("{error}; correct `config` in the partitioner's route"))
    }

    /// For a partitioner that has nothing to configure.
    ///
    /// # Errors
    ///
    /// When there is a key. The text names it and is fit to be returned as it is.
    pub fn expect_empty(&self) -> Result<(), String> {
        match self.root.keys().next() {
            None => Ok(()),
            Some(key) => Err(format!(
                "unknown field `{key}`, this partitioner has nothing to configure; remove `config` from its route"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        name: String,
    }

    #[test]
    fn no_text_and_an_empty_object_are_the_empty_config() {
        assert_eq!(Config::from_json("").unwrap(), Config::empty());
        assert_eq!(Config::from_json("{}").unwrap(), Config::empty());
        assert_eq!(Config::empty().expect_empty(), Ok(()));
    }

    #[test]
    fn what_is_not_an_object_is_refused() {
        assert!(Config::from_json("[1]").unwrap_err().contains("config = { … }"));
        assert!(Config::from_json("{").unwrap_err().contains("JSON"));
    }

    #[test]
    fn a_mistake_is_named_without_a_place_that_the_user_never_wrote() {
        let parse = |text| Config::from_json(text).unwrap().parse::<Settings>();
        assert_eq!(parse(r#"{"name": "a"}"#), Ok(Settings { name: "a".to_owned() }));
        for (text, expected) in [
            ("{}", "missing field `name`"),
            (r#"{"name": 3}"#, "invalid type: integer `3`, expected a string"),
            (r#"{"name": "a", "nmae": "b"}"#, "unknown field `nmae`, expected `name`"),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.starts_with(expected), "{message}");
            assert!(
                message.ends_with("; correct `config` in the partitioner's route"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_key_where_none_belongs_is_named() {
        let message = Config::from_json(r#"{"seed": 1}"#).unwrap().expect_empty().unwrap_err();
        assert!(message.contains("`seed`"), "{message}");
    }
}
