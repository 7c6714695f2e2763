//! A schema of any format, ready for use.

use crate::{BadSchema, Source, json_schema::JsonSchema, registry::Format};

/// A compiled schema. `Avro` and `Protobuf` are to come.
#[derive(Debug)]
pub enum Compiled {
    /// Values are JSON text.
    Json(JsonSchema),
}

impl Compiled {
    /// Compiles a schema, which may take milliseconds.
    pub fn compile(format: Format, source: &Source) -> Result<Self, BadSchema> {
        match format {
            Format::Json => JsonSchema::compile(source).map(Self::Json),
            Format::Avro | Format::Protobuf => Err(BadSchema::new(format!("schemas of {format} cannot be used yet"))),
        }
    }
}
