//! The plugin host: it runs a partitioner that somebody else wrote, a WebAssembly component, in a sandbox.
//!
//! - A plugin [`mod@file`] is identified by its SHA-256.
//! - A [`Compiler`] compiles it in a child process, or finds the code in a private [`cache`].
//! - [`Code`] is a checked and compiled component.
//! - A [`Pool`] holds the instances of one version with one config, at most one for each worker thread.
//! - A [`Lease`] is an instance on loan to one request, for about a millisecond at a time.
//! - A [`Shadow`] is a candidate plugin whose decisions are only compared.
//!
//! A plugin may import the interfaces of `wit/` and nothing else. [`limits`] bounds the memory and the time that it uses.
//! A call that exceeds a bound traps: its instance is thrown away, and only the record of that call suffers. This also
//! holds when the plugin decides about a [`batch`] of records in one call. A plugin that keeps failing is suspended for a
//! while, see [`back_off`](crate::base::back_off).

mod answer;
mod artifact;
mod batch;
mod bindings;
mod cache;
mod call_error;
mod code;
pub mod compile;
pub(crate) mod core_module;
mod decision;
mod engine;
mod events;
mod field;
pub mod file;
mod functions;
mod imports;
mod instance;
mod limits;
mod pool;
mod shadow;
mod survey;

pub use self::{
    batch::Choice,
    cache::{Cache, NoCache},
    call_error::CallError,
    code::{Code, LoadError, PACKAGE},
    compile::{CompileError, CompileLimits, Compiler},
    decision::{Decision, Placement},
    engine::Engine,
    field::StatedValue,
    limits::{Footprint, Limits},
    pool::{InstancePermit, Lease, Pool, SMOKE_PARTITIONS, smoke_records},
    shadow::{Shadow, Worker as ShadowWorker},
};
