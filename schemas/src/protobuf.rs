//! Protobuf.
//!
//! A value holds the schema's id, then which message of the schema it is ([`Message::index`]), then the message. What the parts take
//! and give:
//!
//! - [`Message::encode`] reads JSON as Protobuf defines it (<https://protobuf.dev/programming-guides/json/>), strictly: a name that the
//!   schema does not have, or one that is there twice, is a mistake.
//! - [`Message::check`] reads the whole message. Numbers of fields that the schema does not have are no mistake: newer writers have them.
//! - [`Message::json`] writes JSON with the names as the schema has them, so that one path finds a field in each format; Protobuf's own
//!   libraries write them in lowerCamelCase. Fields that are not set are left out.
//!
//! Of a schema's text, extensions, services and options other than `packed`, `allow_alias` and `json_name` are not looked at; a field
//! that is an extension is unknown. Editions are not supported, nor is `message_set_wire_format`.

use std::{fmt, sync::Arc};

use crate::{BadSchema, Invalid, Source};

mod base64;
mod check;
mod compile;
mod encode;
mod index;
mod json;
mod marks;
mod number;
mod plan;
#[cfg(test)]
mod tests;
mod text;
mod wire;

use self::{check::Walk, index::Index, plan::Plans};

/// A compiled schema: all messages of a `.proto` file.
#[derive(Clone)]
pub struct ProtobufSchema {
    inner: Arc<Inner>,
}

struct Inner {
    plans: Plans,
    index: Index,
}

/// One message of a schema. Cheap to clone.
#[derive(Clone)]
pub struct Message {
    schema: Arc<Inner>,
    /// Its place in the schema's index.
    at: usize,
}

impl ProtobufSchema {
    /// Compiles the text of a `.proto` file (proto2 or proto3) with the texts that it imports. `google/protobuf/*.proto` are there
    /// without a reference, and so is what Confluent's converters import: its `meta.proto` and `type/decimal.proto`, and Google's
    /// `type/date.proto` and `type/timeofday.proto`.
    ///
    /// # Errors
    ///
    /// The text, or one that it imports, is not Protobuf, is not among the references, imports itself, or is too large: over 1 MiB, over
    /// 60,000 messages, fields and enum values with all imports, or over 256 files.
    pub fn compile(source: &Source) -> Result<Self, BadSchema> {
        let compiled = compile::compile(source)?;
        let plans = Plans::new(compiled.pool)?;
        let index = Index::new(&compiled.package, &compiled.declared, &plans)?;
        Ok(Self {
            inner: Arc::new(Inner { plans, index }),
        })
    }

    /// The message of this full name (`shop.Order`, `shop.Order.Item`), or the first one of the text. Those of imports are none.
    ///
    /// # Errors
    ///
    /// There is none of this name; the text lists those that there are.
    pub fn message(&self, full_name: Option<&str>) -> Result<Message, BadSchema> {
        let at = self.inner.index.find(full_name)?;
        Ok(self.at(at))
    }

    /// Reads, from the beginning of what follows a schema's id, which message it is, and how many bytes say so.
    ///
    /// # Errors
    ///
    /// The bytes end before, or name a message that the schema does not have.
    pub fn message_at(&self, bytes: &[u8]) -> Result<(Message, usize), Invalid> {
        let (at, len) = self.inner.index.read(bytes)?;
        Ok((self.at(at), len))
    }

    fn at(&self, at: usize) -> Message {
        Message {
            schema: self.inner.clone(),
            at,
        }
    }

    /// Appends what follows the schema's id: the index and the bytes of the schema's first message.
    ///
    /// # Errors
    ///
    /// As [`Message::encode`]; or the schema has no message. `out` is as before then.
    pub fn encode(&self, json: &[u8], out: &mut Vec<u8>) -> Result<(), Invalid> {
        let message = self.message(None).map_err(|error| Invalid::new(error.to_string()))?;
        let start = out.len();
        out.extend_from_slice(message.index());
        let result = message.encode(json, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    /// Checks what follows the schema's id, whichever message of the schema it is.
    ///
    /// # Errors
    ///
    /// As [`ProtobufSchema::message_at`] and [`Message::check`].
    pub fn check(&self, payload: &[u8]) -> Result<(), Invalid> {
        let (message, len) = self.message_at(payload)?;
        message.check(&payload[len..])
    }

    /// What follows the schema's id as JSON text of at most `most` bytes, whichever message of the schema it is.
    ///
    /// # Errors
    ///
    /// As [`ProtobufSchema::message_at`] and [`Message::json`].
    pub fn json(&self, payload: &[u8], most: usize) -> Result<String, Invalid> {
        let (message, len) = self.message_at(payload)?;
        message.json(&payload[len..], most)
    }
}

impl Message {
    /// What stands between the schema's id and the message.
    pub fn index(&self) -> &[u8] {
        self.schema.index.bytes(self.at)
    }

    /// The name with the package and the messages around it.
    pub fn full_name(&self) -> &str {
        &self.schema.plans.message(self.plan()).full_name
    }

    fn plan(&self) -> u32 {
        self.schema.index.plan(self.at)
    }

    /// Appends the bytes of the message that a JSON text describes, without the index. Fields are in the order of their numbers.
    ///
    /// # Errors
    ///
    /// The text is not JSON, or does not follow the schema. `out` is as before then.
    pub fn encode(&self, json: &[u8], out: &mut Vec<u8>) -> Result<(), Invalid> {
        encode::encode(&self.schema.plans, self.plan(), json, out)
    }

    /// Checks the bytes of a message, without the index, and keeps nothing of it. What is inside of an `Any` is not checked.
    ///
    /// # Errors
    ///
    /// A length, wire type or text is wrong, a required field is missing, or messages nest deeper than 100.
    pub fn check(&self, payload: &[u8]) -> Result<(), Invalid> {
        Walk::new(&self.schema.plans, usize::MAX).message(self.plan(), payload, 0)
    }

    /// The bytes of a message, without the index, as JSON text of at most `most` bytes. An `Any` whose type the schema does not have, or
    /// whose bytes are not of that type, is shown as bytes (`{"@type": …, "value": "<base64>"}`).
    ///
    /// # Errors
    ///
    /// As [`Message::check`]; or the JSON is longer than `most`, the message has over 65,536 values, or a time or number in it has no
    /// JSON.
    pub fn json(&self, payload: &[u8], most: usize) -> Result<String, Invalid> {
        json::json(&self.schema.plans, self.plan(), payload, most)
    }
}

impl fmt::Debug for ProtobufSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtobufSchema").finish_non_exhaustive()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Message").field(&self.full_name()).finish()
    }
}
