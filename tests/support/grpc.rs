//! A client of gRPC, by tonic: calls by their paths, over TCP or the Unix socket.

use std::path::PathBuf;

use hyper_util::rt::TokioIo;
use pointsman_proto::v1;
use tokio::{net::UnixStream, runtime::Runtime};
use tonic::{
    Request, Response, Status, Streaming,
    client::Grpc,
    codec::CompressionEncoding,
    codegen::{http::uri::PathAndQuery, tokio_stream::Stream},
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::sidecar::Sidecar;

pub(crate) const PRODUCE: &str = "/pointsman.v1.IngestService/Produce";
pub(crate) const STREAM: &str = "/pointsman.v1.IngestService/Stream";

/// A connection, and the runtime that it lives on.
pub(crate) struct Client {
    grpc: Grpc<Channel>,
    runtime: Runtime,
}

impl Client {
    /// Over TCP.
    pub(crate) fn tcp(sidecar: &Sidecar) -> Self {
        let address = format!("http://{}", sidecar.http);
        let runtime = runtime();
        let endpoint = Endpoint::from_shared(address).unwrap();
        let channel = runtime.block_on(endpoint.connect()).unwrap();
        Self {
            grpc: Grpc::new(channel),
            runtime,
        }
    }

    /// Over the Unix socket.
    pub(crate) fn unix(sidecar: &Sidecar) -> Self {
        let runtime = runtime();
        let channel = runtime.block_on(by_socket(sidecar.unix.clone()));
        Self {
            grpc: Grpc::new(channel),
            runtime,
        }
    }

    /// From now on, compresses what it sends.
    pub(crate) fn compressed(mut self) -> Self {
        self.grpc = self.grpc.send_compressed(CompressionEncoding::Gzip);
        self
    }

    /// Calls `Produce`.
    pub(crate) fn produce(&mut self, request: v1::ProduceRequest) -> Result<v1::ProduceResponse, Status> {
        self.call(PRODUCE, Request::new(request)).map(Response::into_inner)
    }

    /// Calls any method with one request and one answer.
    pub(crate) fn call<A, B>(&mut self, path: &'static str, request: Request<A>) -> Result<Response<B>, Status>
    where
        A: prost::Message + Send + Sync + 'static,
        B: prost::Message + Default + Send + Sync + 'static,
    {
        self.runtime.block_on(async {
            self.grpc.ready().await.unwrap();
            let codec: ProstCodec<A, B> = ProstCodec::default();
            self.grpc.unary(request, PathAndQuery::from_static(path), codec).await
        })
    }

    /// Calls any method with many requests and many answers.
    pub(crate) fn stream<A, B>(
        &mut self,
        path: &'static str,
        requests: impl Stream<Item = A> + Send + 'static,
    ) -> Result<Answers<'_, B>, Status>
    where
        A: prost::Message + Send + Sync + 'static,
        B: prost::Message + Default + Send + Sync + 'static,
    {
        let streaming = self.runtime.block_on(async {
            self.grpc.ready().await.unwrap();
            let codec: ProstCodec<A, B> = ProstCodec::default();
            self.grpc
                .streaming(Request::new(requests), PathAndQuery::from_static(path), codec)
                .await
        })?;
        Ok(Answers {
            streaming: streaming.into_inner(),
            runtime: &self.runtime,
        })
    }
}

/// What comes back in a stream.
pub(crate) struct Answers<'r, B> {
    streaming: Streaming<B>,
    runtime: &'r Runtime,
}

impl<B> Answers<'_, B> {
    /// The next message; none at the end, if that is OK.
    pub(crate) fn next(&mut self) -> Result<Option<B>, Status> {
        self.runtime.block_on(self.streaming.message())
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

async fn by_socket(path: PathBuf) -> Channel {
    let connector = service_fn(move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://localhost");
    endpoint.connect_with_connector(connector).await.unwrap()
}

/// A record with this key and value.
pub(crate) fn record(key: &str, value: &str) -> v1::Record {
    v1::Record {
        key: Some(key.to_owned().into()),
        value: Some(value.to_owned().into()),
        ..Default::default()
    }
}

/// A request with these records, for this topic.
pub(crate) fn request(topic: &str, records: Vec<v1::Record>) -> v1::ProduceRequest {
    v1::ProduceRequest {
        topic: topic.to_owned(),
        records,
        ..Default::default()
    }
}

/// The kinds of these outcomes.
pub(crate) fn kinds(outcomes: &[v1::Outcome]) -> Vec<v1::outcome::Kind> {
    outcomes.iter().map(v1::Outcome::kind).collect()
}

/// The code of a status, as its `google.rpc.ErrorInfo` has it.
pub(crate) fn reason(status: &Status) -> String {
    use tonic_types::StatusExt as _;
    let info = status.get_error_details().error_info().cloned();
    let info = info.unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "pointsman");
    info.reason
}
