//! Where a server is, from a url, and what it is told about who asks.

use hyper::{Uri, header::HeaderValue};

use super::shown;
use crate::registry::settings::{Auth, BadSettings};

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A server of a registry.
#[derive(Debug, PartialEq)]
pub(super) struct Server {
    /// Its url, for messages.
    pub(super) shown: String,
    pub(super) tls: bool,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    /// The value of the header `Host`.
    pub(super) authority: String,
    /// What stands before the paths of the API, without a slash at the end.
    pub(super) path: String,
}

impl Server {
    pub(super) fn parse(url: &str) -> Result<Self, BadSettings> {
        // A password, which does not belong there, must not be told.
        if url.contains('@') {
            return Err(BadSettings(
                "the url of a schema registry has an \"@\"; user and password are settings of their own".to_owned(),
            ));
        }
        let wrong = |what: &str| BadSettings(format!("the url {} of a schema registry {what}", shown(url)));
        let uri: Uri = url
            .parse()
            .map_err(|error| wrong(&format!("cannot be read: {error}")))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("does not begin with http:// or https://")),
        };
        if uri.query().is_some() {
            return Err(wrong("has a \"?\": it ends with a path"));
        }
        let (Some(authority), Some(host)) = (uri.authority(), uri.host().filter(|host| !host.is_empty())) else {
            return Err(wrong("has no host"));
        };
        Ok(Self {
            shown: url.to_owned(),
            tls,
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

/// The value of the header `Authorization`.
pub(super) fn authorization(auth: &Auth) -> Result<Option<HeaderValue>, BadSettings> {
    let text = match auth {
        Auth::None => return Ok(None),
        Auth::Basic { user, .. } if user.contains(':') => {
            return Err(BadSettings("the user of the schema registry has a colon".to_owned()));
        }
        Auth::Basic { user, password } => format!("Basic {}", base64(format!("{user}:{password}").as_bytes())),
        Auth::Bearer(token) => format!("Bearer {token}"),
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| {
        BadSettings("the token of the schema registry has letters that a header cannot have".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0u32, |group, at| {
            group << 8 | u32::from(chunk.get(at).copied().unwrap_or(0))
        });
        for at in 0..4 {
            let letter = BASE64[(group >> (18 - 6 * at) & 63) as usize];
            text.push(if at > chunk.len() { '=' } else { letter.into() });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let server = Server::parse("https://registry.example/apis/ccompat/v7/").expect("a url");
        assert_eq!(
            (server.tls, server.port, server.path.as_str()),
            (true, 443, "/apis/ccompat/v7")
        );
        let server = Server::parse("http://[::1]:8081").expect("a url");
        assert_eq!(
            (server.host.as_str(), server.port, server.path.as_str()),
            ("::1", 8081, "")
        );
        assert_eq!(server.authority, "[::1]:8081");
        for wrong in ["registry:8081", "ftp://x", "http://", "http://x?y", "http://x y", ""] {
            assert!(Server::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let told = Server::parse("http://user:hunter2@registry").expect_err("no url");
        assert!(!told.to_string().contains("hunter2"));
        let auth = Auth::Basic {
            user: "user".to_owned(),
            password: "hunter2".to_owned(),
        };
        let value = authorization(&auth).expect("a header").expect("a header");
        assert!(!format!("{auth:?}{value:?}").contains("hunter2"));
        assert_eq!(value.as_bytes(), b"Basic dXNlcjpodW50ZXIy");
        // The examples of RFC 4648.
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert!(authorization(&Auth::Bearer("a\nb".to_owned())).is_err());
    }
}
