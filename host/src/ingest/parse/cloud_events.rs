//! CloudEvents 1.0.2, in the three modes of their HTTP protocol binding. docs/cloud-events.md says what becomes of them.
//!
//! A record is what CloudEvents' Kafka protocol binding makes of an event, so any consumer that knows that binding reads
//! the event again.

mod attribute;
mod binary;
mod json;
#[cfg(test)]
mod tests;
mod text;
mod time;

use bytes::Bytes;
use hyper::HeaderMap;

use super::{
    context::{Context, no_memory},
    octet::{KEY, PARTITION, Place},
};
use crate::{
    ingest::{error::IngestError, numbering::one},
    pipeline::Parsed,
};

/// How events stand in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The body is the data of one event; its attributes are in headers.
    Binary,
    /// The body is one event in JSON.
    Structured,
    /// The body is an array of events in JSON.
    Batch,
}

/// What the content types of all formats of events begin with.
const MEDIA_TYPE: &str = "application/cloudevents";

impl Mode {
    /// The mode, if the request has events; 404 for the content type of an event where events are turned off, 415 for a
    /// format of events other than JSON.
    ///
    /// `content_type` is without parameters. It comes first, since an event in JSON may have its attributes in headers,
    /// too (HTTP protocol binding, 3.2.3).
    pub(super) fn of(
        content_type: Option<&str>,
        headers: &HeaderMap,
        is_on: bool,
    ) -> Result<Option<Self>, IngestError> {
        let given = content_type.unwrap_or_default();
        let Some(format) = after(given, MEDIA_TYPE) else {
            let is_binary = is_on && headers.keys().any(|name| is_required(name.as_str()));
            return Ok(is_binary.then_some(Self::Binary));
        };
        if !is_on {
            return Err(IngestError::NotFound(
                "CloudEvents are not taken here; [listen] apis says what is".to_owned(),
            ));
        }
        match format {
            _ if format.eq_ignore_ascii_case("+json") => Ok(Some(Self::Structured)),
            _ if format.eq_ignore_ascii_case("-batch+json") => Ok(Some(Self::Batch)),
            _ => {
                let shown: String = given.chars().take(64).collect();
                Err(IngestError::UnsupportedContentType(format!(
                    "Content-Type \"{shown}\" is not supported; send CloudEvents as {MEDIA_TYPE}+json, as \
                     {MEDIA_TYPE}-batch+json, or in headers such as ce-id"
                )))
            }
        }
    }
}

/// The attributes that every event has, as headers. One of them is enough: a request with some of them is an event that
/// lacks the others, and must not be taken for something else.
fn is_required(header: &str) -> bool {
    matches!(header, "ce-id" | "ce-source" | "ce-specversion" | "ce-type")
}

/// What follows this beginning, in any case of letters.
fn after<'t>(text: &'t str, beginning: &str) -> Option<&'t str> {
    let (begins, rest) = text.split_at_checked(beginning.len())?;
    begins.eq_ignore_ascii_case(beginning).then_some(rest)
}

/// Makes a record of each event.
pub(super) fn records(
    mode: Mode,
    body: &Bytes,
    headers: &HeaderMap,
    context: &Context<'_>,
) -> Result<Vec<Parsed>, IngestError> {
    let Some(topic) = &context.topic else {
        return Err(IngestError::MissingTopic(
            "a CloudEvent names no topic; send it to /v1/topics/{topic}/records".to_owned(),
        ));
    };
    let content_type = one(headers, "content-type")?.unwrap_or_default();
    let parsed = match mode {
        Mode::Binary => binary::record(topic, content_type, body, headers, context)?,
        Mode::Structured => json::one(topic, content_type, Place::of(headers)?, body, context)?,
        Mode::Batch => {
            let single = [KEY, PARTITION].into_iter().find(|name| headers.contains_key(*name));
            if let Some(name) = single {
                return Err(IngestError::BadHeader(format!(
                    "{name} is for one event, and this is a batch; give each event its partitionkey"
                )));
            }
            return json::batch(topic, content_type, body, context);
        }
    };
    context.memory.take_record(&parsed).map_err(|_| no_memory())?;
    Ok(vec![parsed])
}
