//! The messages of gRPC as bytes: cut out of a body ([`frame`]), decompressed ([`compressed`]), weighed before they are
//! decoded ([`weight`]), made [records](record) of, and written with [outcomes](outcome).
//!
//! tonic's own reader is not used for records: it allocates what a message announces before that has come, and nothing of
//! what it holds could be counted ([`crate::admission`]).

pub(super) mod compressed;
pub(crate) mod frame;
pub(super) mod outcome;
pub(crate) mod record;
pub(crate) mod weight;
