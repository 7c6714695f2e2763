//! R, the JSON form of a record, and how it becomes a [`Record`].

use std::{borrow::Cow, fmt, marker::PhantomData, sync::Arc};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Unexpected, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;

use super::context::Context;
use crate::base::{
    outcome::{Code, RecordError},
    record::{Header, Record, valid_topic},
};

/// Most headers of a record: a few bytes of a body become many in memory.
pub(in crate::ingest) const MAX_HEADERS: usize = 1_000;

/// R as an object only: the derived reader would also take an array of its fields.
#[derive(Debug)]
pub(super) struct Object<'a>(pub(super) Wire<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record: an object with key, value, headers, …")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<'de>, A::Error> {
                Wire::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        de.deserialize_map(ObjectVisitor)
    }
}

/// R as it stands in a body. Everything borrows from the body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wire<'a> {
    #[serde(borrow)]
    topic: Option<Text<'a>>,
    #[serde(borrow)]
    key: Option<Text<'a>>,
    #[serde(borrow)]
    key_base64: Option<Text<'a>>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    value_base64: Option<Text<'a>>,
    #[serde(borrow)]
    headers: Option<Headers<'a>>,
    partition: Option<Whole<u32>>,
    timestamp: Option<Whole<u64>>,
}

/// A whole number in any notation: in JSON and in many clients, `3.0` and `3` are the same.
#[derive(Debug)]
pub(in crate::ingest) struct Whole<T>(pub(in crate::ingest) T);

/// Up to here, each whole number has a floating-point number of its own.
const EXACT: f64 = (1_u64 << 53) as f64;

/// A string; without escapes it stays a slice of the body.
#[derive(Debug)]
pub(in crate::ingest) struct Text<'a>(pub(super) Cow<'a, str>);

/// Headers as a list: names may repeat, and their order counts.
#[derive(Debug)]
struct Headers<'a>(Vec<(Text<'a>, HeaderValue<'a>)>);

#[derive(Debug)]
enum HeaderValue<'a> {
    Null,
    Text(Text<'a>),
    Base64(Text<'a>),
}

impl Wire<'_> {
    /// Makes the record, with slices of `body`, which contains this R.
    pub(super) fn into_record(self, body: &Bytes, context: &Context<'_>) -> Result<Record, RecordError> {
        let key = match (self.key, self.key_base64) {
            (Some(_), Some(_)) => return Err(malformed("both key and key_base64 are given; keep one of them")),
            (Some(text), None) => Some(text.bytes(body, context)),
            (None, Some(text)) => Some(text.decode("key_base64", context)?),
            (None, None) => None,
        };
        let value = match (self.value, self.value_base64) {
            (Some(_), Some(_)) => return Err(malformed("both value and value_base64 are given; keep one of them")),
            (Some(json), None) => {
                let limit = context.limits.json_depth;
                if is_too_deep(json.get(), limit) {
                    return Err(malformed(format!(
                        "value is nested deeper than limits.json_depth ({limit}); flatten it, or send it as value_base64"
                    )));
                }
                Some(body.slice_ref(json.get().as_bytes()))
            }
            (None, Some(text)) => Some(text.decode("value_base64", context)?),
            (None, None) => None,
        };
        let headers = self.headers.map_or_else(Vec::new, |headers| headers.0);
        let mut read = Vec::with_capacity(headers.len());
        for (name, value) in headers {
            read.push(header(name, value, body, context)?);
        }
        let timestamp = self
            .timestamp
            .map(|Whole(timestamp)| self::timestamp(timestamp))
            .transpose()?;
        Ok(Record {
            topic: topic(self.topic.as_ref().map(|text| &*text.0), context)?,
            key,
            value,
            headers: read,
            partition: self.partition.map(|Whole(partition)| partition),
            timestamp,
            schema: None,
        })
    }
}

/// Checks a time: milliseconds since 1970, at least 1.
pub(in crate::ingest) fn timestamp(milliseconds: u64) -> Result<i64, RecordError> {
    // To librdkafka, 0 means "now".
    if milliseconds == 0 {
        return Err(malformed(
            "timestamp is 0; it is in milliseconds since 1970, and left out for now",
        ));
    }
    i64::try_from(milliseconds).map_err(|_| malformed("timestamp is too large; it is in milliseconds since 1970"))
}

/// The topic of the path, or the one that the record names.
pub(in crate::ingest) fn topic(given: Option<&str>, context: &Context<'_>) -> Result<Arc<str>, RecordError> {
    match (&context.topic, given) {
        (Some(path), None) => Ok(Arc::clone(path)),
        (Some(path), Some(given)) if *given == **path => Ok(Arc::clone(path)),
        (Some(path), Some(_)) => Err(RecordError::new(
            Code::TopicMismatch,
            format!("the record names another topic than the path (\"{path}\"); leave it out, or send to /v1/records"),
        )),
        (None, Some(given)) => match valid_topic(given) {
            Ok(()) => Ok(Arc::from(given)),
            Err(problem) => Err(RecordError::new(Code::InvalidTopic, problem)),
        },
        (None, None) => Err(malformed(
            "the record names no topic; add \"topic\", or send to /v1/topics/{topic}/records",
        )),
    }
}

fn header(name: Text<'_>, value: HeaderValue<'_>, body: &Bytes, context: &Context<'_>) -> Result<Header, RecordError> {
    Ok(Header {
        // librdkafka takes names as C strings.
        name: match name.0 {
            name if name.contains('\0') => return Err(malformed("a header's name has a zero byte")),
            name => name.into_owned().into_boxed_str(),
        },
        value: match value {
            HeaderValue::Null => None,
            HeaderValue::Text(text) => Some(text.bytes(body, context)),
            HeaderValue::Base64(text) => Some(text.decode("a header's base64", context)?),
        },
    })
}

pub(in crate::ingest) fn malformed(message: impl Into<Cow<'static, str>>) -> RecordError {
    RecordError::new(Code::MalformedRecord, message)
}

/// Whether a value is nested too deep for its consumers. This process skips values without recursion, so depth costs it
/// nothing.
pub(in crate::ingest) fn is_too_deep(json: &str, limit: usize) -> bool {
    // Each level takes two bytes, so most values are too short to be too deep.
    if json.len() < 2 * (limit + 1) {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

impl Text<'_> {
    /// Its bytes: a slice of `body`, unless it had escapes.
    pub(super) fn bytes(self, body: &Bytes, context: &Context<'_>) -> Bytes {
        match self.0 {
            Cow::Borrowed(text) => body.slice_ref(text.as_bytes()),
            Cow::Owned(text) => {
                context.memory.take_copied(text.capacity());
                Bytes::from(text)
            }
        }
    }

    /// The bytes that it is base64 of. `field` is its name for people.
    pub(in crate::ingest) fn decode(&self, field: &str, context: &Context<'_>) -> Result<Bytes, RecordError> {
        context.memory.take_copied(self.0.len());
        base64_simd::STANDARD
            .decode_to_vec(self.0.as_bytes())
            .map(Bytes::from)
            .map_err(|_| malformed(format!("{field} is not base64 (standard alphabet, padded)")))
    }
}

impl<'de, T: TryFrom<u64>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        struct WholeVisitor<T>(PhantomData<T>);

        impl<T: TryFrom<u64>> Visitor<'_> for WholeVisitor<T> {
            type Value = Whole<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from 0 that has {} bits", 8 * size_of::<T>())
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Whole<T>, E> {
                let given = Unexpected::Unsigned(number);
                T::try_from(number)
                    .map(Whole)
                    .map_err(|_| E::invalid_value(given, &self))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Whole<T>, E> {
                match u64::try_from(number) {
                    Ok(number) => self.visit_u64(number),
                    Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
                }
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Whole<T>, E> {
                let is_whole = number.fract() == 0.0 && (0.0..=EXACT).contains(&number);
                match is_whole.then(|| T::try_from(number as u64)) {
                    Some(Ok(number)) => Ok(Whole(number)),
                    Some(Err(_)) | None => Err(E::invalid_value(Unexpected::Float(number), &self)),
                }
            }
        }

        de.deserialize_u64(WholeVisitor(PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        de.deserialize_str(TextVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Headers<'a> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        struct HeadersVisitor;

        impl<'de> Visitor<'de> for HeadersVisitor {
            type Value = Headers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of headers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers<'de>, A::Error> {
                let mut headers = Vec::new();
                while let Some(header) = map.next_entry()? {
                    if headers.len() == MAX_HEADERS {
                        return Err(A::Error::custom(format!("a record has at most {MAX_HEADERS} headers")));
                    }
                    headers.push(header);
                }
                Ok(Headers(headers))
            }
        }

        de.deserialize_map(HeadersVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for HeaderValue<'a> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        struct ValueVisitor;

        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "lowercase")]
        enum Field {
            Base64,
        }

        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = HeaderValue<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a header's value: a string, null, or {\"base64\":\"…\"}")
            }

            fn visit_unit<E: Error>(self) -> Result<HeaderValue<'de>, E> {
                Ok(HeaderValue::Null)
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<HeaderValue<'de>, E> {
                Ok(HeaderValue::Text(Text(Cow::Borrowed(text))))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<HeaderValue<'de>, E> {
                Ok(HeaderValue::Text(Text(Cow::Owned(text.to_owned()))))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HeaderValue<'de>, A::Error> {
                let mut value = None;
                while let Some(Field::Base64) = map.next_key()? {
                    if value.replace(map.next_value()?).is_some() {
                        return Err(A::Error::duplicate_field("base64"));
                    }
                }
                value
                    .map(HeaderValue::Base64)
                    .ok_or_else(|| A::Error::missing_field("base64"))
            }
        }

        de.deserialize_any(ValueVisitor)
    }
}
