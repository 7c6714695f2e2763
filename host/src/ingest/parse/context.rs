//! What every format needs to know of the request.

use std::sync::Arc;

use super::memory::Memory;
use crate::{config::Limits, ingest::error::IngestError, pipeline::Parsed};

/// What every format needs to know beside the body.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// The path's topic. None: each record names its own.
    pub topic: Option<Arc<str>>,
    /// The limits of the configuration.
    pub limits: &'a Limits,
    /// Memory that parsing may allocate.
    pub memory: Memory,
}

/// 400 for a batch without records.
pub(super) fn some(records: Vec<Parsed>) -> Result<Vec<Parsed>, IngestError> {
    if records.is_empty() {
        return Err(IngestError::EmptyBody(
            "the batch has no records; send at least one".to_owned(),
        ));
    }
    Ok(records)
}

/// 413: the records take more memory than a request may hold. Where [`Memory`] allowed less than that, the body is read
/// again with more.
pub(in crate::ingest) fn no_memory() -> IngestError {
    IngestError::TooManyRecords("the request's records and headers take more memory than three quarters of limits.max_buffered_bytes; send it in parts, or \
         raise that; nothing was taken".to_owned(),
    )
}

/// 413: the request has more records than it may.
pub(in crate::ingest) fn too_many(limits: &Limits) -> IngestError {
    IngestError::TooManyRecords(format!(
        "the request has more than limits.max_records ({}) records; send it in parts, or raise that; nothing was taken",
        limits.max_records
    ))
}
