//! What is told of one record, whatever the form.

use crate::{base::outcome::Outcome, plugin::Pool};

/// What is told of one record.
pub(super) struct Told<'o> {
    pub(super) index: usize,
    pub(super) outcome: &'o Outcome,
    /// Handed over by a repeat.
    pub(super) late: bool,
    /// That was asked, where that is wanted.
    pub(super) plugin: Option<&'o Pool>,
}
