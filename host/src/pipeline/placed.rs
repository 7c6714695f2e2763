//! A record after its decision.

use std::sync::Arc;

use crate::{
    base::{
        outcome::{Code, RecordError},
        record::Record,
    },
    topic::{Destination, Topic},
};

/// A record with its destination.
pub(crate) struct Placed {
    pub(crate) record: Record,
    pub(crate) destination: Destination,
}

/// A record that goes nowhere, and the topic that its refusal counts for, if that is known.
pub(crate) struct Refused {
    pub(crate) topic: Option<Arc<Topic>>,
    pub(crate) error: RecordError,
}

/// The refusal of a record that takes so many bytes, together with what `with` names.
pub(super) fn too_large(with: &str, bytes: usize, most: usize) -> RecordError {
    RecordError::new(
        Code::RecordTooLarge,
        format!(
            "the record{with} takes {bytes} bytes, over message.max.bytes ({most}); make it smaller, or raise that"
        ),
    )
}
