//! By which protocol a request comes, as its head says.

use hyper::{Response, Version, http::request::Parts};

use super::{
    confluent::{refusal, target::is_below_topics},
    dapr::{self, Asked, Called},
    error::IngestError,
    grpc::{
        call::{self, Method},
        status,
    },
    outgoing::Reply,
    parse::Format,
    target,
};
use crate::config::{Apis, ListenApi};

/// A protocol, and what of it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Surface<'h> {
    /// The sidecar's own: records, and their outcomes in the reply. Also for whatever no other protocol has.
    Records,
    /// The sidecar's own: a stream to this topic, which is not checked.
    Stream(&'h str),
    /// A call of Confluent's REST API, version 2.
    ConfluentV2,
    /// A call of gRPC.
    Grpc(Method),
    /// Dapr's.
    Dapr(Asked<'h>),
    /// A call of Dapr's service.
    DaprCall(Called),
}

impl<'h> Surface<'h> {
    pub(super) fn of(head: &'h Parts) -> Self {
        let path = head.uri.path();
        if head.version == Version::HTTP_2 && call::is_grpc(&head.headers) {
            return Called::of(path).map_or_else(|| Self::Grpc(Method::of(path)), Self::DaprCall);
        }
        if let Some(topic) = target::stream_topic(path) {
            return Self::Stream(topic);
        }
        if is_below_topics(path) {
            return Self::ConfluentV2;
        }
        Asked::of(path).map_or(Self::Records, Self::Dapr)
    }

    /// Whether the configuration has this protocol spoken.
    pub(super) fn is_on(self, head: &Parts, apis: &Apis) -> bool {
        // Events have the path of the sidecar's own protocol.
        let is_event = || matches!(Format::of(&head.headers, true), Ok(Format::CloudEvents(_)));
        apis.have(self.api()) || (self == Self::Records && apis.have(ListenApi::CloudEvents) && is_event())
    }

    /// What `listen.apis` must have.
    pub(super) fn api(self) -> ListenApi {
        match self {
            Self::Records | Self::Stream(_) => ListenApi::Native,
            Self::ConfluentV2 => ListenApi::ConfluentV2,
            Self::Grpc(_) => ListenApi::Grpc,
            Self::Dapr(_) | Self::DaprCall(_) => ListenApi::Dapr,
        }
    }

    /// Whether anybody may ask, also without the token. It says nothing that a connection does not say.
    pub(super) fn is_open(self) -> bool {
        self == Self::Dapr(Asked::Health)
    }

    /// 404: the protocol is not spoken here.
    pub(super) fn is_off(self) -> IngestError {
        let name = self.api().name();
        IngestError::NotFound(format!(
            "the sidecar does not speak this protocol; add \"{name}\" to apis of [listen] in its configuration"
        ))
    }

    /// The reply to a request that is not taken, as clients of this protocol know it.
    pub(super) fn refusal(self, error: &IngestError) -> Response<Reply> {
        match self {
            // A caller takes this status for a method that is not there.
            Self::Grpc(_) if !matches!(error, IngestError::NotFound(_)) => status::refusal(error),
            Self::ConfluentV2 => refusal::of(error).map(Reply::Whole),
            Self::Records | Self::Stream(_) | Self::Grpc(_) => error.problem().document().map(Reply::Whole),
            Self::Dapr(_) => dapr::Refusal::response_to(error).map(Reply::Whole),
            Self::DaprCall(_) => dapr::Refusal::status_to(error),
        }
    }
}
