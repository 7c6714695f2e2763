//! The binary mode: attributes in headers of HTTP become headers of the record, and the body becomes its value.

use std::{borrow::Cow, sync::Arc};

use bytes::{Bytes, BytesMut};
use hyper::HeaderMap;

use super::{
    attribute::{Known, Seen, check_name, check_text, shown},
    text::decoded,
};
use crate::{
    base::record::{Header, Record},
    ingest::{
        error::IngestError,
        parse::{
            context::{Context, no_memory},
            octet::Place,
            wire::{MAX_HEADERS, malformed},
        },
    },
    pipeline::Parsed,
};

/// What the names of attributes begin with, in HTTP and in Kafka.
const IN_HTTP: &str = "ce-";
const IN_KAFKA: &str = "ce_";

/// The record of an event. `content_type` is the request's, or empty.
pub(super) fn record(
    topic: &Arc<str>,
    content_type: &[u8],
    body: &Bytes,
    headers: &HeaderMap,
    context: &Context<'_>,
) -> Result<Parsed, IngestError> {
    let place = Place::of(headers)?;
    let (count, bytes) = attributes(headers).fold((1, content_type.len()), |(count, bytes), (_, value)| {
        (count + 1, bytes + value.len())
    });
    if count > MAX_HEADERS {
        return Ok(Err(malformed(format!("an event has at most {MAX_HEADERS} attributes"))));
    }
    context.memory.take(bytes).map_err(|_| no_memory())?;
    let mut event = Event {
        headers: Vec::with_capacity(count),
        values: BytesMut::with_capacity(bytes),
        seen: Seen::default(),
        key: None,
    };
    if let Err(problem) = event.read(content_type, headers) {
        return Ok(Err(malformed(problem)));
    }
    Ok(Ok(Record {
        topic: Arc::clone(topic),
        key: place.key.or(event.key),
        // Without data there is no value (Kafka protocol binding, 3.2.2).
        value: (!body.is_empty()).then(|| body.clone()),
        headers: event.headers,
        partition: place.partition,
        timestamp: None,
        schema: None,
    }))
}

/// The names of the attributes, and their values as they stand in headers.
fn attributes(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().strip_prefix(IN_HTTP)?, value.as_bytes())))
}

/// What has been read of an event.
struct Event {
    headers: Vec<Header>,
    /// One allocation for the values of all headers. A value is never longer than what it was decoded from.
    values: BytesMut,
    seen: Seen,
    /// From the attribute `partitionkey`.
    key: Option<Bytes>,
}

impl Event {
    fn read(&mut self, content_type: &[u8], headers: &HeaderMap) -> Result<(), Cow<'static, str>> {
        let mut last = None;
        for (name, value) in attributes(headers) {
            // The values of one name come one after the other.
            if last == Some(name) {
                return Err(format!("there is more than one header ce-{}", shown(name)).into());
            }
            last = Some(name);
            self.attribute(name, value)?;
        }
        self.seen.check_required()?;
        if content_type.is_empty() {
            return Ok(());
        }
        let text = std::str::from_utf8(content_type).map_err(|_| "Content-Type is not UTF-8")?;
        let value = self.keep(text);
        self.headers.push(Header {
            name: "content-type".into(),
            value: Some(value),
        });
        Ok(())
    }

    fn attribute(&mut self, name: &str, value: &[u8]) -> Result<(), Cow<'static, str>> {
        check_name(name)?;
        let known = Known::of(name);
        match known {
            Some(Known::DataContentType) => {
                return Err("the header ce-datacontenttype is not for this mode; send Content-Type alone".into());
            }
            Some(Known::Data) => return Err("an attribute cannot have the name data; send the data as the body".into()),
            Some(known) => {
                self.seen.add(known);
            }
            None => {}
        }
        let text = decoded(value).map_err(|problem| format!("ce-{} {problem}", shown(name)))?;
        check_text(known, name, &text)?;
        let value = self.keep(&text);
        if known == Some(Known::PartitionKey) {
            self.key = Some(value.clone());
        }
        self.headers.push(Header {
            name: [IN_KAFKA, name].concat().into_boxed_str(),
            value: Some(value),
        });
        Ok(())
    }

    fn keep(&mut self, text: &str) -> Bytes {
        self.values.extend_from_slice(text.as_bytes());
        self.values.split().freeze()
    }
}
