//! Avro, by its specification (1.12): a schema is compiled once, and values go between JSON and Avro's bytes.
//!
//! What is taken as JSON is Avro's own JSON encoding, in which a string stands for bytes and `fixed` (each letter from U+0000 to U+00FF is
//! a byte), the words `NaN`, `Infinity` and `-Infinity` for numbers that JSON lacks, and `{"branch": value}` for a union's value. Besides:
//!
//! - In a union, a value need not name its branch where one branch alone can be meant. Whole numbers go to `int` before `long`, numbers
//!   with a point or an exponent to `double` before `float`; a whole number is not rounded if the union has a type for whole numbers. Of
//!   strings, each branch is tried: `string`, bytes, an enum with this symbol, a `fixed` of this length; then those below. An object with
//!   one entry that is called like a branch names that branch.
//! - Fields come in any order. Fields that are missing take their default; if they have none, they are a mistake, as are fields that the
//!   schema does not have, and names that stand twice.
//! - `date`, `time-*`, `timestamp-*` and `local-timestamp-*` are numbers or RFC 3339's text: `"2025-03-30"`, `"10:20:30.5"`,
//!   `"2025-03-30T10:20:30.5+02:00"` and, for the local ones, the same without offset. A text with more digits of a second than the type
//!   holds is refused.
//! - A `decimal` is a string of its bytes, or a number with no more digits than its precision and scale allow. A number with a point is
//!   taken with at most 15 digits, those that a double keeps. A string of digits is not taken: it is bytes, too.
//! - A `uuid` has to be one, with its dashes; one that is `fixed` may be written so as well.
//!
//! Where a schema is nothing but `bytes`, a value is these bytes, without their length before them: so do Confluent's serializers in Java.
//!
//! What is written as JSON has the same forms, but never names a branch, so that a path to a field is the same with and without a union;
//! logical types are written as the numbers and bytes that they are.

mod compile;
mod decode;
mod defaults;
mod encode;
mod finite;
mod logical;
mod names;
mod scalars;
mod seen;
mod sinks;
#[cfg(test)]
mod tests;
mod types;
mod unions;

use self::{
    sinks::{Nothing, Text},
    types::Types,
};
use crate::{BadSchema, Invalid, Source, document::Document};

/// A schema that was compiled. It is not changed any more, and may be shared.
#[derive(Debug)]
pub struct AvroSchema {
    types: Types,
}

impl AvroSchema {
    /// Compiles a schema and what it refers to. At most 10,000 types, nested 127 deep in the text; defaults of at most 1 MiB.
    ///
    /// # Errors
    /// What is wrong with the schema, with the names of the fields that lead to it.
    pub fn compile(source: &Source) -> Result<Self, BadSchema> {
        compile::compile(source).map(|types| Self { types })
    }

    /// Writes a JSON text as Avro, at the end of `out`; on an error `out` is as before.
    ///
    /// # Errors
    /// The first place where the text does not follow the schema; names of branches that the text has are steps of its path.
    pub fn encode(&self, json: &[u8], out: &mut Vec<u8>) -> Result<(), Invalid> {
        let document = Document::parse(json)?;
        let before = out.len();
        let told = encode::encode(&self.types, document.root(), json.len(), out);
        if told.is_err() {
            out.truncate(before);
        }
        told
    }

    /// Reads a whole payload, keeping nothing.
    ///
    /// Stricter than some readers: strings have to be UTF-8, a boolean 0 or 1, a block as long as it says, and a map's keys differ. Values
    /// are nested at most 127 deep, and at most 10,000 of them take no bytes.
    ///
    /// # Errors
    /// The first place where the payload does not follow the schema.
    pub fn check(&self, payload: &[u8]) -> Result<(), Invalid> {
        decode::decode(&self.types, payload, &mut Nothing)
    }

    /// The payload as JSON text of at most `most` bytes, checked as by [`AvroSchema::check`].
    ///
    /// # Errors
    /// Those of [`AvroSchema::check`], and that the text would be longer.
    pub fn json(&self, payload: &[u8], most: usize) -> Result<String, Invalid> {
        let mut text = Text::new(most);
        decode::decode(&self.types, payload, &mut text)?;
        text.finish()
    }
}
