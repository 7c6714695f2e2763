//! A request's header from text, as one would type it.

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};

/// Lines of `name: value` up to an empty one, and what comes after it. What makes no header is left out: hyper refuses it.
pub(super) fn split(data: &[u8]) -> (HeaderMap, &[u8]) {
    let mut headers = HeaderMap::new();
    let mut rest = data;
    loop {
        let end = rest.iter().position(|&byte| byte == b'\n');
        let (line, after) = end.map_or((rest, &[][..]), |end| (&rest[..end], &rest[end + 1..]));
        rest = after;
        if line.is_empty() || headers.len() == 64 {
            return (headers, rest);
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
}
