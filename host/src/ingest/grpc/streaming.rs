//! `Stream`: requests in and outcomes out at the same time.

use std::sync::Arc;

use hyper::http::request::Parts;
use tokio::sync::OwnedSemaphorePermit;

use super::call;
use crate::ingest::{
    api::{Api, Connection, wants_trace},
    error::IngestError,
    numbering,
    stream::{Framing, Messages, Stream},
};

impl Api {
    /// Opens a stream, after every check that is possible before its first message.
    pub(super) fn grpc_stream(
        &self,
        head: &Parts,
        from: &Connection,
    ) -> Result<(Stream, OwnedSemaphorePermit), IngestError> {
        if numbering::of(&head.headers, from.owner)?.is_some() {
            return Err(IngestError::BadHeader(
                "the metadata of a stream has a number; its requests have numbers of their own".to_owned(),
            ));
        }
        let stream = Stream {
            pipeline: Arc::clone(&self.pipeline),
            limits: self.limits.clone(),
            trace: wants_trace(&head.headers),
            drain: from.drain.clone(),
            framing: Framing::Messages(Messages {
                has_gzip: call::has_gzip(&head.headers)?,
                topic: None,
                owner: from.owner,
                numbered: Arc::clone(&self.numbered),
            }),
        };
        Ok((stream, self.place_for_stream()?))
    }
}
