//! From a body to records. The bytes of the records are slices of the body.
//!
//! A body that cannot be read at all is an [`IngestError`]. One record that cannot be read is only that record's
//! refusal.

mod cloud_events;
mod context;
mod json;
pub(crate) mod memory;
mod octet;
mod packed;
mod wire;

use bytes::Bytes;
use hyper::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};

pub use self::{cloud_events::Mode, context::Context, memory::Memory};
pub(super) use self::{
    context::{no_memory, too_many},
    json::Bound,
    memory::NoMemory,
    wire::{MAX_HEADERS, Text, Whole, is_too_deep, malformed, timestamp, topic},
};
use super::error::IngestError;
use crate::pipeline::Parsed;

/// The content types that are taken, for messages.
const ACCEPTED: &str =
    "application/json, application/x-ndjson, application/octet-stream or application/vnd.pointsman.records";
/// The content type of packed records, and of outcomes in the same form.
pub(super) const PACKED: &str = "application/vnd.pointsman.records";

/// The format of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `{"records":[R…]}`, or one R.
    Json,
    /// One R on each line.
    Ndjson,
    /// The value of one record; its other parts are in headers.
    Octet,
    /// Records as bytes, with their lengths before them.
    Packed,
    /// One CloudEvent or several.
    CloudEvents(Mode),
}

impl Format {
    /// Reads the format from the request's headers; 415 for any other. Without `cloud_events`, the headers of an event
    /// mean nothing, and the content types of events are a 404.
    pub fn of(headers: &HeaderMap, cloud_events: bool) -> Result<Self, IngestError> {
        let essence = content_type(headers)?;
        if let Some(mode) = Mode::of(essence, headers, cloud_events)? {
            return Ok(Self::CloudEvents(mode));
        }
        let Some(essence) = essence else {
            return Err(IngestError::MissingContentType(format!(
                "there is no Content-Type; send {ACCEPTED}"
            )));
        };
        let known = [
            ("application/json", Self::Json),
            ("application/x-ndjson", Self::Ndjson),
            ("application/octet-stream", Self::Octet),
            (PACKED, Self::Packed),
        ];
        known
            .into_iter()
            .find(|(name, _)| essence.eq_ignore_ascii_case(name))
            .map(|(_, format)| format)
            .ok_or_else(|| {
                let shown: String = essence.chars().take(64).collect();
                IngestError::UnsupportedContentType(format!(
                    "Content-Type \"{shown}\" is not supported; send {ACCEPTED}"
                ))
            })
    }

    /// Makes records of a body.
    pub fn parse(self, body: &Bytes, headers: &HeaderMap, context: &Context<'_>) -> Result<Vec<Parsed>, IngestError> {
        let is_empty = match self {
            // An event may be without data.
            Self::CloudEvents(Mode::Binary) => false,
            Self::Octet => body.is_empty(),
            _ => body.iter().all(u8::is_ascii_whitespace),
        };
        if is_empty {
            return Err(IngestError::EmptyBody(
                "the body is empty; a record without a value is {\"key\":…,\"value\":null} as application/json"
                    .to_owned(),
            ));
        }
        match self {
            Self::Json => json::document(body, context),
            Self::Ndjson => json::lines(body, context),
            Self::Octet => octet::record(body, headers, context),
            Self::Packed => packed::records(body, context),
            Self::CloudEvents(mode) => cloud_events::records(mode, body, headers, context),
        }
    }
}

/// The content type without its parameters; 415 for a body that is compressed.
pub(super) fn content_type(headers: &HeaderMap) -> Result<Option<&str>, IngestError> {
    if let Some(encoding) = headers.get(CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(IngestError::UnsupportedContentEncoding(
            "Content-Encoding is not supported; send the body as it is".to_owned(),
        ));
    }
    let given = headers
        .get(CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or_default());
    Ok(given.map(|given| given.split(';').next().unwrap_or_default().trim()))
}

/// Makes records of lines, one R on each, for a caller that has counted the lines already.
pub(super) fn lines(lines: &Bytes, context: &Context<'_>) -> Option<Vec<Parsed>> {
    json::all_lines(lines, context)
}
