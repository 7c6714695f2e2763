//! The plugin host: a partitioner written by somebody else, as a WebAssembly component, in a sandbox.
//!
//! A [`mod@file`] is known by its SHA-256; a [`Compiler`] makes machine code of it in a child process, or finds the code in a
//! private [`cache`]; [`Code`] is a checked component; [`Pool`] holds the instances of one version with one config, one for
//! each worker thread; [`Lease`] is an instance on loan to one request, up to a millisecond at a time. What a plugin may
//! import is the interfaces of `wit/` and nothing else; what it may use is bounded by [`limits`]. A call that breaks a
//! bound traps, its instance is thrown away, and only its own record suffers, also where the plugin is asked about a [`batch`] of
//! records in one call; a plugin that keeps failing is left alone for a
//! while ([`suspension`](crate::base::back_off)). A [`Shadow`] is a candidate whose decisions are only compared.

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
    limits::{Footprint, Limits},
    pool::{InstancePermit, Lease, Pool, SMOKE_PARTITIONS, smoke_records},
    shadow::{Shadow, Worker as ShadowWorker},
};
