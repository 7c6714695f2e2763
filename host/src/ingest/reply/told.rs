//! What a reply says of one record, in any form.

use crate::{base::outcome::Outcome, pipeline::Traced};

/// What a reply says of one record.
pub(in crate::ingest) struct Told<'o> {
    /// Index of the record in the request.
    pub(in crate::ingest) index: usize,
    pub(in crate::ingest) outcome: &'o Outcome,
    /// Whether a repeat of the request handed the record over.
    pub(in crate::ingest) late: bool,
    /// How it was decided, as far as the client wants a trace.
    pub(in crate::ingest) traced: Traced<'o>,
}
