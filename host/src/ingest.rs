//! How records come in: HTTP/1.1 and HTTP/2 without TLS (h2c), on the Unix socket and on TCP; and [Kafka's own protocol](kafka), on TCP.
//!
//! [`listen`] binds the addresses. [`serve`] accepts connections as long as there are [`places`]. One of the
//! [`workers`] serves each [`connection`], by [`http2`] or hyper. [`api`] handles a request: it reads the path
//! ([`target`]), reads the body within its bounds ([`body`]), parses it ([`parse`]), hands the records to the
//! [pipeline](crate::pipeline) and replies ([`reply`]). A request with a number ([`numbering`]) goes through
//! [`crate::ordering::numbered`]. A request that is not taken is an [`error`](mod@error), which becomes a [`problem`].
//!
//! [`surface`] says by its head which protocol a request is of. [`grpc`], [`dapr`] and [`confluent`] read its requests and write
//! its answers in forms of their own; between the two, their records go the same way.

pub mod api;
mod body;
mod confluent;
mod connection;
mod dapr;
pub mod error;
pub mod grpc;
mod http2;
pub(crate) mod incoming;
pub mod kafka;
mod life;
pub mod listen;
pub(crate) mod messages;
pub(crate) mod numbering;
pub(crate) mod origin;
mod outgoing;
pub mod parse;
mod places;
pub mod problem;
mod records;
pub mod reply;
mod request;
pub mod serve;
pub(crate) mod stream;
mod surface;
pub(crate) mod target;
mod timed;
pub mod workers;
