//! How records come in: HTTP/1.1 and h2c on the Unix socket and on TCP.
//!
//! [`listen`] binds, [`serve`] accepts, one of the [`workers`] serves the [`connection`], [`api`] is the request handler: it looks
//! at what the path asks for ([`target`]), reads the body within its bounds ([`body`]), parses it ([`parse`]), hands it to the
//! [pipeline](crate::pipeline) and answers ([`reply`]); one with a number ([`numbering`]) goes by way of [`crate::numbered`].
//! A request that cannot be read becomes a [`problem`].

pub mod api;
mod body;
mod connection;
pub mod listen;
pub(crate) mod numbering;
pub mod parse;
pub mod problem;
pub mod reply;
pub mod serve;
pub(crate) mod stream;
pub(crate) mod target;
mod timed;
pub mod workers;
