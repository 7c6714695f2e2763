//! `redis://` and `rediss://`.

use std::{fmt, path::PathBuf};

use super::{
    UrlError,
    parts::{Host, Parts, Password, decoded},
};

const PORT: u16 = 6379;
/// The table's name where none is given.
const NAME: &str = "routes";
const MOST_NAME_BYTES: usize = 64;

/// Where a table in Redis is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisUrl {
    /// Whether it is reached by TLS.
    pub tls: bool,
    /// The user; none: Redis's default user.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Password>,
    /// The server.
    pub host: Host,
    /// The number of the database.
    pub database: u16,
    /// The table's name, which is in the names of its keys.
    pub name: String,
    /// The certificates that are trusted; none: the system's.
    pub ca_file: Option<PathBuf>,
}

impl RedisUrl {
    pub(super) fn read(tls: bool, rest: &str) -> Result<Self, UrlError> {
        let parts = Parts::of(rest)?;
        let (user, password) = match parts.user {
            None => (None, None),
            Some(text) => match text.split_once(':') {
                Some((user, password)) => (given(decoded(user)?), Some(Password::new(decoded(password)?))),
                None => (given(decoded(text)?), None),
            },
        };
        if parts.hosts.contains(',') {
            return Err(UrlError::new("the URL names several hosts; redis:// takes one"));
        }
        let host = Host::read(parts.hosts, PORT)?;
        let (mut name, mut ca_file) = (None, None);
        for (key, value) in pairs(parts.query) {
            let place = match key {
                "name" => &mut name,
                "ca_file" => &mut ca_file,
                "db" if parts.path.len() > 1 => {
                    return Err(UrlError::new(
                        "the URL names two databases, one in the path and one after \"db=\"",
                    ));
                }
                "db" => {
                    return Err(UrlError::new(
                        "the database stands in the path, as in redis://host:6379/1",
                    ));
                }
                _ => return Err(UrlError::new("after the \"?\" may stand name=NAME or ca_file=PATH")),
            };
            if place.replace(decoded(value)?).is_some() {
                return Err(UrlError::new(format!("\"{key}\" is there twice: keep one of them")));
            }
        }
        if ca_file.is_some() && !tls {
            return Err(UrlError::new("\"ca_file\" is for rediss://, which uses TLS"));
        }
        Ok(Self {
            tls,
            user,
            password,
            host,
            database: database(parts.path)?,
            name: match name {
                None => NAME.to_owned(),
                Some(name) => checked(name)?,
            },
            ca_file: ca_file.map(PathBuf::from),
        })
    }
}

/// An empty user is none.
fn given(user: String) -> Option<String> {
    Some(user).filter(|user| !user.is_empty())
}

fn pairs(query: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn database(path: &str) -> Result<u16, UrlError> {
    let path = path.trim_start_matches('/');
    if path.is_empty() {
        return Ok(0);
    }
    if path.trim_end_matches('/').contains('/') {
        return Err(UrlError::new(
            "the URL names two databases in its path; expected redis://host:port/DATABASE",
        ));
    }
    let wrong = || UrlError::new("the path of the URL is the number of a database, as in redis://host:6379/0");
    path.trim_end_matches('/').parse().map_err(|_| wrong())
}

/// Braces in a name would put the table's keys into different slots of a cluster.
fn checked(name: String) -> Result<String, UrlError> {
    let is_taken = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match (1..=MOST_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_taken) {
        true => Ok(name),
        false => Err(UrlError::new(format!(
            "a name has 1 to {MOST_NAME_BYTES} letters, digits, \".\", \"_\" and \"-\""
        ))),
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "rediss://" } else { "redis://" })?;
        if let Some(user) = &self.user {
            write!(f, "{}@", user.escape_debug())?;
        }
        write!(f, "{}/{}?name={}", self.host, self.database, self.name)?;
        match &self.ca_file {
            Some(file) => write!(f, "&ca_file={}", file.display()),
            None => Ok(()),
        }
    }
}
