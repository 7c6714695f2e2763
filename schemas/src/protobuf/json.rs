//! JSON from Protobuf. The library reads the bytes, since it merges fields that are there in parts.
//!
//! It does not write the JSON: an `Any` in an `Any` in an `Any`, and so on, would make it recurse as deep as the bytes allow.

use prost_reflect::{DynamicMessage, Kind, MapKey, ReflectMessage as _, Value};
use serde::Serialize;

use super::{
    base64,
    check::Walk,
    encode::{MOST_DEPTH, too_deep},
    plan::{Plans, Special},
};
use crate::Invalid;

/// The most values of a message that is shown as JSON: the library takes some hundred bytes for one that has two in the message.
pub(super) const MOST_VALUES: usize = 65_536;

/// The message of this plan as JSON text, of at most `most` bytes.
pub(super) fn json(plans: &Plans, plan: u32, payload: &[u8], most: usize) -> Result<String, Invalid> {
    let mut walk = Walk::new(plans, MOST_VALUES);
    if let Err(wrong) = walk.message(plan, payload, 0) {
        return Err(match walk.has_too_many() {
            true => too_many(),
            false => wrong,
        });
    }
    let message = decoded(plans, plan, payload)?;
    let mut writer = Writer {
        plans,
        walk,
        out: Vec::new(),
        most,
    };
    writer.message(&message, 0)?;
    String::from_utf8(writer.out).map_err(|_| Invalid::new("a string is not UTF-8"))
}

fn too_many() -> Invalid {
    Invalid::new(format!(
        "it has over {MOST_VALUES} values, which is too many to show it as JSON"
    ))
}

fn decoded(plans: &Plans, plan: u32, bytes: &[u8]) -> Result<DynamicMessage, Invalid> {
    let full_name = &plans.message(plan).full_name;
    let message = plans
        .pool
        .get_message_by_name(full_name)
        .ok_or_else(|| Invalid::new(format!("`{full_name}` is not known")))?;
    DynamicMessage::decode(message, bytes).map_err(|error| Invalid::new(error.to_string()))
}

struct Writer<'p> {
    plans: &'p Plans,
    walk: Walk<'p>,
    out: Vec<u8>,
    most: usize,
}

impl Writer<'_> {
    fn put(&mut self, text: &str) -> Result<(), Invalid> {
        self.out.extend_from_slice(text.as_bytes());
        self.limit(0)
    }

    /// Fails if, with so many more bytes, there are too many.
    fn limit(&self, more: usize) -> Result<(), Invalid> {
        match self.out.len().saturating_add(more) > self.most {
            true => Err(Invalid::new(format!("as JSON it has over {} bytes", self.most))),
            false => Ok(()),
        }
    }

    fn by_serde<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Invalid> {
        serde_json::to_writer(&mut self.out, value).map_err(|error| Invalid::new(error.to_string()))?;
        self.limit(0)
    }

    fn text(&mut self, text: &str) -> Result<(), Invalid> {
        self.limit(text.len())?;
        self.by_serde(text)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Invalid> {
        self.limit(bytes.len())?;
        self.out.push(b'"');
        base64::put(bytes, &mut self.out);
        self.put("\"")
    }

    fn message(&mut self, message: &DynamicMessage, depth: u32) -> Result<(), Invalid> {
        if depth > MOST_DEPTH {
            return Err(too_deep());
        }
        match self.special(message) {
            Special::None => {
                self.put("{")?;
                self.fields(message, depth)?;
                self.put("}")
            }
            Special::Any => self.any(message, depth),
            Special::Wrapper => {
                let field = message.descriptor().fields().next();
                let field = field.ok_or_else(|| Invalid::new("a wrapper without a value"))?;
                self.value(&message.get_field(&field), &field.kind(), depth)
            }
            Special::Text | Special::Struct | Special::List | Special::Value => self.by_serde(message),
        }
    }

    fn special(&self, message: &DynamicMessage) -> Special {
        let index = self.plans.named(message.descriptor().full_name());
        index.map_or(Special::None, |index| self.plans.message(index).special)
    }

    /// The fields that are set, inside of an object that has begun.
    fn fields(&mut self, message: &DynamicMessage, depth: u32) -> Result<(), Invalid> {
        for (field, value) in message.fields() {
            // As the schema writes it, so that a path finds it in each format alike.
            let name = field.name();
            self.comma()?;
            self.text(name)?;
            self.put(":")?;
            self.value(value, &field.kind(), depth)
                .map_err(|wrong| wrong.in_field(name))?;
        }
        Ok(())
    }

    /// A comma, unless the object or array has just begun.
    fn comma(&mut self) -> Result<(), Invalid> {
        match self.out.last() {
            Some(b'{' | b'[') => Ok(()),
            _ => self.put(","),
        }
    }

    fn value(&mut self, value: &Value, kind: &Kind, depth: u32) -> Result<(), Invalid> {
        match value {
            Value::Bool(value) => self.by_serde(value),
            Value::I32(value) => self.by_serde(value),
            Value::U32(value) => self.by_serde(value),
            // As text, since a reader in JavaScript would round them.
            Value::I64(value) => self.put(&format!("\"{value}\"")),
            Value::U64(value) => self.put(&format!("\"{value}\"")),
            Value::F32(value) if value.is_finite() => self.by_serde(value),
            Value::F64(value) if value.is_finite() => self.by_serde(value),
            Value::F32(value) => self.no_number((*value).into()),
            Value::F64(value) => self.no_number(*value),
            Value::String(value) => self.text(value),
            Value::Bytes(value) => self.bytes(value),
            Value::EnumNumber(number) => self.enumeration(*number, kind),
            Value::Message(message) => self.message(message, depth + 1),
            Value::List(values) => {
                self.put("[")?;
                for (index, value) in values.iter().enumerate() {
                    self.comma()?;
                    self.value(value, kind, depth).map_err(|wrong| wrong.in_item(index))?;
                }
                self.put("]")
            }
            Value::Map(values) => {
                let entry = kind.as_message().and_then(|entry| entry.get_field(2));
                let kind = entry.ok_or_else(|| Invalid::new("a map without values"))?.kind();
                // The library's order is another each time.
                let mut values: Vec<_> = values.iter().collect();
                values.sort_unstable_by_key(|(key, _)| *key);
                self.put("{")?;
                for (key, value) in values {
                    self.comma()?;
                    self.key(key)?;
                    self.put(":")?;
                    self.value(value, &kind, depth)?;
                }
                self.put("}")
            }
        }
    }

    fn key(&mut self, key: &MapKey) -> Result<(), Invalid> {
        match key {
            MapKey::String(key) => self.text(key),
            MapKey::Bool(key) => self.put(&format!("\"{key}\"")),
            MapKey::I32(key) => self.put(&format!("\"{key}\"")),
            MapKey::I64(key) => self.put(&format!("\"{key}\"")),
            MapKey::U32(key) => self.put(&format!("\"{key}\"")),
            MapKey::U64(key) => self.put(&format!("\"{key}\"")),
        }
    }

    fn no_number(&mut self, value: f64) -> Result<(), Invalid> {
        self.put(match value {
            f64::INFINITY => "\"Infinity\"",
            f64::NEG_INFINITY => "\"-Infinity\"",
            _ => "\"NaN\"",
        })
    }

    fn enumeration(&mut self, number: i32, kind: &Kind) -> Result<(), Invalid> {
        let it = kind.as_enum();
        if it.is_some_and(|it| it.full_name() == "google.protobuf.NullValue") {
            return self.put("null");
        }
        match it.and_then(|it| it.get_value(number)) {
            Some(value) => self.text(value.name()),
            None => self.by_serde(&number),
        }
    }

    /// What is inside of an `Any`. What the schema cannot say, another may: it is shown as the bytes that it is.
    fn any(&mut self, message: &DynamicMessage, depth: u32) -> Result<(), Invalid> {
        let url = message.get_field_by_number(1);
        let url = url.as_ref().and_then(|url| url.as_str()).unwrap_or_default();
        let bytes = message.get_field_by_number(2);
        let bytes: &[u8] = bytes.as_ref().and_then(|it| it.as_bytes()).map_or(&[], |it| it);
        if url.is_empty() && bytes.is_empty() {
            return self.put("{}");
        }
        self.put("{\"@type\":")?;
        self.text(url)?;
        let name = url.rsplit_once('/').map(|(_, name)| name);
        let inside = name.and_then(|name| self.plans.named(name)).filter(|&index| {
            // Its values are among those that may be too many.
            self.walk.message(index, bytes, depth + 1).is_ok()
        });
        if self.walk.has_too_many() {
            return Err(too_many());
        }
        match inside {
            None => {
                self.put(",\"value\":")?;
                self.bytes(bytes)?;
            }
            Some(index) => {
                let inside = decoded(self.plans, index, bytes)?;
                match self.special(&inside) {
                    Special::None => self.fields(&inside, depth + 1)?,
                    _ => {
                        self.put(",\"value\":")?;
                        self.message(&inside, depth + 1)?;
                    }
                }
            }
        }
        self.put("}")
    }
}
