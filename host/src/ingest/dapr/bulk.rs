//! The body of a bulk: `[{"entryId":…,"event":…,"contentType":…,"metadata":{…}}]`. As with Dapr, names of members may be in any case
//! of letters, and a bulk of which one event cannot be read is refused as a whole.

use std::{borrow::Cow, collections::HashSet, fmt};

use base64_simd::STANDARD;
use bytes::Bytes;
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    envelope::is,
    event::{Event, Publication, out_of_memory},
    metadata::Metadata,
    refusal::Refusal,
};
use crate::{
    ingest::{
        error::told,
        parse::{Context, MAX_HEADERS, no_memory, too_many},
    },
    pipeline::Parsed,
};

/// Memory for the id of an event: in the list, in the set, and in the reply.
const ID_BYTES: usize = 6 * size_of::<Bytes>();

/// The records of a bulk, and the id of each of them.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) records: Vec<Parsed>,
    pub(super) ids: Vec<Bytes>,
}

/// One event as it stands in the body.
#[derive(Debug, Default)]
struct Entry<'a> {
    id: Option<Text<'a>>,
    event: Option<&'a RawValue>,
    content_type: Option<Text<'a>>,
    metadata: Option<Pairs<'a>>,
}

/// A string; without escapes it stays a slice of the body.
#[derive(Debug, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Metadata as it stands in the body.
#[derive(Debug)]
struct Pairs<'a>(Vec<(Text<'a>, Text<'a>)>);

/// Reads each event, and makes a record of it at once.
struct Reading<'s> {
    body: &'s Bytes,
    publication: &'s Publication<'s>,
    context: &'s Context<'s>,
    seen: HashSet<Bytes>,
    entries: Entries,
    /// Why it was given up.
    refusal: Option<Refusal>,
}

impl Entries {
    /// Reads a body.
    pub(super) fn of(body: &Bytes, publication: &Publication<'_>, context: &Context<'_>) -> Result<Self, Refusal> {
        let mut reading = Reading {
            body,
            publication,
            context,
            seen: HashSet::new(),
            entries: Self::default(),
            refusal: None,
        };
        let mut de = serde_json::Deserializer::from_slice(body);
        let read = (&mut reading).deserialize(&mut de).and_then(|()| de.end());
        match (read, reading.refusal) {
            (Ok(()), _) => Ok(reading.entries),
            (Err(_), Some(refusal)) => Err(refusal),
            (Err(_), None) if context.memory.is_over() => Err(no_memory().into()),
            (Err(error), None) => Err(Refusal::bad_events(&told(&error))),
        }
    }
}

impl Reading<'_> {
    fn take(&mut self, entry: Entry<'_>) -> Result<(), Refusal> {
        let index = self.entries.records.len();
        if index == self.context.limits.max_records {
            return Err(too_many(self.context.limits).into());
        }
        let id = self.id(entry.id, index)?;
        let content_type = entry.content_type.map(|Text(text)| text).unwrap_or_default();
        let mut metadata = Metadata::default();
        for (Text(name), text) in entry.metadata.map(|Pairs(pairs)| pairs).unwrap_or_default() {
            metadata.insert(name, self.bytes(text)?);
        }
        let event = Event {
            index,
            data: self.data(entry.event, &content_type, index)?,
            content_type: &content_type,
            metadata: &metadata,
        };
        let record = self.publication.record(&event, self.context)?;
        self.entries.records.push(record);
        self.entries.ids.push(id);
        Ok(())
    }

    /// The id, which no other event has.
    fn id(&mut self, id: Option<Text<'_>>, index: usize) -> Result<Bytes, Refusal> {
        let id = id.filter(|Text(id)| !id.is_empty()).ok_or_else(|| no_id(index))?;
        // In the reply it stands twice, and each of its characters may need an escape.
        let memory = &self.context.memory;
        memory.take(ID_BYTES + 4 * id.0.len()).map_err(out_of_memory)?;
        let id = self.bytes(id)?;
        match self.seen.insert(id.clone()) {
            true => Ok(id),
            false => Err(same_id(index)),
        }
    }

    /// The data of an event, whose form follows from its content type.
    fn data(&self, event: Option<&RawValue>, content_type: &str, index: usize) -> Result<Bytes, Refusal> {
        let json = event.map_or("null", RawValue::get);
        let mismatch =
            |what: &str| Refusal::bad_events(&format!("the event {index} and its contentType do not fit: {what}"));
        let text = || {
            let text = serde_json::from_str::<Text<'_>>(json);
            text.map_err(|_| mismatch("expected a string, as for text/plain and application/octet-stream"))
        };
        if is(content_type, "application/octet-stream") {
            let Text(text) = text()?;
            let memory = &self.context.memory;
            memory.take(text.len()).map_err(out_of_memory)?;
            return STANDARD
                .decode_to_vec(text.as_bytes())
                .map(Bytes::from)
                .map_err(|_| mismatch("expected base64 (standard alphabet, padded)"));
        }
        let is_text = content_type
            .get(..5)
            .is_some_and(|begin| begin.eq_ignore_ascii_case("text/"));
        if is_text || is(content_type, "application/xml") {
            return self.bytes(text()?);
        }
        if is(content_type, "application/json") || is(content_type, "application/cloudevents+json") {
            return Ok(match event {
                Some(event) => self.body.slice_ref(event.get().as_bytes()),
                None => Bytes::from_static(b"null"),
            });
        }
        Err(mismatch(
            "it must be application/json, application/cloudevents+json, application/octet-stream, application/xml or text/…",
        ))
    }

    fn bytes(&self, Text(text): Text<'_>) -> Result<Bytes, Refusal> {
        Ok(match text {
            Cow::Borrowed(text) => self.body.slice_ref(text.as_bytes()),
            Cow::Owned(text) => {
                self.context.memory.take(text.capacity()).map_err(out_of_memory)?;
                Bytes::from(text)
            }
        })
    }
}

/// This event of a bulk has no id.
pub(super) fn no_id(index: usize) -> Refusal {
    Refusal::bad_events(&format!("event {index} has no entryId"))
}

/// This event of a bulk has the id of another one.
pub(super) fn same_id(index: usize) -> Refusal {
    Refusal::bad_events(&format!("event {index} has the entryId of an earlier one"))
}

impl<'de> DeserializeSeed<'de> for &mut Reading<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<(), D::Error> {
        de.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Reading<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(entry) = seq.next_element()? {
            if let Err(refusal) = self.take(entry) {
                self.refusal = Some(refusal);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Entry<'a> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        struct EntryVisitor;

        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = Entry<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event: an object with entryId, event, contentType and metadata")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry<'de>, A::Error> {
                let mut entry = Entry::default();
                while let Some(Text(name)) = map.next_key()? {
                    match name {
                        name if name.eq_ignore_ascii_case("entryId") => entry.id = map.next_value()?,
                        name if name.eq_ignore_ascii_case("event") => entry.event = map.next_value()?,
                        name if name.eq_ignore_ascii_case("contentType") => entry.content_type = map.next_value()?,
                        name if name.eq_ignore_ascii_case("metadata") => entry.metadata = map.next_value()?,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(entry)
            }
        }

        de.deserialize_map(EntryVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        struct PairsVisitor;

        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("metadata: an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    if pairs.len() == MAX_HEADERS {
                        return Err(A::Error::custom(format!(
                            "an event has at most {MAX_HEADERS} names of metadata"
                        )));
                    }
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        de.deserialize_map(PairsVisitor)
    }
}

#[cfg(test)]
mod tests;
