//! gRPC, on the same listeners as HTTP, told apart by the content type.
//!
//! A call's records go the way of all others: [`call`] reads its head, [`crate::ingest::messages`] its message,
//! [`produce`] hands it over, and [`status`] says why nothing was taken. `Stream` is a [stream](crate::ingest::stream)
//! whose pieces are messages. What has no records ([`services`]) is served by tonic.

pub(super) mod call;
mod produce;
mod readiness;
pub(super) mod services;
pub(super) mod status;
mod streaming;

use hyper::{Request, Response, http::request::Parts};
use tokio::sync::OwnedSemaphorePermit;

use self::call::Method;
pub use self::readiness::Readiness;
use super::{
    api::{Api, Connection},
    error::IngestError,
    incoming::Incoming,
    outgoing::Reply,
};

impl Api {
    /// Answers a call. The error comes with the body, as far as it was not read.
    pub(super) async fn call(
        &self,
        method: Method,
        head: &Parts,
        mut body: Incoming,
        from: Connection,
        permit: OwnedSemaphorePermit,
    ) -> Result<Response<Reply>, (IngestError, Option<Incoming>)> {
        if let Err(error) = call::check(head) {
            return Err((error, Some(body)));
        }
        match method {
            Method::Produce => match Box::pin(self.grpc_produce(head, &mut body, from.owner)).await {
                Ok(response) => Ok(response),
                Err(error) => Err((error, Some(body))),
            },
            Method::Stream => match self.grpc_stream(head, &from) {
                Ok((stream, place)) => Ok(stream.begin(body, from.in_request, (permit, place))),
                Err(error) => Err((error, Some(body))),
            },
            Method::Health | Method::Reflection | Method::ReflectionAlpha => {
                // These are bounded by themselves.
                drop(permit);
                let request = Request::from_parts(head.clone(), body);
                let serving = self
                    .services
                    .serve(method, request, &self.pipeline.admission, from.drain);
                Box::pin(serving).await.map_err(|error| (error, None))
            }
            Method::Unknown => Err((services::unknown(head.uri.path()), Some(body))),
        }
    }
}
