//! `application/octet-stream`: the body is the value of one record; its other parts are in headers.

use std::sync::Arc;

use bytes::Bytes;
use hyper::HeaderMap;

use super::context::{Context, no_memory};
use crate::{
    base::record::{Header, Record},
    ingest::{error::IngestError, numbering::one},
    pipeline::Parsed,
};

/// The record's key.
pub(super) const KEY: &str = "pointsman-key";
/// The record's partition.
pub(super) const PARTITION: &str = "pointsman-partition";
const HEADER_PREFIX: &str = "pointsman-header-";

/// The one record of such a request.
pub(super) fn record(body: &Bytes, headers: &HeaderMap, context: &Context<'_>) -> Result<Vec<Parsed>, IngestError> {
    let Some(topic) = &context.topic else {
        return Err(IngestError::MissingTopic(
            "an application/octet-stream body names no topic; send it to /v1/topics/{topic}/records".to_owned(),
        ));
    };
    let Place { key, partition } = Place::of(headers)?;
    let headers = headers
        .iter()
        .filter_map(|(name, value)| {
            let name = name
                .as_str()
                .strip_prefix(HEADER_PREFIX)
                .filter(|name| !name.is_empty())?;
            Some(Header {
                name: name.into(),
                value: Some(Bytes::copy_from_slice(value.as_bytes())),
            })
        })
        .collect();
    let parsed = Ok(Record {
        topic: Arc::clone(topic),
        key,
        value: Some(body.clone()),
        headers,
        partition,
        timestamp: None,
        schema: None,
    });
    context.memory.take_record(&parsed).map_err(|_| no_memory())?;
    Ok(vec![parsed])
}

/// What a request's headers say of the one record in its body.
pub(super) struct Place {
    pub(super) key: Option<Bytes>,
    pub(super) partition: Option<u32>,
}

impl Place {
    /// Reads the headers; 400 for what is not a partition, and for a header that is there twice.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, IngestError> {
        let partition = match one(headers, PARTITION)? {
            None => None,
            Some(value) => Some(number(value).ok_or_else(|| {
                IngestError::BadHeader("Pointsman-Partition is not a partition; expected a number such as 3".to_owned())
            })?),
        };
        Ok(Self {
            key: one(headers, KEY)?.map(Bytes::copy_from_slice),
            partition,
        })
    }
}

/// Rust's own parser would also take a sign.
fn number(text: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(text).ok()?.trim();
    digits.parse().ok().filter(|_| !digits.starts_with('+'))
}
