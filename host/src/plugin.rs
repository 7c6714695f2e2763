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
mod code;
pub mod compile;
pub(crate) mod core_module;
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
    code::{Code, LoadError, PACKAGE},
    compile::{CompileError, CompileLimits, Compiler},
    engine::Engine,
    limits::{Footprint, Limits},
    pool::{Lease, Place, Pool, SMOKE_PARTITIONS, smoke_records},
    shadow::{Shadow, Worker as ShadowWorker},
};

/// What a plugin decided for one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// This partition, 0-based; not yet checked against the topic.
    Partition(u32),
    /// Java's murmur2 of these bytes.
    KeyHash(Vec<u8>),
    /// The host picks.
    Any,
    /// The routing table decides for this tenant.
    Tenant(String),
    /// The record is refused with this message, cut to a bounded length.
    Reject(String),
}

impl CallError {
    /// The functions that a trap came from, on one line; none where that is not known.
    pub fn trace(&self) -> Option<String> {
        match self {
            Self::Trapped { trace, .. } if !trace.is_empty() => Some(trace.join(" < ")),
            _ => None,
        }
    }
}

/// Why a plugin could not decide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It panicked, ran out of memory or stack, or broke the interface.
    #[error(
        "plugin \"{plugin}\" trapped on the record: {reason}; correct the plugin, or set on_error = \"key-hash\" for its route"
    )]
    Trapped {
        /// Its name.
        plugin: String,
        /// The trap, in one line.
        reason: String,
        /// The functions that it came from by their names, the innermost first; for the plugin's author.
        trace: Vec<String>,
    },
    /// It ran longer than one call may.
    #[error(
        "plugin \"{plugin}\" ran over its time ({limit}) and was stopped; make it faster, or raise plugins.call_cpu_ms"
    )]
    OverTime {
        /// Its name.
        plugin: String,
        /// Which limit.
        limit: String,
    },
    /// There is no instance to ask.
    #[error("no instance of plugin \"{plugin}\" could be made: {reason}")]
    Unavailable {
        /// Its name.
        plugin: String,
        /// Why.
        reason: String,
    },
    /// It failed too often and is left alone for a while.
    #[error(
        "plugin \"{plugin}\" is suspended for {pause_ms} ms because it kept failing; correct the plugin, or set on_error = \
         \"key-hash\" for its route"
    )]
    Suspended {
        /// Its name.
        plugin: String,
        /// Until it is tried again.
        pause_ms: u64,
    },
}
