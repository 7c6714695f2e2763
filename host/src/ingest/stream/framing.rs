//! Whether a stream is one of lines or of messages.

use std::sync::Arc;

use crate::ordering::{numbered::Numbered, sequence::Owner};

/// What stands in the body, and in the reply.
pub(crate) enum Framing {
    /// A record a line, for this topic; an outcome a line.
    Lines(Arc<str>),
    /// Messages of gRPC.
    Messages(Messages),
}

/// What a stream of messages knows.
pub(crate) struct Messages {
    /// Whether compressed messages are compressed by gzip.
    pub(in crate::ingest) has_gzip: bool,
    /// The topic of the messages so far.
    pub(in crate::ingest) topic: Option<Arc<str>>,
    /// Whose names of clients are meant.
    pub(in crate::ingest) owner: Owner,
    pub(in crate::ingest) numbered: Arc<Numbered>,
}
