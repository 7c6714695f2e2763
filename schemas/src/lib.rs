//! Schemas: what the readers of a topic were promised about its keys and values.
//!
//! - [`framing`] reads and writes the id of a schema, before a value's bytes or in a header.
//! - [`avro`], [`protobuf`] and [`json_schema`] each compile a schema's text once and then check and encode values with it. What is wrong
//!   with a value is an [`Invalid`]: a path inside the value, and a reason.
//! - [`compiled`] is a schema of any of these formats.
//! - [`registry`] asks a schema registry, and remembers.
//!
//! Nothing in a schema or a value makes this crate panic, recurse without bound, or take memory that the bytes at hand do not pay for.

pub mod avro;
pub mod compiled;
mod document;
pub mod framing;
mod invalid;
pub mod json_schema;
pub mod protobuf;
pub mod registry;
mod value_schema;

pub use self::{
    compiled::{Compiled, Writer},
    framing::SchemaId,
    invalid::Invalid,
    value_schema::ValueSchema,
};

/// A schema's text and, for each reference in it, the name that the text uses and the text that it refers to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// The schema itself.
    pub text: String,
    /// What it refers to, directly or by way of another reference; what others need comes first. For Protobuf, the names are those of
    /// `import`; for JSON Schema, those of `$ref`; for Avro, full names of types.
    pub references: Vec<(String, String)>,
}

/// Why a schema cannot be used. The text says what is wrong with it and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadSchema(String);

impl BadSchema {
    /// Takes what is wrong; it is shortened, since it may quote the schema.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(invalid::shortened(reason.into()))
    }
}
