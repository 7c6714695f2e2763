//! A second reader of the JSON form of a record. It works in another way than the first: slowly, field by field.

use std::{collections::HashSet, fmt, sync::Arc};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::base::record::{Header, Record, valid_topic};

const FIELDS: [&str; 8] = [
    "topic",
    "key",
    "key_base64",
    "value",
    "value_base64",
    "headers",
    "partition",
    "timestamp",
];

/// An object's fields, in the order of the text.
pub(super) struct Object<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Object(fields))
            }
        }

        de.deserialize_map(Fields)
    }
}

/// The record in this text. None where the text is not a valid record. `depth` is the deepest nesting that a value may
/// have.
pub(super) fn record(text: &str, topic: Option<&str>, depth: usize) -> Option<Record> {
    let Object(fields) = serde_json::from_str(text).ok()?;
    let names: HashSet<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    if names.len() < fields.len() || names.iter().any(|name| !FIELDS.contains(name)) {
        return None;
    }
    let given = |name: &str| {
        let (_, value) = fields.iter().find(|(field, _)| field == name)?;
        Some(value.get()).filter(|value| *value != "null")
    };
    let key = one_of(
        given("key").map(|text| typed(text).map(String::into_bytes)),
        given("key_base64").map(base64),
    )?;
    let value = one_of(
        given("value").map(|text| (nesting(text) <= depth).then(|| text.as_bytes().to_vec())),
        given("value_base64").map(base64),
    )?;
    let headers = match given("headers") {
        None => Vec::new(),
        Some(text) => typed_object(text)?.into_iter().map(header).collect::<Option<_>>()?,
    };
    let timestamp = given("timestamp").map_or(Some(None), |text| whole(text).map(Some))?;
    let partition = given("partition").map_or(Some(None), |text| whole(text).map(Some))?;
    Some(Record {
        topic: self::topic(given("topic").map_or(Some(None), |text| typed(text).map(Some))?, topic)?,
        key: key.map(Bytes::from),
        value: value.map(Bytes::from),
        headers,
        partition: partition.map(u32::try_from).transpose().ok()?,
        timestamp: match timestamp {
            Some(..=0) => return None,
            timestamp => timestamp,
        },
        schema: None,
    })
}

pub(super) fn typed<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

/// A whole number: digits alone, or a number whose fraction and exponent make it whole.
fn whole(text: &str) -> Option<i64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() < 19 {
        return text.parse().ok();
    }
    if let Some(number) = typed::<u64>(text) {
        return number.try_into().ok();
    }
    let number: f64 = typed(text)?;
    (number == number.trunc() && (0.0..=9_007_199_254_740_992.0).contains(&number)).then_some(number as i64)
}

fn typed_object(text: &str) -> Option<Vec<(String, &RawValue)>> {
    serde_json::from_str(text).ok().map(|Object(fields)| fields)
}

/// The bytes of a field that may be given in one of two ways. It may be absent, but not given twice.
#[allow(clippy::option_option, reason = "wrong, absent, or there")]
fn one_of(one: Option<Option<Vec<u8>>>, other: Option<Option<Vec<u8>>>) -> Option<Option<Vec<u8>>> {
    match (one, other) {
        (None, None) => Some(None),
        (Some(bytes), None) | (None, Some(bytes)) => bytes.map(Some),
        (Some(_), Some(_)) => None,
    }
}

fn topic(given: Option<String>, path: Option<&str>) -> Option<Arc<str>> {
    let name = match (given, path) {
        (given, Some(path)) => given.is_none_or(|given| given == path).then(|| path.to_owned()),
        (given, None) => given,
    };
    name.filter(|name| valid_topic(name).is_ok()).map(Arc::from)
}

fn header((name, value): (String, &RawValue)) -> Option<Header> {
    let value = match value.get() {
        "null" => None,
        text if text.starts_with('{') => match typed_object(text)?.as_slice() {
            [(name, value)] if name == "base64" => Some(base64(value.get())?),
            _ => return None,
        },
        text => Some(typed::<String>(text)?.into_bytes()),
    };
    (!name.contains('\0')).then(|| Header {
        name: name.into_boxed_str(),
        value: value.map(Bytes::from),
    })
}

/// Decodes a JSON string of base64 (standard alphabet, padded), bit by bit.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text: String = typed(text)?;
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let (mut bits, mut count, mut bytes) = (0_u32, 0_u32, Vec::new());
    for digit in digits.bytes() {
        bits = bits << 6 | ALPHABET.iter().position(|&letter| letter == digit)? as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    // The bits that are left over must be 0, so that each value has one spelling.
    (bits == 0).then_some(bytes)
}

/// How deep arrays and objects are nested in a JSON text.
pub(super) fn nesting(json: &str) -> usize {
    let bytes = json.as_bytes();
    let (mut at, mut open, mut deepest) = (0, 0_usize, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'[' | b'{' => open += 1,
            b']' | b'}' => open -= 1,
            _ => {}
        }
        deepest = deepest.max(open);
        at += 1;
    }
    deepest
}
