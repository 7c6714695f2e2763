//! The head of a call: its method, its time, and how its messages are compressed.

use std::time::Duration;

use hyper::{
    HeaderMap, Method as HttpMethod, Version,
    header::{CONTENT_TYPE, HeaderValue},
    http::request::Parts,
};

use crate::ingest::{error::IngestError, numbering::one};

/// The content type of calls and answers.
pub(in crate::ingest) const CONTENT: HeaderValue = HeaderValue::from_static("application/grpc");
const TIMEOUT: &str = "grpc-timeout";
const ENCODING: &str = "grpc-encoding";
/// No delivery takes longer than this, so no longer time is kept.
const MAX_TIMEOUT: Duration = Duration::from_secs(86_400);
/// An answer is on its way before the deadline by this part of the time, at most [`MOST_SPARE`]: a client gives up at its
/// deadline, and would hear of no outcome.
const SPARE: u32 = 10;
const MOST_SPARE: Duration = Duration::from_millis(100);

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ingest) enum Method {
    /// `pointsman.v1.IngestService/Produce`.
    Produce,
    /// `pointsman.v1.IngestService/Stream`.
    Stream,
    /// A method of `grpc.health.v1.Health`.
    Health,
    /// The method of `grpc.reflection.v1.ServerReflection`.
    Reflection,
    /// The method of the version of reflection that older clients call.
    ReflectionAlpha,
    /// No method of any service.
    Unknown,
}

impl Method {
    /// The method of a path.
    pub(in crate::ingest) fn of(path: &str) -> Self {
        match path {
            "/pointsman.v1.IngestService/Produce" => Self::Produce,
            "/pointsman.v1.IngestService/Stream" => Self::Stream,
            "/grpc.health.v1.Health/Check" | "/grpc.health.v1.Health/Watch" => Self::Health,
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo" => Self::Reflection,
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo" => Self::ReflectionAlpha,
            _ => Self::Unknown,
        }
    }
}

/// gRPC over a version of HTTP that has no trailers; its client could not read a status either.
pub(in crate::ingest) fn check_version(head: &Parts) -> Result<(), IngestError> {
    if head.version != Version::HTTP_2 && is_grpc(&head.headers) {
        return Err(IngestError::UnsupportedContentType(
            "gRPC needs HTTP/2, and this request came by an older version; use a gRPC client without TLS (plaintext)"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Whether these headers are those of gRPC. A browser's gRPC-Web is something else.
pub(in crate::ingest) fn is_grpc(headers: &HeaderMap) -> bool {
    let given = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let Some((name, rest)) = given.split_at_checked(CONTENT.len()) else {
        return false;
    };
    name.eq_ignore_ascii_case(CONTENT.as_bytes()) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// Checks what every call must have.
pub(in crate::ingest) fn check(head: &Parts) -> Result<(), IngestError> {
    if head.method != HttpMethod::POST {
        return Err(IngestError::MethodNotAllowed("POST"));
    }
    let given = head.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let rest = given.get(CONTENT.len()..).unwrap_or_default();
    match rest.strip_prefix(b"+") {
        Some(format) if !format.to_ascii_lowercase().starts_with(b"proto") => Err(IngestError::UnsupportedContentType(
            "only messages in Protobuf are taken; send application/grpc or application/grpc+proto".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// Whether compressed messages of this call are compressed by gzip; the error is for what is not known here.
pub(in crate::ingest) fn has_gzip(headers: &HeaderMap) -> Result<bool, IngestError> {
    match one(headers, ENCODING)? {
        None | Some(b"identity") => Ok(false),
        Some(b"gzip") => Ok(true),
        Some(_) => Err(IngestError::UnsupportedContentEncoding(
            "grpc-encoding is neither gzip nor identity; send messages in one of these".to_owned(),
        )),
    }
}

/// How long outcomes are waited for, by the call's deadline. None if it has none.
pub(in crate::ingest) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, IngestError> {
    let Some(given) = one(headers, TIMEOUT)? else {
        return Ok(None);
    };
    let time = time(given).ok_or_else(|| {
        IngestError::BadHeader(
            "grpc-timeout is not a time; send 1 to 8 digits and one of H, M, S, m, u and n".to_owned(),
        )
    })?;
    let time = time.min(MAX_TIMEOUT);
    Ok(Some(time - (time / SPARE).min(MOST_SPARE)))
}

/// gRPC over HTTP/2, "Timeout".
fn time(given: &[u8]) -> Option<Duration> {
    let (unit, digits) = given.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(value * 3_600),
        b'M' => Duration::from_secs(value * 60),
        b'S' => Duration::from_secs(value),
        b'm' => Duration::from_millis(value),
        b'u' => Duration::from_micros(value),
        b'n' => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().expect("a header's value"));
        headers
    }

    #[test]
    fn what_is_not_grpc_is_not_taken_for_it() {
        for given in [
            "application/grpc",
            "application/grpc+proto",
            "Application/GRPC; a=b",
            "application/grpc+json",
        ] {
            assert!(is_grpc(&headers("content-type", given)), "{given}");
        }
        for given in [
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/json",
            "application/grpcx",
            "",
        ] {
            assert!(!is_grpc(&headers("content-type", given)), "{given}");
        }
    }

    #[test]
    fn an_answer_is_on_its_way_before_its_client_gives_up() {
        let wait = |given| timeout(&headers(TIMEOUT, given)).ok().flatten();
        assert_eq!(wait("1S"), Some(Duration::from_millis(900)));
        assert_eq!(wait("10S"), Some(Duration::from_millis(9_900)));
        assert_eq!(wait("100m"), Some(Duration::from_millis(90)));
        assert_eq!(wait("1n"), Some(Duration::from_nanos(1)));
        assert_eq!(wait("99999999H"), Some(MAX_TIMEOUT - MOST_SPARE));
        for bad in ["", "S", "1", "123456789S", "-1S", "+1S", "1.5S", "1s", "1 S"] {
            assert!(timeout(&headers(TIMEOUT, bad)).is_err(), "{bad}");
        }
    }
}
