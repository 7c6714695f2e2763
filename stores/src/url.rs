//! Which store is meant.

mod parts;
mod redis;
mod zookeeper;

use std::{fmt, path::PathBuf, str::FromStr};

use pointsman_routing::rules;

pub use self::{
    parts::{Host, Password, without_password},
    redis::RedisUrl,
    zookeeper::ZookeeperUrl,
};

/// Schemes, as messages list them.
const SCHEMES: &str =
    "file:PATH, kafka:TOPIC, redis://HOST/DATABASE, rediss://HOST/DATABASE or zookeeper://HOST,HOST/PATH";

/// A store's URL. Shown without a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Url {
    /// `file:PATH`
    File(PathBuf),
    /// `kafka:TOPIC`
    Kafka(String),
    /// `redis://`, or with TLS `rediss://`, `[user[:password]@]host[:port][/db][?name=N&ca_file=PATH]`
    Redis(RedisUrl),
    /// `zookeeper://host[:port],…/path`
    Zookeeper(ZookeeperUrl),
}

/// A text is no store's URL. The message never repeats a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(String);

impl UrlError {
    fn new(told: impl Into<String>) -> Self {
        Self(told.into())
    }

    pub(crate) fn not_built(feature: &str) -> Self {
        Self(format!(
            "this binary was built without {feature}: build it with that feature, or take another store"
        ))
    }
}

impl Url {
    /// Gives it the password that stands elsewhere.
    pub fn set_password(&mut self, password: String) -> Result<(), UrlError> {
        match self {
            Self::Redis(redis) if redis.password.is_some() => Err(UrlError::new(
                "the URL of the store has a password as well: keep one of them",
            )),
            Self::Redis(redis) => {
                redis.password = Some(Password::new(password));
                Ok(())
            }
            _ => Err(UrlError::new("only redis:// and rediss:// take a password")),
        }
    }

    /// Whether this binary has what the store needs.
    pub fn is_built(&self) -> Result<(), UrlError> {
        let (is_built, feature) = match self {
            Self::File(_) => (cfg!(feature = "file"), "file"),
            Self::Kafka(_) => (cfg!(feature = "kafka"), "kafka"),
            Self::Redis(_) => (cfg!(feature = "redis"), "redis"),
            Self::Zookeeper(_) => (cfg!(feature = "zookeeper"), "zookeeper"),
        };
        match is_built {
            true => Ok(()),
            false => Err(UrlError::not_built(feature)),
        }
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        match text.split_once(':') {
            Some(("file", path)) => file(path),
            Some(("kafka", topic)) => {
                if rules::is_topic(topic) {
                    return Ok(Self::Kafka(topic.to_owned()));
                }
                Err(UrlError::new(
                    "kafka: needs the name of a topic, such as kafka:pointsman-routes; the brokers are those of [kafka]",
                ))
            }
            Some((scheme @ ("redis" | "rediss"), rest)) => RedisUrl::read(scheme == "rediss", rest).map(Self::Redis),
            Some(("zookeeper", rest)) => ZookeeperUrl::read(rest).map(Self::Zookeeper),
            Some((scheme, _)) if scheme.len() < 20 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                Err(UrlError(format!("there is no store \"{scheme}:\"; expected {SCHEMES}")))
            }
            _ => Err(UrlError(format!("expected the URL of a store: {SCHEMES}"))),
        }
    }
}

/// `file:///path` and `file:path` are the same thing to most people.
fn file(path: &str) -> Result<Url, UrlError> {
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
        return Err(UrlError::new(
            "file: needs the path of a file, such as file:/etc/routes.json",
        ));
    }
    Ok(Url::File(PathBuf::from(path)))
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Kafka(topic) => write!(f, "kafka:{topic}"),
            Self::Redis(redis) => redis.fmt(f),
            Self::Zookeeper(zookeeper) => zookeeper.fmt(f),
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
            ("redis://localhost", "redis://localhost:6379/0?name=routes"),
            (
                "rediss://me:zQ7xV@r.example:7000/3?name=blue&ca_file=/etc/ca.pem",
                "rediss://me@r.example:7000/3?name=blue&ca_file=/etc/ca.pem",
            ),
            ("redis://:zQ7xV@[::1]:7000/", "redis://[::1]:7000/0?name=routes"),
            ("redis://[::1]", "redis://[::1]:6379/0?name=routes"),
            (
                "zookeeper://a,b:7000,[::1]/shop/routes/",
                "zookeeper://a:2181,b:7000,[::1]:2181/shop/routes",
            ),
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
            ("redis:localhost", "needs a host"),
            ("redis://", "needs a host"),
            ("redis:///0", "needs a host"),
            ("redis://a,b/0", "names several hosts"),
            ("redis://::1/0", "needs brackets"),
            ("redis://[::x]/0", "no IPv6 address"),
            ("redis://a:0/0", "no port"),
            ("redis://a:port/0", "no port"),
            ("redis://a/0/1", "names two databases"),
            ("redis://a/0?db=1", "names two databases"),
            ("redis://a?db=1", "the database stands in the path"),
            ("redis://a/zero", "the number of a database"),
            ("redis://a?name=x&name=y", "\"name\" is there twice"),
            ("redis://a?name=", "a name has"),
            ("redis://a?name=a{b}", "a name has"),
            ("redis://a?nom=x", "name=NAME or ca_file=PATH"),
            ("redis://a?ca_file=/x", "is for rediss://"),
            ("redis://a#insecure", "must not have \"#\""),
            ("redis://me:zQ7xV%@a", "percent sign"),
            ("redis://me:zQ7xV/@a", "percent-encoded"),
            ("redis://me:zQ7xV?@a", "percent-encoded"),
            ("redis://me:zQ7xV#@a", "percent-encoded"),
            ("redis://me:zQ7xV@a b", "no host"),
            ("zookeeper://a", "needs a path"),
            ("zookeeper://a/", "needs a path"),
            ("zookeeper://a//b", "needs a path"),
            ("zookeeper://a/../b", "needs a path"),
            ("zookeeper://a/zookeeper/b", "ZooKeeper's own"),
            ("zookeeper://me:zQ7xV@a/b", "takes no user"),
            ("zookeeper://a/b?name=x", "takes no \"?\""),
            ("zookeeper://a,,b/c", "needs a host"),
        ] {
            let error = text.parse::<Url>().expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("zQ7xV"), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_is_shown_nowhere() {
        let url: Url = "redis://me:zQ7%78V@a".parse().expect("a URL");
        assert!(!format!("{url} {url:?}").contains("zQ7"), "{url:?}");
        let Url::Redis(redis) = &url else { panic!("{url}") };
        assert_eq!(redis.password.as_ref().map(Password::get), Some("zQ7xV"));
        for (text, expected) in [
            ("redis://me:zQ7xV@a/0", "redis://me:[redacted]@a/0"),
            ("redis://:zQ/7?x#V@b@a/0", "redis://:[redacted]@a/0"),
            ("redis://me@a/0", "redis://me@a/0"),
            ("zookeeper://a:1,b:2/c", "zookeeper://a:1,b:2/c"),
            ("no URL: at@all", "no URL: at@all"),
        ] {
            assert_eq!(without_password(text, "[redacted]"), expected);
        }
    }

    #[test]
    fn a_store_that_this_binary_lacks_is_told_as_such() {
        let url: Url = "redis://a".parse().expect("a URL");
        let told = url.is_built().map_err(|error| error.to_string());
        assert_eq!(told.is_ok(), cfg!(feature = "redis"));
        assert!(told.is_ok() || told.is_err_and(|told| told.contains("built without redis")));
    }

    #[test]
    fn one_password_is_given_in_one_place() {
        let told = |text: &str| {
            let mut url: Url = text.parse().expect("a URL");
            url.set_password("zQ7xV".to_owned()).map(|()| url.to_string())
        };
        assert_eq!(told("redis://me@a"), Ok("redis://me@a:6379/0?name=routes".to_owned()));
        let twice = told("redis://me:x@a").expect_err("twice").to_string();
        assert!(twice.contains("keep one of them"), "{twice}");
        assert!(
            told("kafka:t")
                .expect_err("none")
                .to_string()
                .contains("take a password")
        );
    }
}
