//! Makes a request's headers of text, as a person would type them.

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};

/// The headers, from lines of `name: value` up to an empty line, and the bytes after that line. A line that makes no
/// valid header is omitted: hyper would refuse it.
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
