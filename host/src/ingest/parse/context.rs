//! What every format needs to know of the request.

use std::sync::Arc;

use super::memory::Memory;
use crate::{config::Limits, ingest::error::IngestError, pipeline::Parsed};

/// What parsing needs to know beside the body.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// The path's topic; none: each record names its own.
    pub topic: Option<Arc<str>>,
    /// The bounds.
    pub limits: &'a Limits,
    /// What it may allocate.
    pub memory: Memory,
}

/// 400: a batch without records.
pub(super) fn some(records: Vec<Parsed>) -> Result<Vec<Parsed>, IngestError> {
    if records.is_empty() {
        return Err(IngestError::EmptyBody(
            "the batch has no records; send at least one".to_owned(),
        ));
    }
    Ok(records)
}

/// 413: what is made of the body takes more than a request may hold. Where the [`Memory`] was smaller than that, the body is read
/// again with more.
pub(in crate::ingest) fn no_memory() -> IngestError {
    IngestError::TooManyRecords("the request's records and headers take more memory than three quarters of limits.max_buffered_bytes; send it in parts, or \
         raise that; nothing was taken".to_owned(),
    )
}

/// 413: more records than a request may have.
pub(in crate::ingest) fn too_many(limits: &Limits) -> IngestError {
    IngestError::TooManyRecords(format!(
        "the request has more than limits.max_records ({}) records; send it in parts, or raise that; nothing was taken",
        limits.max_records
    ))
}
