//! `[routing]`: where tenants go.

use std::{fs, path::Path, path::PathBuf, time::Duration};

use pointsman_stores::{Url, UrlError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::findings::Findings;

/// Each tenant has two series, and as many that sent most before have some for a while.
const MOST_METRICS_TENANTS: usize = 1_000;
/// The store is looked at at least this often, and at most.
const POLL_MS: std::ops::RangeInclusive<u64> = 10..=600_000;

/// `[routing]`: the routing table of tenants. Without this section, a tenant goes by the key hash of its name.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Routing {
    /// The URL of the store that has the table: `kafka:TOPIC`, `file:PATH`, `redis://…`, `rediss://…` or
    /// `zookeeper://…`. Required.
    pub store: String,
    /// File that holds the password of a store in Redis, whose user is in the URL. Default: none.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// How often the store is looked at, ms. Changes that the store tells of are seen at once. Default 2 000.
    #[serde(default = "poll_ms")]
    pub poll_ms: u64,
    /// Folder that keeps the last table, so that a start without the store has one. Default: none.
    #[serde(default)]
    pub state_dir: Option<PathBuf>,
    /// How many tenants have metrics of their own: those that send most. Default 50.
    #[serde(default = "metrics_tenants")]
    pub metrics_tenants: usize,
    /// Whether each record of a tenant gets the header `pointsman-route`: the version of the table that it went by. Default
    /// false.
    #[serde(default)]
    pub stamp: bool,
}

fn poll_ms() -> u64 {
    2_000
}

fn metrics_tenants() -> usize {
    50
}

impl Routing {
    /// `poll_ms`.
    pub fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms)
    }

    /// The store, with its password.
    pub fn url(&self) -> Result<Url, StoreUrlError> {
        let mut url: Url = self.store.parse()?;
        url.is_built()?;
        if let Some(file) = &self.password_file {
            let set = password(file).and_then(|password| Ok(url.set_password(password)?));
            set.map_err(|error| StoreUrlError::Password(error.to_string()))?;
        }
        Ok(url)
    }
}

/// Why there is no URL.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreUrlError {
    /// `store` is none.
    #[error(transparent)]
    Store(#[from] UrlError),
    /// The file of its password is of no use.
    #[error("{0}")]
    Password(String),
}

/// The password in a file, without the white space around it.
pub fn password(file: &Path) -> Result<String, StoreUrlError> {
    let told = |what: &str| StoreUrlError::Password(format!("{} {what}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| told(&format!("cannot be read: {error}")))?;
    match text.trim() {
        "" => Err(told("holds no password")),
        password => Ok(password.to_owned()),
    }
}

pub(super) fn check(routing: &Routing, found: &mut Findings<'_>) {
    match routing.url() {
        Ok(_) => {}
        Err(StoreUrlError::Store(error)) => found.add(&["routing", "store"], error.to_string()),
        Err(StoreUrlError::Password(told)) => found.add(&["routing", "password_file"], told),
    }
    if !POLL_MS.contains(&routing.poll_ms) {
        let (least, most) = (POLL_MS.start(), POLL_MS.end());
        found.add(&["routing", "poll_ms"], format!("expected {least} to {most}"));
    }
    if routing.metrics_tenants > MOST_METRICS_TENANTS {
        found.add(
            &["routing", "metrics_tenants"],
            format!("expected 0 to {MOST_METRICS_TENANTS}"),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn routing(store: &str, password: Option<&str>) -> (Routing, tempfile::NamedTempFile) {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        write!(file, "{}", password.unwrap_or_default()).expect("written");
        let routing = Routing {
            store: store.to_owned(),
            password_file: password.map(|_| file.path().to_owned()),
            poll_ms: poll_ms(),
            state_dir: None,
            metrics_tenants: metrics_tenants(),
            stamp: false,
        };
        (routing, file)
    }

    #[test]
    fn a_password_comes_from_its_file_and_no_message_repeats_it() {
        let (given, _file) = routing("rediss://me@a/3", Some("  zQ7xV/@\n"));
        let url = given.url().expect("a URL");
        assert_eq!(url.to_string(), "rediss://me@a:6379/3?name=routes");
        let Url::Redis(url) = url else { panic!("{url}") };
        assert_eq!(
            url.password.map(|password| password.get().to_owned()),
            Some("zQ7xV/@".to_owned())
        );
        for (store, password, expected) in [
            ("redis://me:zQ7xV@a", "zQ7xV", "keep one of them"),
            ("kafka:t", "zQ7xV", "take a password"),
            ("redis://a", " \n", "holds no password"),
        ] {
            let (given, _file) = routing(store, Some(password));
            let told = given.url().expect_err(expected);
            assert!(
                matches!(&told, StoreUrlError::Password(told) if told.contains(expected)),
                "{told}"
            );
            assert!(!told.to_string().contains("zQ7xV"), "{told}");
        }
        let (mut given, file) = routing("redis://a", Some("x"));
        given.password_file = Some(file.path().with_extension("none"));
        let told = given.url().expect_err("no file").to_string();
        assert!(told.contains("cannot be read"), "{told}");
    }
}
