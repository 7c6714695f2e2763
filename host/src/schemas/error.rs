//! What a record's client is told when its schema cannot be had.

use pointsman_schemas::{Invalid, registry::LookUp};

use super::parts::Side;
use crate::base::outcome::{Code, RecordError};

/// The error of a look-up.
pub(super) fn of_look_up(error: LookUp, topic: &str, side: Side) -> RecordError {
    let (code, told) = match error {
        LookUp::Unavailable(told) => (Code::SchemaUnavailable, told),
        LookUp::Incompatible(told) => (Code::SchemaIncompatible, told),
        LookUp::Unknown(told) | LookUp::Bad(told) => (Code::SchemaUnknown, told),
    };
    let advice = match code {
        Code::SchemaUnavailable => "; nothing of the record was handed over, send it again in a moment",
        _ => "",
    };
    RecordError::new(
        code,
        format!("the schema of topic \"{topic}\"'s {}: {told}{advice}", side.name()),
    )
}

/// The refusal of a key or a value that is not as its schema says.
pub(super) fn of_invalid(invalid: &Invalid, side: Side) -> RecordError {
    let message = match side {
        Side::Value => invalid.to_string(),
        Side::Key => format!("key: {invalid}"),
    };
    RecordError::new(Code::SchemaInvalid, message)
}
