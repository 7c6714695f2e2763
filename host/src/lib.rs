//! Pointsman: a sidecar that takes records from an application and decides, by the team's own WebAssembly partitioner,
//! which Kafka partition each one takes.
//!
//! # The way of one record
//!
//! 1. [`ingest`]: a connection on the Unix socket or on TCP ([`ingest::serve`]), a request ([`ingest::api`]), its body read
//!    within the bounds of [`admission`], its records parsed ([`ingest::parse`]) without copying their bytes.
//! 2. [`pipeline`]: the request's topics are looked up ([`topics`]), room for its records is reserved, and each record, in
//!    order, is decided and handed over.
//! 3. [`route`]: the first `[[route]]` that matches the topic names the plugin; [`plugin`] asks it in its sandbox; the answer
//!    becomes a partition, or a refusal.
//! 4. [`produce`]: one shared, idempotent producer takes the record with its partition. The brokers' answer comes back as a
//!    delivery report.
//! 5. [`batch`]: the record's ticket fills its slot with exactly one [`outcome`]; with the last one, [`ingest::reply`] writes
//!    the answer.
//!
//! A request with a number goes by way of [`numbered`], which keeps the order of its client's requests and remembers their
//! outcomes; what may be taken when is [`sequence`]'s to say.
//!
//! # Around it
//!
//! [`run`] builds all of this once, serves, and drains at the end; [`config`] is what it is built from; [`reload`] exchanges
//! plugins and routes while records flow; [`mod@drain`] is the end; [`admin`] shows it ([`metrics`], readiness, plugins) and takes orders;
//! [`logging`] never holds anybody up; [`plugin_new`] begins a plugin in one of several languages, [`plugin_build`] makes a component of it,
//! [`plugin_tools`] try it out; [`load`] sends records and measures; [`cli`] is the command line;
//! [`text`] bounds and escapes what others have written.
//!
//! # Seams
//!
//! One so far: [`produce::Producer`], where records go. Its real side is librdkafka, its test side keeps records in memory.

pub mod admin;
pub mod admission;
pub mod ask;
pub mod batch;
pub mod cli;
pub mod config;
pub mod drain;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod ingest;
pub mod load;
pub mod logging;
pub mod metrics;
pub mod numbered;
mod open_files;
mod origin;
pub mod outcome;
pub mod pipeline;
pub mod plugin;
pub mod plugin_build;
pub mod plugin_new;
pub mod plugin_tools;
pub mod produce;
pub mod record;
pub mod reload;
pub mod route;
pub mod run;
pub mod sequence;
#[cfg(test)]
mod simulation;
pub mod suspension;
pub mod text;
mod token;
pub mod topics;
