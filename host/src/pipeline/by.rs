//! How one record came to be what it is.

use std::sync::Arc;

use crate::{
    plugin::Pool,
    schemas::{Applied, WrittenBy},
};

/// How one record came to be what it is.
#[derive(Debug, Default)]
pub(super) struct By {
    /// The plugin that was asked, if the client wants a trace.
    pub(super) asked: Option<Arc<Pool>>,
    /// What its value was written by.
    pub(super) written: Option<Arc<WrittenBy>>,
    /// The memory of what was encoded.
    pub(super) encoded_bytes: usize,
}

impl By {
    pub(super) fn new(asked: Option<Arc<Pool>>, applied: Applied) -> Self {
        Self {
            asked,
            written: applied.written,
            encoded_bytes: applied.bytes,
        }
    }
}
