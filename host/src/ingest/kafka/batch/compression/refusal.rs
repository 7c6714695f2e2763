//! Why compressed records are refused.

use std::fmt::Display;

use crate::ingest::kafka::batch::error::BatchError;

/// The compressed records end where they say.
pub(super) fn nothing_after(codec: &str, rest: &[u8]) -> Result<(), BatchError> {
    match rest.len() {
        0 => Ok(()),
        more => Err(unreadable(codec, format_args!("{more} bytes come after its end"))),
    }
}

/// The compressed records cannot be decompressed.
#[cold]
pub(super) fn unreadable(codec: &str, why: impl Display) -> BatchError {
    BatchError::invalid(format!("its {codec} data cannot be decompressed: {why}"))
}

/// The compressed records end too early.
#[cold]
pub(super) fn cut_off(codec: &str) -> BatchError {
    unreadable(codec, "it breaks off")
}
