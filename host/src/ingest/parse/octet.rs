//! `application/octet-stream`: the body is the value, the rest is in headers.

use std::sync::Arc;

use bytes::Bytes;
use hyper::{HeaderMap, header::HeaderValue};

use super::{Context, Problem};
use crate::{
    pipeline::Parsed,
    record::{Header, Record},
};

const KEY: &str = "pointsman-key";
const PARTITION: &str = "pointsman-partition";
const HEADER_PREFIX: &str = "pointsman-header-";

/// The one record of such a request.
pub(super) fn record(body: &Bytes, headers: &HeaderMap, context: &Context<'_>) -> Result<Parsed, Problem> {
    let Some(topic) = &context.topic else {
        return Err(Problem::bad_request(
            "missing_topic",
            "an application/octet-stream body names no topic; send it to /v1/topics/{topic}/records",
        ));
    };
    let partition = match headers.get(PARTITION) {
        None => None,
        Some(value) => Some(number(value).ok_or_else(|| {
            Problem::bad_request(
                "bad_header",
                "Pointsman-Partition is no partition; expected a number such as 3",
            )
        })?),
    };
    let mut keys = headers.get_all(KEY).iter();
    let key = keys.next().map(bytes);
    if keys.next().is_some() {
        return Err(Problem::bad_request(
            "bad_header",
            "Pointsman-Key is given twice; a record has one key",
        ));
    }
    let headers = headers
        .iter()
        .filter_map(|(name, value)| {
            let name = name
                .as_str()
                .strip_prefix(HEADER_PREFIX)
                .filter(|name| !name.is_empty())?;
            Some(Header {
                name: name.into(),
                value: Some(bytes(value)),
            })
        })
        .collect();
    Ok(Ok(Record {
        topic: Arc::clone(topic),
        key,
        value: Some(body.clone()),
        headers,
        partition,
        timestamp: None,
    }))
}

fn bytes(value: &HeaderValue) -> Bytes {
    Bytes::copy_from_slice(value.as_bytes())
}

fn number(value: &HeaderValue) -> Option<u32> {
    value.to_str().ok()?.trim().parse().ok()
}
