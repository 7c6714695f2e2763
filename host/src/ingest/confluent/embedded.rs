//! From the body of a call to records.
//!
//! As in Confluent's REST Proxy, a record that cannot be read makes the whole call fail, and nothing of it is taken.

use std::{cell::Cell, fmt, marker::PhantomData};

use bytes::Bytes;
use hyper::HeaderMap;
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;

use crate::{
    base::{outcome::RecordError, record::Record},
    ingest::{
        error::{IngestError, told},
        parse::{self, Bound, Context, Text, Whole},
    },
    pipeline::Parsed,
};

/// The content types that are taken, for messages.
const ACCEPTED: &str = "application/vnd.kafka.json.v2+json or application/vnd.kafka.binary.v2+json";

/// How keys and values stand in a body: Confluent's "embedded format".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Embedded {
    /// Any JSON, of which the text is written.
    Json,
    /// Strings of base64.
    Binary,
}

impl Embedded {
    /// Reads the format from the request's headers; 415 for any other.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, IngestError> {
        let Some(given) = parse::content_type(headers)? else {
            return Err(IngestError::MissingContentType(format!(
                "there is no Content-Type; send {ACCEPTED}"
            )));
        };
        let known = [
            ("application/vnd.kafka.json.v2+json", Self::Json),
            ("application/vnd.kafka.binary.v2+json", Self::Binary),
        ];
        let found = known.into_iter().find(|(name, _)| given.eq_ignore_ascii_case(name));
        found.map(|(_, embedded)| embedded).ok_or_else(|| {
            let shown: String = given.chars().take(64).collect();
            IngestError::UnsupportedContentType(format!(
                "Content-Type {shown:?} is not supported; send {ACCEPTED} (a route can have a schema, by which the \
                 sidecar encodes JSON)"
            ))
        })
    }

    /// Makes records of a body. Those that name no partition get `partition`.
    pub(super) fn records(
        self,
        body: &Bytes,
        partition: Option<u32>,
        context: &Context<'_>,
    ) -> Result<Vec<Parsed>, IngestError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(no_records());
        }
        let over = Cell::new(false);
        let bound = Bound::new(context, &over, |Object(wire): Object<Wire<'_>>| {
            self.record(&wire, partition, body, context)
        });
        let mut de = serde_json::Deserializer::from_slice(body);
        let records = Document(bound).deserialize(&mut de);
        match records.and_then(|records| de.end().map(|()| records)) {
            Ok(records) => check(records),
            Err(_) if over.get() => Err(parse::too_many(context.limits)),
            Err(_) if context.memory.is_over() => Err(parse::no_memory()),
            Err(error) if error.is_data() => Err(IngestError::InvalidMessage(format!(
                "the body is not a produce request: {}",
                told(&error)
            ))),
            Err(error) => Err(IngestError::json(&error)),
        }
    }

    fn record(self, wire: &Wire<'_>, partition: Option<u32>, body: &Bytes, context: &Context<'_>) -> Parsed {
        Ok(Record {
            topic: parse::topic(None, context)?,
            key: self.bytes("key", wire.key, body, context)?,
            value: self.bytes("value", wire.value, body, context)?,
            headers: Vec::new(),
            partition: wire.partition.as_ref().map(|Whole(own)| *own).or(partition),
            timestamp: None,
            schema: None,
        })
    }

    fn bytes(
        self,
        field: &str,
        given: Option<&RawValue>,
        body: &Bytes,
        context: &Context<'_>,
    ) -> Result<Option<Bytes>, RecordError> {
        let Some(text) = given.map(RawValue::get) else {
            return Ok(None);
        };
        match self {
            Self::Json => {
                let limit = context.limits.json_depth;
                if parse::is_too_deep(text, limit) {
                    return Err(parse::malformed(format!(
                        "{field} is nested deeper than limits.json_depth ({limit}); flatten it, or send it as binary"
                    )));
                }
                Ok(Some(body.slice_ref(text.as_bytes())))
            }
            Self::Binary => match serde_json::from_str::<Text<'_>>(text) {
                Ok(text) => text.decode(field, context).map(Some),
                Err(_) => Err(parse::malformed(format!("{field} is not a string of base64"))),
            },
        }
    }
}

/// Refuses all records for one that cannot be read, or if there are none.
fn check(records: Vec<Parsed>) -> Result<Vec<Parsed>, IngestError> {
    let refused = records
        .iter()
        .enumerate()
        .find_map(|(index, parsed)| Some((index, parsed.as_ref().err()?)));
    match refused {
        Some((index, error)) => Err(IngestError::InvalidMessage(format!(
            "records[{index}]: {}; nothing was taken",
            error.message
        ))),
        None if records.is_empty() => Err(no_records()),
        None => Ok(records),
    }
}

fn no_records() -> IngestError {
    IngestError::EmptyBody("there are no records; send {\"records\":[{\"key\":…,\"value\":…}]}".to_owned())
}

/// A record as it stands in a body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    partition: Option<Whole<u32>>,
}

/// An object only: the derived reader would also take an array of its fields.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record: an object with key, value, partition")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        de.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// The whole body. Schemas mean nothing for these formats.
struct Document<'s, T, F>(Bound<'s, T, F>);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Records,
    KeySchema,
    KeySchemaId,
    ValueSchema,
    ValueSchemaId,
}

impl<'de, T: Deserialize<'de>, F: Fn(T) -> Parsed> DeserializeSeed<'de> for Document<'_, T, F> {
    type Value = Vec<Parsed>;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Vec<Parsed>, D::Error> {
        de.deserialize_map(self)
    }
}

impl<'de, T: Deserialize<'de>, F: Fn(T) -> Parsed> Visitor<'de> for Document<'_, T, F> {
    type Value = Vec<Parsed>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{\"records\":[…]}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Parsed>, A::Error> {
        let (mut bound, mut records) = (Some(self.0), Vec::new());
        while let Some(field) = map.next_key()? {
            match (field, bound.take()) {
                (Field::Records, Some(bound)) => records = map.next_value_seed(bound)?,
                (Field::Records, None) => return Err(A::Error::duplicate_field("records")),
                (_, unused) => {
                    map.next_value::<IgnoredAny>()?;
                    bound = unused;
                }
            }
        }
        Ok(records)
    }
}
