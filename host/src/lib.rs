//! Pointsman: a sidecar that takes records from an application and decides, by the team's own WebAssembly partitioner,
//! which Kafka partition each one takes.
//!
//! # The way of one record
//!
//! The folders are the stages of this way. Each uses only those below it; a test keeps it so.
//!
//! 1. [`ingest`]: [`ingest::serve`] accepts a connection on the Unix socket or on TCP, [`ingest::api`] takes a request,
//!    reads its body within the bounds of [`admission`], and [`ingest::parse`] makes a [`Record`](base::record::Record)
//!    of each part without copying its bytes.
//! 2. [`ordering`]: a request with a number waits for those before it, and a repeat is told what is remembered.
//!    Others skip this stage.
//! 3. [`pipeline`]: looks up the request's topics in [`routing::topics`], has each record decided, takes room for all
//!    of them, and hands them over, in their order.
//!    A route with a schema checks or encodes its records first ([`schemas`]).
//! 4. [`routing`]: the first `[[route]]` that matches the topic names the plugin; its decision becomes a partition, or
//!    a refusal.
//! 5. [`plugin`]: the team's component in its sandbox. An instance is leased, called, and given back.
//! 6. [`produce`]: one shared, idempotent [`Producer`](produce::Producer) takes the record with its partition and a
//!    [`Ticket`](produce::batch::Ticket). The brokers' answer comes back as a delivery report, and the ticket fills the
//!    record's slot in the request's [`Batch`](produce::batch::Batch) with exactly one
//!    [`Outcome`](base::outcome::Outcome).
//! 7. With the last slot filled, [`ingest::reply`] writes the answer.
//!
//! # What the stages use
//!
//! - [`tenants`]: the routing table of this moment, which says where a tenant's records go.
//! - [`observe`]: who loads what, by tenant and partition.
//! - [`topic`]: one topic: its partitions, what its brokers take, whether it is closed.
//! - [`admission`]: room for bytes and records, and each partition's share of it.
//! - [`config`]: the configuration, checked as a whole.
//! - [`base`]: records, outcomes, metrics, and small tools.
//!
//! # Around them
//!
//! - [`run`]: builds all of this once, serves, and drains at the end; [`run::admin`] shows it and takes orders,
//!   [`run::logging`] never holds anybody up.
//! - [`follow`]: reads the routing table of tenants from its store, and holds tenants that move.
//! - [`reload`]: exchanges plugins and routes while records flow.
//! - [`tools`]: the other commands: `plugin new|build|dev|check|test|bench`, `load`, `probe`, `drain`.
//!
//! # Seams
//!
//! Two: [`produce::Producer`], where records go, and `pointsman_stores::Store`, where the routing table lives. The real side
//! of the first is librdkafka; both have a test side in memory.

// The way of a request is one future in another, from its connection to its outcomes, and the compiler looks through all of them.
#![recursion_limit = "256"]

pub mod admission;
pub mod base;
pub mod config;
pub mod follow;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod ingest;
pub mod observe;
pub mod ordering;
pub mod pipeline;
pub mod plugin;
pub mod produce;
pub mod reload;
pub mod routing;
pub mod run;
pub mod schemas;
#[cfg(test)]
mod simulation;
pub mod tenants;
pub mod tools;
pub mod topic;
