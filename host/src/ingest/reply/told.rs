//! What a reply says of one record, in any form.

use crate::{base::outcome::Outcome, pipeline::Traced};

/// What a reply says of one record.
pub(super) struct Told<'o> {
    /// Index of the record in the request.
    pub(super) index: usize,
    pub(super) outcome: &'o Outcome,
    /// Whether a repeat of the request handed the record over.
    pub(super) late: bool,
    /// How it was decided, as far as the client wants a trace.
    pub(super) traced: Traced<'o>,
}
