//! From an event to a record: the one place, however the event came.

use std::{
    borrow::Cow,
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    envelope::{self, Data, Envelope},
    given::{Filling, NotFilled},
    metadata::{Merged, Metadata},
    refusal::Refusal,
};
use crate::{
    base::{
        clock::{now_ms, rfc3339},
        outcome::{Code, RecordError},
        record::{Header, Record},
        text::said,
    },
    ingest::{
        error::told,
        parse::{Context, MAX_HEADERS, NoMemory, is_too_deep, no_memory},
    },
    pipeline::Parsed,
};

/// The content type of an event that is a CloudEvent already.
const CLOUD_EVENT: &str = "application/cloudevents+json";

/// What the events of a request share.
pub(super) struct Publication<'r> {
    /// The name that the application has for this sidecar's Kafka.
    pub(super) pubsub: String,
    /// A valid name.
    pub(super) topic: Arc<str>,
    /// The application, if it is known.
    pub(super) app: Option<&'r str>,
    /// Where the request belongs.
    pub(super) trace: TraceContext<'r>,
    /// Whether events are written as they are.
    pub(super) is_raw: bool,
    /// Beneath that of each event.
    pub(super) metadata: Metadata<'r>,
    /// When the request came.
    pub(super) now: Now,
    /// No request has that of another one, so no event has the id of another one.
    pub(super) ids: RandomState,
}

/// W3C's trace context of a request; both parts are empty if it has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TraceContext<'r> {
    pub(super) parent: &'r str,
    pub(super) state: &'r str,
}

/// A time.
pub(super) struct Now {
    /// Since 1970.
    ms: i64,
    /// As RFC 3339 has it.
    text: String,
}

/// One event as an application gives it.
#[derive(Debug)]
pub(super) struct Event<'e> {
    /// Its place in the request, from 0.
    pub(super) index: usize,
    pub(super) data: Bytes,
    /// Empty: there is none.
    pub(super) content_type: &'e str,
    /// Its own metadata.
    pub(super) metadata: &'e Metadata<'e>,
}

/// Why an event is not a record.
enum NoRecord {
    /// Only this event is refused.
    This(RecordError),
    /// The request is refused.
    All(Refusal),
}

impl Now {
    pub(super) fn by_the_clock() -> Self {
        let ms = now_ms();
        Self { ms, text: rfc3339(ms) }
    }
}

impl<'r> TraceContext<'r> {
    /// What stands in the headers `traceparent` and `tracestate`. A `traceparent` that is none counts as missing.
    pub(super) fn of(parent: Option<&'r str>, state: Option<&'r str>) -> Self {
        match parent.filter(|parent| is_trace_parent(parent)) {
            Some(parent) => Self {
                parent,
                state: state.unwrap_or_default(),
            },
            None => Self::default(),
        }
    }
}

impl Publication<'_> {
    /// Makes a record of an event, and counts its memory. The outer error refuses the whole request.
    pub(super) fn record(&self, event: &Event<'_>, context: &Context<'_>) -> Result<Parsed, Refusal> {
        context.memory.take_records(1).map_err(out_of_memory)?;
        match self.read(event, context) {
            Ok(record) => Ok(Ok(record)),
            Err(NoRecord::This(error)) => {
                // The message comes once more in the reply, where it may need escapes.
                context.memory.take(3 * error.message.len()).map_err(out_of_memory)?;
                Ok(Err(error))
            }
            Err(NoRecord::All(refusal)) => Err(refusal),
        }
    }

    fn read(&self, event: &Event<'_>, context: &Context<'_>) -> Result<Record, NoRecord> {
        let metadata = Merged {
            own: event.metadata,
            shared: &self.metadata,
        };
        Ok(Record {
            topic: Arc::clone(&self.topic),
            key: metadata.key().cloned(),
            partition: metadata.partition().map(partition).transpose()?,
            headers: headers(metadata, context)?,
            value: self.value(event, metadata, context)?,
            timestamp: None,
            schema: None,
        })
    }

    fn value(&self, event: &Event<'_>, metadata: Merged<'_>, context: &Context<'_>) -> Result<Option<Bytes>, NoRecord> {
        if self.is_raw {
            // Dapr's Kafka component writes a tombstone for it.
            return Ok(Some(event.data.clone()).filter(|data| &**data != b"null"));
        }
        let expiration = metadata.ttl().map(|ttl| {
            let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
            rfc3339(self.now.ms.saturating_add(ttl))
        });
        match envelope::is(event.content_type, CLOUD_EVENT) {
            true => self.given(event, expiration.as_deref(), context),
            false => self.wrapped(event, metadata, expiration.as_deref(), context),
        }
        .map(Some)
    }

    /// The event, which is a CloudEvent, with what is missing.
    fn given(&self, event: &Event<'_>, expiration: Option<&str>, context: &Context<'_>) -> Result<Bytes, NoRecord> {
        let filling = Filling {
            pubsub: &self.pubsub,
            topic: &self.topic,
            expiration,
            time: &self.now.text,
            trace_parent: self.trace.parent,
            trace_state: self.trace.state,
        };
        let filled = filling.fill(&event.data, &context.memory);
        let filled = filled.map_err(|error| match error {
            NotFilled::NoMemory(error) => error.into(),
            NotFilled::NoObject(error) => NoRecord::All(Refusal::bad_cloud_event(&told(&error))),
        })?;
        // It is JSON, so it is text.
        check_depth(std::str::from_utf8(&event.data).unwrap_or_default(), context)?;
        Ok(filled)
    }

    fn wrapped(
        &self,
        event: &Event<'_>,
        metadata: Merged<'_>,
        expiration: Option<&str>,
        context: &Context<'_>,
    ) -> Result<Bytes, NoRecord> {
        let content_type = match event.content_type {
            "" => envelope::TEXT,
            given => given,
        };
        let data = Data::of(&event.data, content_type);
        if let Data::Json(json) = data {
            check_depth(json, context)?;
        }
        let attribute = |name, default| metadata.attribute(name).unwrap_or(default);
        let parent = attribute("traceparent", attribute("traceid", self.trace.parent));
        let id = metadata
            .attribute("id")
            .map_or_else(|| Cow::Owned(self.id(event.index)), Cow::Borrowed);
        let envelope = Envelope {
            data,
            content_type,
            expiration,
            id: &id,
            pubsub: &self.pubsub,
            source: attribute("source", self.app.unwrap_or(envelope::SOURCE)),
            subject: metadata.attribute("subject"),
            time: &self.now.text,
            topic: &self.topic,
            trace_parent: parent,
            trace_state: attribute("tracestate", self.trace.state),
            kind: attribute("type", envelope::TYPE),
        };
        Ok(envelope.write(&context.memory)?)
    }

    /// A UUID of random bits (version 4). The hasher's keys are random, so its hashes are.
    fn id(&self, index: usize) -> String {
        let half = |which: u8| u128::from(self.ids.hash_one((index, which)));
        let bits = (half(0) << 64) | half(1);
        let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
        let digits = format!("{bits:032x}");
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
        parts.join("-")
    }
}

/// All metadata, as Dapr's Kafka component writes it.
fn headers(metadata: Merged<'_>, context: &Context<'_>) -> Result<Vec<Header>, NoRecord> {
    if metadata.most() > MAX_HEADERS {
        return Err(malformed(format!(
            "the event has {} names of metadata, which become headers, and a record has at most {MAX_HEADERS}",
            metadata.most()
        )));
    }
    let mut headers = Vec::with_capacity(metadata.most());
    for (name, value) in metadata.iter() {
        // librdkafka takes names as C strings.
        if name.contains('\0') {
            return Err(malformed("a name of metadata, which becomes a header, has a zero byte"));
        }
        context.memory.take_header(name.len())?;
        headers.push(Header {
            name: name.into(),
            value: Some(value.clone()),
        });
    }
    Ok(headers)
}

fn partition(text: &str) -> Result<u32, NoRecord> {
    // Rust's own parser would also take a sign.
    let number = text
        .parse()
        .ok()
        .filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    number.filter(|number| *number <= i32::MAX as u32).ok_or_else(|| {
        malformed(format!(
            "partitionNumber is \"{}\", which is not a partition; send a number such as 3",
            said(text)
        ))
    })
}

fn check_depth(json: &str, context: &Context<'_>) -> Result<(), NoRecord> {
    let limit = context.limits.json_depth;
    match is_too_deep(json, limit) {
        true => Err(malformed(format!(
            "the event is nested deeper than limits.json_depth ({limit}); flatten it, or send it with rawPayload"
        ))),
        false => Ok(()),
    }
}

/// Whether this is a `traceparent` as W3C's Trace Context has it: version, trace, parent and flags, of which neither trace nor parent is
/// all zeros.
fn is_trace_parent(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut part = |length| {
        let part = parts.next().filter(|part| part.len() == length);
        part.filter(|part| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
    };
    let (Some(version), Some(trace), Some(parent), Some(_)) = (part(2), part(32), part(16), part(2)) else {
        return false;
    };
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    version != "ff" && !is_zero(trace) && !is_zero(parent) && (version != "00" || parts.next().is_none())
}

fn malformed(message: impl Into<Cow<'static, str>>) -> NoRecord {
    NoRecord::This(RecordError::new(Code::MalformedRecord, message))
}

pub(super) fn out_of_memory(_: NoMemory) -> Refusal {
    no_memory().into()
}

impl From<NoMemory> for NoRecord {
    fn from(error: NoMemory) -> Self {
        Self::All(out_of_memory(error))
    }
}

#[cfg(test)]
mod tests;
