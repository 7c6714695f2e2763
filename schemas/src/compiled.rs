//! A schema of any format, ready for use.

use std::{borrow::Cow, sync::Arc};

use serde_json::Value;

use crate::{
    BadSchema, Invalid, Source,
    avro::AvroSchema,
    json_schema::JsonSchema,
    protobuf::{Message, ProtobufSchema},
    registry::{Format, Registered},
};

/// A compiled schema. What it reads and writes stands behind the schema's id; for Protobuf, it begins with the indexes of the message.
#[derive(Debug)]
pub struct Compiled {
    schema: Schema,
    /// The full name of what it describes, where there is one thing and it has a name.
    name: Option<Box<str>>,
}

#[derive(Debug)]
enum Schema {
    Avro(AvroSchema),
    Protobuf(ProtobufSchema),
    Json(JsonSchema),
}

/// Writes values by one schema, and one of its messages. Clones are cheap.
#[derive(Debug, Clone)]
pub struct Writer {
    /// It was compiled.
    registered: Arc<Registered>,
    /// Which message of a Protobuf schema.
    message: Option<Message>,
}

impl Compiled {
    /// Compiles a schema, which may take milliseconds.
    pub fn compile(format: Format, source: &Source) -> Result<Self, BadSchema> {
        let schema = match format {
            Format::Avro => Schema::Avro(AvroSchema::compile(source)?),
            Format::Protobuf => Schema::Protobuf(ProtobufSchema::compile(source)?),
            Format::Json => Schema::Json(JsonSchema::compile(source)?),
        };
        Ok(Self {
            schema,
            name: name_in(format, &source.text).map(String::into_boxed_str),
        })
    }

    /// The full name of what this payload holds: of Avro's record, Protobuf's message, or the title of a JSON Schema. `None` if it has none.
    pub fn name(&self, payload: &[u8]) -> Option<Cow<'_, str>> {
        match &self.schema {
            Schema::Protobuf(schema) => {
                let (message, _) = schema.message_at(payload).ok()?;
                Some(Cow::Owned(message.full_name().to_owned()))
            }
            Schema::Avro(_) | Schema::Json(_) => self.name.as_deref().map(Cow::Borrowed),
        }
    }

    /// Checks the JSON and appends it in the schema's format, without the indexes of a message: of Protobuf, the file's first one is
    /// written. If it does not fit, `out` is as before.
    pub fn encode(&self, json: &[u8], out: &mut Vec<u8>) -> Result<(), Invalid> {
        match &self.schema {
            Schema::Avro(schema) => schema.encode(json, out),
            Schema::Protobuf(schema) => schema
                .message(None)
                .map_err(|bad| Invalid::new(bad.to_string()))?
                .encode(json, out),
            Schema::Json(schema) => schema.encode(json, out),
        }
    }

    /// Decodes the whole payload and keeps nothing.
    pub fn check(&self, payload: &[u8]) -> Result<(), Invalid> {
        match &self.schema {
            Schema::Avro(schema) => schema.check(payload),
            Schema::Protobuf(schema) => schema.check(payload),
            Schema::Json(schema) => schema.check(payload),
        }
    }

    /// The same where the indexes of a message are elsewhere: in a header, behind the id.
    pub fn check_apart(&self, indexes: &[u8], payload: &[u8]) -> Result<(), Invalid> {
        match &self.schema {
            Schema::Protobuf(schema) => schema.message_at(indexes)?.0.check(payload),
            Schema::Avro(_) | Schema::Json(_) => self.check(payload),
        }
    }

    /// The payload as JSON text of at most `most` bytes.
    pub fn json(&self, payload: &[u8], most: usize) -> Result<String, Invalid> {
        match &self.schema {
            Schema::Avro(schema) => schema.json(payload, most),
            Schema::Protobuf(schema) => schema.json(payload, most),
            Schema::Json(schema) => schema.json(payload, most),
        }
    }

    /// The same where the indexes of a message are elsewhere.
    pub fn json_apart(&self, indexes: &[u8], payload: &[u8], most: usize) -> Result<String, Invalid> {
        match &self.schema {
            Schema::Protobuf(schema) => schema.message_at(indexes)?.0.json(payload, most),
            Schema::Avro(_) | Schema::Json(_) => self.json(payload, most),
        }
    }
}

impl Writer {
    /// Writes by this schema. `record` is the full name of a Protobuf message, by default the file's first, and has to be the name of an
    /// Avro record or the title of a JSON Schema where it is given for those.
    pub fn new(registered: Arc<Registered>, record: Option<&str>) -> Result<Self, BadSchema> {
        let compiled = registered
            .compiled()
            .map_err(|error| BadSchema::new(error.to_string()))?;
        let message = match &compiled.schema {
            Schema::Protobuf(schema) => Some(schema.message(record)?),
            Schema::Avro(_) | Schema::Json(_) => {
                if let Some(record) = record
                    && compiled.name.as_deref() != Some(record)
                {
                    let named = compiled.name.as_deref().unwrap_or("nothing with a name");
                    return Err(BadSchema::new(format!("it describes {named}, and not {record}")));
                }
                None
            }
        };
        Ok(Self { registered, message })
    }

    /// What has to stand between the schema's id and what [`Writer::encode`] writes: the indexes of the message in Protobuf, else nothing.
    pub fn index(&self) -> &[u8] {
        self.message.as_ref().map_or(&[], |message| message.index())
    }

    /// Checks the JSON and appends it in the schema's format. If it does not fit, `out` is as before.
    pub fn encode(&self, json: &[u8], out: &mut Vec<u8>) -> Result<(), Invalid> {
        if let Some(message) = &self.message {
            return message.encode(json, out);
        }
        match &self.registered.compiled {
            Ok(compiled) => compiled.encode(json, out),
            Err(bad) => Err(Invalid::new(bad.to_string())),
        }
    }
}

/// The name that a schema's text gives to what it describes.
fn name_in(format: Format, text: &str) -> Option<String> {
    let value: Value = match format {
        // Its messages have names of their own.
        Format::Protobuf => return None,
        Format::Avro | Format::Json => serde_json::from_str(text).ok()?,
    };
    let text = |field: &str| value.get(field).and_then(Value::as_str);
    if format == Format::Json {
        return text("title").map(str::to_owned);
    }
    let name = text("name")?;
    Some(match text("namespace") {
        Some(namespace) if !name.contains('.') && !namespace.is_empty() => format!("{namespace}.{name}"),
        _ => name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_named_as_other_serializers_name_it() {
        for (format, text, expected) in [
            (
                Format::Avro,
                r#"{"type":"record","name":"Order","namespace":"shop","fields":[]}"#,
                Some("shop.Order"),
            ),
            (
                Format::Avro,
                r#"{"type":"record","name":"a.Order","namespace":"shop","fields":[]}"#,
                Some("a.Order"),
            ),
            (Format::Avro, r#""string""#, None),
            (Format::Json, r#"{"title":"Order"}"#, Some("Order")),
            (Format::Json, "true", None),
        ] {
            assert_eq!(name_in(format, text).as_deref(), expected, "{text}");
        }
    }
}
