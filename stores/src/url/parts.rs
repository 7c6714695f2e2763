//! The parts of a URL with hosts. Nothing here repeats what it was given: a part may be a password that was not encoded.

use std::{borrow::Cow, fmt, net::Ipv6Addr};

use super::UrlError;

/// A password. It is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    pub(super) fn new(password: String) -> Self {
        Self(password)
    }

    /// The password itself.
    pub fn get(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A host with a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// A name or an address, without brackets.
    pub name: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.contains(':') {
            true => write!(f, "[{}]:{}", self.name, self.port),
            false => write!(f, "{}:{}", self.name, self.port),
        }
    }
}

impl Host {
    /// Reads `name`, `name:port`, `[address]` or `[address]:port`.
    pub(super) fn read(text: &str, default_port: u16) -> Result<Self, UrlError> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, after) = rest.split_once(']').unwrap_or((rest, ""));
                if address.parse::<Ipv6Addr>().is_err() {
                    return Err(UrlError::new("between [ and ] stands no IPv6 address"));
                }
                let port = match after.strip_prefix(':') {
                    Some(port) => Some(port),
                    None if after.is_empty() => None,
                    None => return Err(no_port()),
                };
                (address, port)
            }
            None if text.matches(':').count() > 1 => {
                return Err(UrlError::new("an IPv6 address needs brackets, as in [::1]:6379"));
            }
            None => match text.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            },
        };
        let is_in_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
        if name.is_empty() {
            return Err(UrlError::new(
                "the URL of the store needs a host, as in scheme://host:port/…",
            ));
        }
        if !name.bytes().all(is_in_name) {
            return Err(UrlError::new("the URL of the store has what can be no host"));
        }
        let port = match port {
            None => default_port,
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(no_port)?,
        };
        Ok(Self {
            name: name.to_owned(),
            port,
        })
    }
}

fn no_port() -> UrlError {
    UrlError::new("after the host stands no port, expected host or host:port with a port from 1 to 65535")
}

/// What stands after the scheme and its colon.
pub(super) struct Parts<'t> {
    /// Before the `@`.
    pub(super) user: Option<&'t str>,
    pub(super) hosts: &'t str,
    /// With the slash that it begins with, or empty.
    pub(super) path: &'t str,
    /// After the `?`.
    pub(super) query: Option<&'t str>,
}

impl<'t> Parts<'t> {
    pub(super) fn of(rest: &'t str) -> Result<Self, UrlError> {
        let rest = rest.strip_prefix("//").unwrap_or_default();
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, after) = rest.split_at(end);
        if after.contains('@') {
            return Err(UrlError::new(
                "a user or a password with / ? # or @ must be percent-encoded, or the password be in a file",
            ));
        }
        if after.contains('#') {
            return Err(UrlError::new("the URL of a store must not have \"#\""));
        }
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, authority),
        };
        let (path, query) = match after.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (after, None),
        };
        Ok(Self {
            user,
            hosts,
            path,
            query,
        })
    }
}

/// Undoes percent encoding.
pub(super) fn decoded(text: &str) -> Result<String, UrlError> {
    let wrong =
        || UrlError::new("after a percent sign stand two hexadecimal digits of UTF-8; write %25 for a percent sign");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or_else(wrong)?;
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// A text that may be a URL, with this in the place of a password. It need not be a URL that a store has.
pub fn without_password<'t>(text: &'t str, instead: &str) -> Cow<'t, str> {
    let shown = || {
        let (scheme, rest) = text.split_once("://")?;
        // A password that is not encoded may have any character.
        let (user, rest) = rest.rsplit_once('@')?;
        let (name, _) = user.split_once(':')?;
        Some(format!("{scheme}://{name}:{instead}@{rest}"))
    };
    shown().map_or(Cow::Borrowed(text), Cow::Owned)
}
