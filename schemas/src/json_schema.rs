//! JSON Schema.
//!
//! Drafts 4 to 2020-12, by `$schema`; without one it is draft 7, as in Confluent's `JsonSchema`. `format` and `contentMediaType` describe
//! and do not decide. Patterns are matched in linear time, so those with look-around or back-references are refused. What a `$ref` names
//! has to be among the references of the schema: no address is ever followed.

mod references;
mod steps;

use jsonschema::{Draft, PatternOptions, ReferencingError, ValidationError, Validator, error::ValidationErrorKind};
use serde_json::Value;

use self::{
    references::{References, not_followed},
    steps::Steps,
};
use crate::{BadSchema, Invalid, Source};

/// The most bytes that one compiled pattern may take.
const MOST_PATTERN_BYTES: usize = 256 << 10;

/// The most patterns of a schema.
const MOST_PATTERNS: usize = 1_000;

/// The most frames of the validator: the levels of a value, times the schemas that are applied to one place. More could overflow a stack of
/// 2 MiB.
const MOST_FRAMES: usize = 1_024;

/// The most bytes of a value, times the subschemas on the way to one of its parts, for which the place of a mistake is looked for below an
/// `anyOf` or `oneOf`: all mistakes of all alternatives are kept meanwhile.
const MOST_SEARCH: usize = 512 << 10;

/// The most bytes of a scalar that a message quotes.
const MOST_QUOTED: usize = 64;

/// A compiled schema.
#[derive(Debug)]
pub struct JsonSchema {
    validator: Validator,
    steps: Steps,
}

impl JsonSchema {
    /// Compiles a schema. Its references are known by their names, resolved against the schema's `$id`, and by their own `$id`.
    pub fn compile(source: &Source) -> Result<Self, BadSchema> {
        let schema = parsed("the schema", &source.text)?;
        let references = References::new(&schema, &source.references)?;
        let steps = Steps::of(&schema, &references)?;
        if steps.patterns > MOST_PATTERNS {
            let found = steps.patterns;
            return Err(BadSchema::new(format!(
                "{found} patterns are too many: at most {MOST_PATTERNS}"
            )));
        }
        let validator = jsonschema::options()
            .with_draft(draft_of(&schema)?)
            .with_retriever(references)
            .with_pattern_options(PatternOptions::regex().size_limit(MOST_PATTERN_BYTES))
            .should_validate_formats(false)
            .without_content_encoding_support("base64")
            .without_content_media_type_support("application/json")
            .build(&schema)
            .map_err(|error| refused(&error))?;
        Ok(Self { validator, steps })
    }

    /// Appends the bytes as they were sent, if they follow the schema.
    pub fn encode(&self, json: &[u8], out: &mut Vec<u8>) -> Result<(), Invalid> {
        self.check(json)?;
        out.extend_from_slice(json);
        Ok(())
    }

    /// Checks a value.
    pub fn check(&self, payload: &[u8]) -> Result<(), Invalid> {
        let value: Value =
            serde_json::from_slice(payload).map_err(|error| Invalid::new(format!("the value is not JSON: {error}")))?;
        // A value has at most 128 levels, so that most schemas need no look.
        if self.steps.here_deep * 128 > MOST_FRAMES && self.steps.here_deep * levels(&value) > MOST_FRAMES {
            return Err(Invalid::new(
                "the value is nested too deeply for a schema with so many schemas within schemas",
            ));
        }
        if self.validator.is_valid(&value) {
            return Ok(());
        }
        let may_search = !self.steps.collects
            || (!self.steps.branches && self.steps.most.saturating_mul(payload.len()) <= MOST_SEARCH);
        if !may_search {
            return Err(Invalid::new(
                "the value does not follow the schema; where is not looked for: the schema has too many alternatives for this value",
            ));
        }
        // Asked again, it says the same.
        self.validator.validate(&value).map_err(|error| mistake(&error))
    }

    /// The text, as it was sent.
    pub fn json(&self, payload: &[u8], most: usize) -> Result<String, Invalid> {
        if payload.len() > most {
            let length = payload.len();
            return Err(Invalid::new(format!(
                "the value has {length} bytes as JSON; at most {most} are shown"
            )));
        }
        let text =
            std::str::from_utf8(payload).map_err(|error| Invalid::new(format!("the value is not JSON: {error}")))?;
        serde_json::from_str::<serde::de::IgnoredAny>(text)
            .map_err(|error| Invalid::new(format!("the value is not JSON: {error}")))?;
        Ok(text.to_owned())
    }
}

fn parsed(what: &str, text: &str) -> Result<Value, BadSchema> {
    serde_json::from_str(text).map_err(|error| BadSchema::new(format!("{what} is not JSON: {error}")))
}

fn draft_of(schema: &Value) -> Result<Draft, BadSchema> {
    let Some(named) = schema.get("$schema") else {
        return Ok(Draft::Draft7);
    };
    match Draft::Draft7.detect(schema) {
        Draft::Unknown => Err(BadSchema::new(format!(
            "$schema {named} is not known; use that of draft 4, 6, 7, 2019-09 or 2020-12, or none for draft 7"
        ))),
        draft => Ok(draft),
    }
}

fn refused(error: &ValidationError<'_>) -> BadSchema {
    let told = match error.kind() {
        ValidationErrorKind::Format { format } if format == "regex" => format!(
            "{} is not a pattern that can be matched in linear time and {MOST_PATTERN_BYTES} bytes: look-around and back-references are \
             not supported",
            error.instance()
        ),
        ValidationErrorKind::Referencing(ReferencingError::Unretrievable { uri, .. }) => not_followed(uri),
        _ => error.to_string(),
    };
    match error.instance_path().as_str() {
        "" => BadSchema::new(told),
        path => BadSchema::new(format!("{path}: {told}")),
    }
}

/// The crate's message. It would quote the whole value, before it says what is wrong.
fn mistake(error: &ValidationError<'_>) -> Invalid {
    let reason = match error.instance().as_ref() {
        Value::Array(_) | Value::Object(_) => error.masked_with("the value").to_string(),
        Value::String(text) if text.len() > MOST_QUOTED => error.masked_with("the text").to_string(),
        _ => error.to_string(),
    };
    let steps = error.instance_path().as_str().rsplit('/');
    let mut invalid = Invalid::new(reason);
    // The text before the first slash is no step.
    let count = error.instance_path().as_str().matches('/').count();
    for step in steps.take(count) {
        invalid = invalid.in_field(&step.replace("~1", "/").replace("~0", "~"));
    }
    invalid
}

/// How deep a value is nested; a scalar is 1.
fn levels(value: &Value) -> usize {
    // serde_json nests at most 128 deep.
    1 + match value {
        Value::Array(items) => items.iter().map(levels).max().unwrap_or(0),
        Value::Object(entries) => entries.values().map(levels).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
