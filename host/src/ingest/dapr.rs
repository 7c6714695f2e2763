//! Dapr's publish API, so that its applications and its SDKs publish here.
//!
//! [`asked`] says what a path asks for; [`handle`] does it, or [`call`] if it came over gRPC. An [`event`] becomes a record in one place, however it
//! came: its [`metadata`] says how, and it is wrapped as an [`envelope`] or is a CloudEvent already ([`given`](mod@given)). A
//! [`bulk`] has many of them. What is not taken, or not written, is a [`refusal`], as Dapr's clients know it. Dapr's
//! other APIs are [`absent`].
//!
//! What Dapr does is taken from its API reference (docs.dapr.io), and where that is silent from its source, version
//! 1.18: `pkg/api/http` and `pkg/messages` of dapr/dapr, `pubsub/envelope.go` and `common/component/kafka` of
//! dapr/components-contrib.

mod about;
mod absent;
mod answer;
mod asked;
mod bulk;
mod call;
mod envelope;
mod event;
mod given;
mod handle;
mod metadata;
mod out;
mod refusal;
mod ttl;

pub(super) use self::{
    asked::{Asked, Called},
    refusal::Refusal,
};
