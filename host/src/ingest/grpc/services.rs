//! Services without records, served by tonic: health (`grpc.health.v1`) and reflection.
//!
//! Their calls may stay open for as long as their clients like. So there are at most [`MOST_OPEN`], beside those with records,
//! and what each may hold is counted.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::{Request, Response, body::Frame};
use tokio::{
    sync::{Semaphore, watch},
    time::Interval,
};
use tonic::{
    Status,
    body::Body,
    codegen::{Service, tokio_stream::Stream},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};

use super::{call::Method, readiness::Readiness};
use crate::{
    admission::Admission,
    ingest::{
        error::IngestError,
        incoming::{Incoming, Source as _},
        outgoing::{Reply, Served},
    },
};

/// Most calls at once.
const MOST_OPEN: usize = 64;
/// Longest message of a client, bytes.
const MOST_BYTES: usize = 16 << 10;
/// What a call counts as: what its client may send unread, and a message.
const HELD: usize = 64 << 10;
/// How often a watched readiness is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Whose health may be asked for; the empty name is the whole process.
const SERVICES: [&str; 2] = ["", "pointsman.v1.IngestService"];

type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
type Handler = Box<dyn Fn(Request<Body>) -> Answer + Send + Sync>;

/// The services. Built once.
pub(in crate::ingest) struct Services {
    health: Handler,
    /// None where the descriptors that were built in cannot be read.
    reflection: Option<Handler>,
    reflection_alpha: Option<Handler>,
    open: Arc<Semaphore>,
}

impl Services {
    pub(in crate::ingest) fn new(readiness: Readiness) -> Self {
        let described = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(pointsman_proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let health = HealthServer::new(ByReadiness(readiness)).max_decoding_message_size(MOST_BYTES);
        let reflection = described().build_v1().ok();
        let reflection_alpha = described().build_v1alpha().ok();
        Self {
            health: handler(health),
            reflection: reflection.map(|service| handler(service.max_decoding_message_size(MOST_BYTES))),
            reflection_alpha: reflection_alpha.map(|service| handler(service.max_decoding_message_size(MOST_BYTES))),
            open: Arc::new(Semaphore::new(MOST_OPEN)),
        }
    }

    /// Answers a call of one of the services.
    pub(in crate::ingest) async fn serve(
        &self,
        method: Method,
        request: Request<Incoming>,
        admission: &Admission,
        drain: watch::Receiver<bool>,
    ) -> Result<Response<Reply>, IngestError> {
        let handler = match method {
            Method::Health => Some(&self.health),
            Method::Reflection => self.reflection.as_ref(),
            Method::ReflectionAlpha => self.reflection_alpha.as_ref(),
            Method::Produce | Method::Stream | Method::Unknown => None,
        };
        let Some(handler) = handler else {
            return Err(unknown(request.uri().path()));
        };
        let Ok(permit) = Arc::clone(&self.open).try_acquire_owned() else {
            return Err(IngestError::Busy(format!(
                "{MOST_OPEN} calls of health and reflection are open; end one, or retry later"
            )));
        };
        let held = admission.at_once(HELD)?;
        let response = handler(request.map(|body| Body::new(Asked(body)))).await;
        Ok(response.map(|body| {
            Reply::Served(Served {
                body,
                drain,
                _permit: permit,
                _held: held,
            })
        }))
    }
}

/// The error for a path that is no method.
pub(in crate::ingest) fn unknown(path: &str) -> IngestError {
    let shown: String = path.chars().take(100).collect();
    IngestError::UnknownMethod(format!(
        "there is no method {shown:?}; call Produce or Stream of pointsman.v1.IngestService"
    ))
}

fn handler<S>(service: S) -> Handler
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    Box::new(move |request| {
        let mut service = service.clone();
        Box::pin(async move {
            // These services are always ready.
            match service.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        })
    })
}

/// A client's messages, for tonic.
struct Asked(Incoming);

impl hyper::body::Body for Asked {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let body = &mut self.get_mut().0;
        Poll::Ready(match ready!(body.poll_data(context)) {
            None => None,
            Some(Ok(data)) => {
                body.release(data.len());
                Some(Ok(Frame::data(data)))
            }
            Some(Err(error)) => Some(Err(Status::cancelled(format!("the call broke off: {error}")))),
        })
    }
}

/// Health, by the readiness of the process.
struct ByReadiness(Readiness);

impl ByReadiness {
    fn check(&self, request: &HealthCheckRequest) -> Result<(), Status> {
        match SERVICES.contains(&request.service.as_str()) {
            true => Ok(()),
            false => Err(Status::not_found(
                "no such service; ask for \"\" or \"pointsman.v1.IngestService\"",
            )),
        }
    }
}

#[tonic::async_trait]
impl Health for ByReadiness {
    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        ByReadiness::check(self, request.get_ref())?;
        Ok(tonic::Response::new(told(self.0.is_ready())))
    }

    type WatchStream = Watched;

    async fn watch(&self, request: tonic::Request<HealthCheckRequest>) -> Result<tonic::Response<Watched>, Status> {
        ByReadiness::check(self, request.get_ref())?;
        Ok(tonic::Response::new(Watched {
            readiness: self.0.clone(),
            told: None,
            looks: tokio::time::interval(LOOK),
        }))
    }
}

/// Tells the readiness, and then each time that it changes.
pub(super) struct Watched {
    readiness: Readiness,
    told: Option<bool>,
    looks: Interval,
}

impl Stream for Watched {
    type Item = Result<HealthCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            ready!(self.looks.poll_tick(context));
            let is_ready = self.readiness.is_ready();
            if self.told.replace(is_ready) != Some(is_ready) {
                return Poll::Ready(Some(Ok(told(is_ready))));
            }
        }
    }
}

fn told(is_ready: bool) -> HealthCheckResponse {
    let status = match is_ready {
        true => ServingStatus::Serving,
        false => ServingStatus::NotServing,
    };
    HealthCheckResponse { status: status.into() }
}
