//! Which store is meant.

use std::{fmt, path::PathBuf, str::FromStr};

use pointsman_routing::rules;

/// Schemes, as messages list them.
const SCHEMES: &str = "file:PATH or kafka:TOPIC";

/// A store's URL. Shown without a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Url {
    /// `file:PATH`
    File(PathBuf),
    /// `kafka:TOPIC`
    Kafka(String),
}

/// A text is no store's URL. The message never repeats a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(String);

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        match text.split_once(':') {
            Some(("file", path)) => {
                // `file:///path` and `file:path` are the same thing to most people.
                let path = match path.strip_prefix("//") {
                    Some(path) if path.starts_with('/') => path,
                    Some(host) => {
                        let host = host.split('/').next().unwrap_or_default();
                        return Err(UrlError(format!(
                            "file://{} names a machine; write file:PATH, or file:///PATH",
                            host.escape_debug()
                        )));
                    }
                    None => path,
                };
                if path.is_empty() || path.ends_with('/') {
                    return Err(UrlError(
                        "file: needs the path of a file, such as file:/etc/routes.json".to_owned(),
                    ));
                }
                Ok(Self::File(PathBuf::from(path)))
            }
            Some(("kafka", topic)) => {
                if rules::is_topic(topic) {
                    return Ok(Self::Kafka(topic.to_owned()));
                }
                Err(UrlError(
                    "kafka: needs the name of a topic, such as kafka:pointsman-routes; the brokers are those of [kafka]".to_owned(),
                ))
            }
            Some((scheme, _)) if scheme.len() < 20 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                Err(UrlError(format!("there is no store \"{scheme}:\"; expected {SCHEMES}")))
            }
            _ => Err(UrlError(format!("expected the URL of a store: {SCHEMES}"))),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Kafka(topic) => write!(f, "kafka:{topic}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_means_one_store_and_a_mistake_is_named() {
        for (text, expected) in [
            ("file:routes.json", "file:routes.json"),
            ("file:/etc/routes.json", "file:/etc/routes.json"),
            ("file:///etc/routes.json", "file:/etc/routes.json"),
            ("kafka:pointsman-routes", "kafka:pointsman-routes"),
        ] {
            assert_eq!(text.parse::<Url>().map(|url| url.to_string()), Ok(expected.to_owned()));
        }
        for (text, expected) in [
            ("", "expected the URL of a store"),
            ("routes.json", "expected the URL of a store"),
            ("file:", "needs the path of a file"),
            ("file:/etc/", "needs the path of a file"),
            ("file://host/routes.json", "names a machine"),
            ("kafka:", "needs the name of a topic"),
            ("kafka://host/topic", "needs the name of a topic"),
            ("etcd:x", "no store \"etcd:\""),
        ] {
            let error = text.parse::<Url>().expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
