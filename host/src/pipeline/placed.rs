//! A record after its decision.

use std::sync::Arc;

use crate::{
    base::{outcome::RecordError, record::Record},
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
