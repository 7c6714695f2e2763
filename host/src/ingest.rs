//! How records come in: HTTP/1.1 and h2c on the Unix socket and on TCP.
//!
//! [`listen`] binds, [`serve`] accepts as far as there are [`places`], one of the [`workers`] serves the [`connection`] ([`http2`], or
//! hyper), [`api`] is the request handler: it looks at what the path asks for ([`target`]), reads the body within its bounds ([`body`]), parses it ([`parse`]), hands it to the
//! [pipeline](crate::pipeline) and answers ([`reply`]); one with a number ([`numbering`]) goes by way of [`crate::ordering::numbered`].
//! A request that is not taken is an [`error`](mod@error), which becomes a [`problem`].

pub mod api;
mod body;
mod connection;
pub mod error;
mod http2;
pub(crate) mod incoming;
mod life;
pub mod listen;
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
pub(crate) mod target;
mod timed;
pub mod workers;
