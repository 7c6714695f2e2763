//! The structured and the batch mode: the text of an event is the value of its record, byte for byte.

use std::{borrow::Cow, fmt, sync::Arc};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::attribute::{Known, Seen, check_name, check_text, shown};
use crate::{
    base::{
        outcome::RecordError,
        record::{Header, Record},
    },
    ingest::{
        error::{IngestError, told},
        parse::{
            context::Context,
            json::array,
            octet::Place,
            wire::{MAX_HEADERS, Text, is_too_deep, malformed},
        },
    },
    pipeline::Parsed,
};

const BATCH: &[u8] = b"-batch";
/// Where [`BATCH`] stands in a content type.
const BEFORE_BATCH: usize = "application/cloudevents".len();

/// The record of the one event in the body.
pub(super) fn one(
    topic: &Arc<str>,
    content_type: &[u8],
    place: Place,
    body: &Bytes,
    context: &Context<'_>,
) -> Result<Parsed, IngestError> {
    // A body that is not JSON is the request's error; JSON that is not an event is the record's.
    let whole: &RawValue = serde_json::from_slice(body).map_err(|error| IngestError::json(&error))?;
    if !whole.get().starts_with('{') {
        return Err(IngestError::NotAnObject(
            "the body is not a JSON object, as an event is; send several events as application/cloudevents-batch+json"
                .to_owned(),
        ));
    }
    context.memory.take_copied(content_type.len());
    let content_type = Bytes::copy_from_slice(content_type);
    let event = record(topic, &content_type, whole.get(), body, context);
    Ok(event.map(|event| Record {
        key: place.key.or(event.key),
        partition: place.partition,
        // With the white space around it.
        value: Some(body.clone()),
        ..event
    }))
}

/// The records of the array of events in the body.
pub(super) fn batch(
    topic: &Arc<str>,
    content_type: &[u8],
    body: &Bytes,
    context: &Context<'_>,
) -> Result<Vec<Parsed>, IngestError> {
    context.memory.take_copied(content_type.len());
    let content_type = of_one(content_type);
    array(body, context, |text| {
        record(topic, &content_type, text.get(), body, context)
    })
}

/// The content type of an event by itself, with the parameters of its batch.
fn of_one(batch: &[u8]) -> Bytes {
    let begin = batch.trim_ascii_start();
    let (before, rest) = begin.split_at_checked(BEFORE_BATCH).unwrap_or((begin, b""));
    let after = rest.get(BATCH.len()..).unwrap_or_default();
    Bytes::from([before, after].concat())
}

/// The record of an event with this text, which is a part of the body.
fn record(
    topic: &Arc<str>,
    content_type: &Bytes,
    text: &str,
    body: &Bytes,
    context: &Context<'_>,
) -> Result<Record, RecordError> {
    let limit = context.limits.json_depth;
    if is_too_deep(text, limit) {
        return Err(malformed(format!(
            "the event is nested deeper than limits.json_depth ({limit}); flatten its data, or send it as data_base64"
        )));
    }
    let Event { key } = serde_json::from_str(text)
        .map_err(|error| malformed(format!("the event is refused: {} of the event", told(&error))))?;
    Ok(Record {
        topic: Arc::clone(topic),
        key: key.map(|key| key.bytes(body, context)),
        value: Some(body.slice_ref(text.as_bytes())),
        headers: vec![Header {
            name: "content-type".into(),
            value: Some(content_type.clone()),
        }],
        partition: None,
        timestamp: None,
        schema: None,
    })
}

/// What is wanted of an event that has passed all checks.
struct Event<'a> {
    /// The attribute `partitionkey`.
    key: Option<Text<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Event<'a> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        struct EventVisitor;

        impl<'de> Visitor<'de> for EventVisitor {
            type Value = Event<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event: an object with id, source, specversion, type, …")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Event<'de>, A::Error> {
                let mut members = Members::default();
                let mut key = None;
                while let Some(Text(name)) = map.next_key()? {
                    let known = members.begin(&name)?;
                    let is_given = match known {
                        Some(Known::Data) => map.next_value::<Option<IgnoredAny>>()?.is_some(),
                        _ => match map.next_value_seed(Value { known, name: &name })? {
                            Member::Absent => false,
                            Member::Checked => true,
                            Member::Key(text) => {
                                key = Some(text);
                                true
                            }
                        },
                    };
                    members.end(known, name, is_given);
                }
                members.check()?;
                Ok(Event { key })
            }
        }

        de.deserialize_map(EventVisitor)
    }
}

/// The names of an event's members.
#[derive(Default)]
struct Members<'a> {
    /// Those that are known, with null or a value.
    named: Seen,
    /// Those that are known and have a value.
    given: Seen,
    extensions: Vec<Cow<'a, str>>,
}

impl<'a> Members<'a> {
    fn begin<E: Error>(&mut self, name: &str) -> Result<Option<Known>, E> {
        let known = Known::of(name);
        match known {
            Some(known) if self.named.add(known) => {}
            Some(_) => return Err(twice(name)),
            None if self.extensions.len() == MAX_HEADERS => {
                return Err(E::custom(format!("an event has at most {MAX_HEADERS} extensions")));
            }
            None => check_name(name).map_err(E::custom)?,
        }
        Ok(known)
    }

    fn end(&mut self, known: Option<Known>, name: Cow<'a, str>, is_given: bool) {
        match known {
            Some(known) if is_given => {
                self.given.add(known);
            }
            Some(_) => {}
            None => self.extensions.push(name),
        }
    }

    fn check<E: Error>(mut self) -> Result<(), E> {
        self.given.check_required().map_err(E::custom)?;
        if self.given.has(Known::Data) && self.given.has(Known::DataBase64) {
            return Err(E::custom("both data and data_base64 are given; keep one of them"));
        }
        self.extensions.sort_unstable();
        match self.extensions.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(twice(&pair[0])),
            None => Ok(()),
        }
    }
}

fn twice<E: Error>(name: &str) -> E {
    E::custom(format!("{} is there twice", shown(name)))
}

/// Checks the value of a member.
struct Value<'n> {
    known: Option<Known>,
    name: &'n str,
}

/// A member whose value has been checked.
enum Member<'a> {
    /// Null, which is the same as no member.
    Absent,
    Checked,
    /// The value of `partitionkey`.
    Key(Text<'a>),
}

impl Value<'_> {
    fn check<E: Error>(&self, text: &str) -> Result<(), E> {
        match self.known {
            Some(Known::DataBase64) => base64_simd::STANDARD
                .check(text.as_bytes())
                .map_err(|_| E::custom("data_base64 is not base64 (standard alphabet, padded)")),
            known => check_text(known, self.name, text).map_err(E::custom),
        }
    }

    /// Only extensions may be something else than text.
    fn other<'a, E: Error>(&self) -> Result<Member<'a>, E> {
        match self.known {
            None => Ok(Member::Checked),
            Some(_) => Err(E::custom(format!("{} is not a string", shown(self.name)))),
        }
    }

    fn integer<'a, E: Error>(&self, number: Option<i32>) -> Result<Member<'a>, E> {
        match number {
            Some(_) => self.other(),
            None => self.no_integer(),
        }
    }

    fn no_integer<'a, E: Error>(&self) -> Result<Member<'a>, E> {
        self.other::<E>()?;
        Err(E::custom(format!(
            "{} is a number other than a whole one of 32 bits, which no attribute can be; send it as a string",
            shown(self.name)
        )))
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Member<'de>;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Member<'de>, D::Error> {
        de.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Member<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an attribute: a string, a whole number, true, false or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Member<'de>, E> {
        Ok(Member::Absent)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Member<'de>, E> {
        self.other()
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Member<'de>, E> {
        self.integer(number.try_into().ok())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Member<'de>, E> {
        self.integer(number.try_into().ok())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Member<'de>, E> {
        self.no_integer()
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Member<'de>, E> {
        self.check(text)?;
        Ok(match self.known {
            Some(Known::PartitionKey) => Member::Key(Text(Cow::Borrowed(text))),
            _ => Member::Checked,
        })
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Member<'de>, E> {
        self.check(text)?;
        Ok(match self.known {
            Some(Known::PartitionKey) => Member::Key(Text(Cow::Owned(text.to_owned()))),
            _ => Member::Checked,
        })
    }
}
