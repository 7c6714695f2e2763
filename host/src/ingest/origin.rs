//! Requests that a web page makes a browser send.
//!
//! A browser on the same machine can reach what listens on loopback, for any page that it shows: with a form or a
//! script of another site (cross-site), or under the page's own name, once that name resolves to 127.0.0.1 (DNS
//! rebinding). A page cannot make its browser lie about three headers: `Host` is the name that the browser asked for,
//! `Origin` the page that asks, `Sec-Fetch-Site` how far apart the two are. So where no token is required, these
//! headers decide. Programs send only `Host`.

use std::net::IpAddr;

use hyper::{
    HeaderMap, Method, StatusCode, Uri,
    header::{CONTENT_TYPE, HOST, ORIGIN},
    http::uri::Authority,
};

use crate::ingest::problem::Problem;

const FETCH_SITE: &str = "sec-fetch-site";
/// Content types that a browser sends to another site without asking it first.
const FORMS: [&str; 3] = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];

/// Why a request looks as if a web page had sent it.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the request looks like one of a web page: {0}")]
pub struct ForeignPage(&'static str);

impl ForeignPage {
    /// What the client is told.
    pub(crate) fn problem(self) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "foreign_origin", self.to_string())
    }
}

/// The check for requests whose bodies no page can send without asking first. If a page sends one, it must come from
/// this very address, and no page does. Any `Host` of a program is fine.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), ForeignPage> {
    let origins: Vec<_> = headers.get_all(ORIGIN).iter().collect();
    match origins[..] {
        [] => Ok(()),
        [origin] if is_own(origin.as_bytes(), headers) => Ok(()),
        _ => Err(ForeignPage(
            "its Origin header names another site than the one asked; only programs may ask here, without that header",
        )),
    }
}

/// The check for requests that show or change something without a body.
pub(crate) fn check_strictly(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), ForeignPage> {
    let mut hosts = headers.get_all(HOST).iter();
    let named = hosts.all(|host| authority(host.as_bytes()).is_some_and(|host| is_local(&host)));
    if !named || !uri.authority().is_none_or(is_local) {
        return Err(ForeignPage(
            "its Host header is another name than localhost or a loopback address; ask by one of these, or set \
             listen.admin_token_file",
        ));
    }
    check(headers)?;
    if let Some(site) = headers.get(FETCH_SITE)
        && site != "none"
        && site != "same-origin"
    {
        return Err(ForeignPage(
            "a page of another site had a browser send it (Sec-Fetch-Site); ask with a program",
        ));
    }
    // Browsers older than 2020 send forms without an `Origin`.
    if method == Method::POST && headers.get(CONTENT_TYPE).is_some_and(|given| is_form(given.as_bytes())) {
        return Err(ForeignPage(
            "its Content-Type is that of a web page's form; an order has no body: omit both the body and Content-Type",
        ));
    }
    Ok(())
}

/// Whether a page of this origin comes from the address that it asks.
fn is_own(origin: &[u8], headers: &HeaderMap) -> bool {
    let origin = origin.strip_prefix(b"http://").and_then(authority);
    let host = headers.get(HOST).and_then(|host| authority(host.as_bytes()));
    origin.is_some_and(|origin| is_local(&origin) && Some(origin) == host)
}

fn authority(text: &[u8]) -> Option<Authority> {
    Authority::try_from(text).ok()
}

/// Whether the name is one that no DNS server decides about.
fn is_local(authority: &Authority) -> bool {
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bare.unwrap_or(host).parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

fn is_form(content_type: &[u8]) -> bool {
    let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default();
    let essence = essence.trim_ascii();
    FORMS.iter().any(|form| essence.eq_ignore_ascii_case(form.as_bytes()))
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut map = HeaderMap::new();
        for (name, value) in pairs.iter().map(pair) {
            map.append(name, value);
        }
        map
    }

    fn is_taken(method: &Method, pairs: &[(&'static str, &'static str)]) -> bool {
        check_strictly(method, &Uri::from_static("/drain"), &headers(pairs)).is_ok()
    }

    #[test]
    fn programs_on_the_machine_are_never_taken_for_pages() {
        for host in [
            "127.0.0.1:8645",
            "127.0.0.1",
            "127.8.9.1:1",
            "localhost:8645",
            "LOCALHOST",
            "[::1]:8645",
            "[::ffff:127.0.0.1]:8645",
        ] {
            assert!(is_taken(&Method::POST, &[("host", host)]), "{host}");
            assert!(is_taken(&Method::GET, &[("host", host)]), "{host}");
        }
        let json = ("content-type", "application/json");
        assert!(is_taken(&Method::POST, &[("host", "localhost"), json]));
        assert!(is_taken(&Method::GET, &[]), "HTTP/1.0 needs no Host");
        assert!(
            is_taken(&Method::GET, &[("host", "localhost"), ("sec-fetch-site", "none")]),
            "an address that a person types"
        );
    }

    #[test]
    fn no_page_of_another_site_is_taken_for_a_program() {
        let host = ("host", "127.0.0.1:8645");
        for host in [
            "rebound.example:8645",
            "127.0.0.1.rebound.example",
            "127.0.0.1@rebound.example",
            "localhost.rebound.example",
            "10.0.0.1",
            "",
            "a b",
        ] {
            assert!(!is_taken(&Method::GET, &[("host", host)]), "{host}");
        }
        assert!(!is_taken(&Method::GET, &[host, ("host", "rebound.example")]));
        for origin in [
            "http://site.example",
            "null",
            "",
            "http://127.0.0.1:3000",
            "http://localhost:8645",
            "https://127.0.0.1:8645",
            "http://127.0.0.1:8645.site.example",
        ] {
            assert!(!is_taken(&Method::POST, &[host, ("origin", origin)]), "{origin}");
            assert!(!is_taken(&Method::GET, &[host, ("origin", origin)]), "{origin}");
            assert!(check(&headers(&[host, ("origin", origin)])).is_err(), "{origin}");
        }
        let own = ("origin", "http://127.0.0.1:8645");
        assert!(is_taken(&Method::GET, &[host, own]));
        assert!(!is_taken(&Method::GET, &[host, own, ("origin", "null")]));
        for site in ["cross-site", "same-site", "anything"] {
            assert!(!is_taken(&Method::GET, &[host, ("sec-fetch-site", site)]), "{site}");
        }
        for form in [
            "application/x-www-form-urlencoded",
            "Multipart/Form-Data; boundary=x",
            "text/plain;charset=UTF-8",
        ] {
            assert!(!is_taken(&Method::POST, &[host, ("content-type", form)]), "{form}");
        }
        let rebound = Uri::from_static("http://rebound.example/config");
        assert!(check_strictly(&Method::GET, &rebound, &headers(&[host])).is_err());
    }

    #[test]
    fn a_page_that_rebinds_its_name_is_not_its_own_address() {
        let rebound = [
            ("host", "rebound.example:8644"),
            ("origin", "http://rebound.example:8644"),
        ];
        assert!(check(&headers(&rebound)).is_err());
        assert!(
            check(&headers(&[("host", "any-name")])).is_ok(),
            "programs send what they like"
        );
    }
}
