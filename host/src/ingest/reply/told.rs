//! What a reply says of one record, in any form.

use crate::{base::outcome::Outcome, plugin::Pool};

/// What a reply says of one record.
pub(super) struct Told<'o> {
    /// Index of the record in the request.
    pub(super) index: usize,
    pub(super) outcome: &'o Outcome,
    /// Whether a repeat of the request handed the record over.
    pub(super) late: bool,
    /// The plugin that was asked, if the client wants a trace.
    pub(super) plugin: Option<&'o Pool>,
}
