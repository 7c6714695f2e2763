//! Compiles components to machine code, in a child process with limits. Whatever a component makes the compiler do, it cannot
//! exhaust the memory or the processors of the serving process, and cannot crash it.
//!
//! The child is this same program, started as `pointsman compile-component`. It reads the component from standard input,
//! writes the code to standard output and its report to standard error. All three are files, so neither process waits for
//! the other to read. The child runs at the lowest priority, is the first process that the kernel kills when memory runs
//! out, and is killed when its parent dies.
//!
//! The child works in three steps. It counts what an instance would take ([`super::survey`]). It compiles. Then it starts
//! itself again, as `pointsman look-over-component`, and loads and links the code as its parent will, within the memory that
//! the parent allows for that. So the serving process reads no part of a component before a child has shown what reading it
//! takes.

pub mod child;
mod error;
mod instance_size;
mod protocol;
mod run_child;

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use wasmtime::component::Component;

pub use self::{
    error::CompileError,
    protocol::{LOOK_OVER, NO_ROOM, SUBCOMMAND},
    run_child::CompileLimits,
};
use self::{
    error::{NoCode, malformed},
    instance_size::{surveyed, within},
    protocol::OWN_PROGRAM,
    run_child::{CompileRun, not_started},
};
use super::{
    Engine,
    artifact::{CodeMemory, OwnCode},
    cache::Cache,
    survey::Survey,
};
use crate::{config, tenants::Tenants};

/// A compiled component, loaded into this process and ready to be linked.
pub(super) struct Compiled {
    pub(super) component: Component,
    /// What the engine allocates for an instance, besides its memories and tables, bytes.
    pub(super) engine_bytes: usize,
}

impl Compiled {
    fn new(component: Component, engine_bytes: u64) -> Self {
        Self {
            component,
            engine_bytes: usize::try_from(engine_bytes).unwrap_or(usize::MAX),
        }
    }
}

/// Compiles components and keeps the code in a cache.
pub struct Compiler {
    /// The engine that loads the code.
    engine: Engine,
    /// The limits of each child.
    limits: CompileLimits,
    /// `None` if no cache folder can be used: then the code is kept in memory only.
    cache: Option<Cache>,
    /// Whether the log already says that the cache takes no code. It says so again only after the cache took code once more.
    is_cache_full: AtomicBool,
    /// The program that the child runs; `None` to compile in this process.
    program: Option<PathBuf>,
    /// Where the plugins look tenants up.
    tenants: Arc<Tenants>,
}
impl Compiler {
    /// Compiles in a child that runs the current program, which must know [`SUBCOMMAND`].
    pub fn new(engine: Engine, limits: CompileLimits, cache: Option<Cache>) -> Self {
        Self {
            engine,
            limits,
            cache,
            is_cache_full: false.into(),
            program: Some(PathBuf::from(OWN_PROGRAM)),
            tenants: Arc::new(Tenants::off()),
        }
    }

    /// Compiles in this process, without limits: for trusted components, in tests and benchmarks.
    pub fn in_process(engine: Engine) -> Self {
        Self {
            engine,
            limits: CompileLimits::from(&config::Plugins::default()),
            cache: None,
            is_cache_full: false.into(),
            program: None,
            tenants: Arc::new(Tenants::off()),
        }
    }

    /// The same, for plugins that look tenants up there.
    pub fn with_tenants(self, tenants: &Arc<Tenants>) -> Self {
        Self {
            tenants: Arc::clone(tenants),
            ..self
        }
    }

    /// Where plugins look tenants up.
    pub(super) fn tenants(&self) -> &Arc<Tenants> {
        &self.tenants
    }

    /// The engine that the code is for.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Finds a component's code in the cache, or compiles it. Takes from milliseconds to minutes.
    pub(super) fn compile(&self, digest: &str, bytes: &[u8]) -> Result<Compiled, CompileError> {
        let Some(program) = &self.program else {
            return self.in_this_process(bytes);
        };
        if let Some(compiled) = self.look_up(digest)? {
            return Ok(compiled);
        }
        if let Some(cache) = &self.cache {
            match self.compile_and_keep(program, cache, digest, bytes) {
                Ok(compiled) => {
                    self.is_cache_full.store(false, Ordering::Relaxed);
                    return Ok(compiled);
                }
                Err(NoCode::None(error)) => return Err(error),
                Err(NoCode::NotTaken(problem)) => self.cache_is_full(&problem),
            }
        }
        self.compile_and_forget(program, bytes)
    }

    fn in_this_process(&self, bytes: &[u8]) -> Result<Compiled, CompileError> {
        let survey = surveyed(bytes, self.limits.instance_bytes)?;
        let component = Component::new(self.engine.wasm(), bytes).map_err(|error| malformed(&format!("{error:#}")))?;
        Ok(Compiled::new(component, survey.engine_bytes))
    }

    fn look_up(&self, digest: &str) -> Result<Option<Compiled>, CompileError> {
        let found = self
            .cache
            .as_ref()
            .and_then(|cache| cache.find(digest, &self.engine.compatibility()));
        let Some(code) = found else {
            return Ok(None);
        };
        // The limit may have been higher when the code was put into the cache.
        let survey = Survey {
            engine_bytes: code.engine_bytes,
            ..Survey::default()
        };
        within(survey, self.limits.instance_bytes)?;
        match self.load(&OwnCode::Cached(&code), code.engine_bytes) {
            Ok(compiled) => Ok(Some(compiled)),
            Err(error) => {
                tracing::warn!(file = %code.file().display(), %error, "compiled code cannot be used; compiling again");
                Ok(None)
            }
        }
    }

    /// Compiles into a file of the cache. A full, broken or read-only disk is not the component's fault.
    fn compile_and_keep(&self, program: &Path, cache: &Cache, digest: &str, bytes: &[u8]) -> Result<Compiled, NoCode> {
        let not_taken = |error: io::Error| NoCode::NotTaken(error.to_string());
        let draft = cache.draft().map_err(not_taken)?;
        let survey = self.in_child(program, bytes, draft.output().map_err(not_started)?)?;
        let code = cache
            .keep(&draft, digest, &self.engine.compatibility(), survey.engine_bytes)
            .map_err(not_taken)?;
        self.load(&OwnCode::Cached(&code), code.engine_bytes)
            .map_err(|error| NoCode::NotTaken(format!("{error:#}")))
    }

    /// Compiles into memory.
    fn compile_and_forget(&self, program: &Path, bytes: &[u8]) -> Result<Compiled, CompileError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| CompileError::Environment(format!("{what}: {error}"));
        let code = CodeMemory::new().map_err(|error| failed("no memory file for compiled code", &error))?;
        let in_child = code
            .output()
            .map_err(not_started)
            .and_then(|output| self.in_child(program, bytes, output));
        let survey = match in_child {
            Ok(survey) => survey,
            Err(NoCode::None(error)) => return Err(error),
            Err(NoCode::NotTaken(problem)) => return Err(failed("no memory for compiled code", &problem)),
        };
        self.load(&OwnCode::InMemory(&code), survey.engine_bytes)
            .map_err(|error| failed("the compiled code cannot be used", &format!("{error:#}")))
    }

    fn load(&self, code: &OwnCode<'_>, engine_bytes: u64) -> wasmtime::Result<Compiled> {
        let component = code.load(self.engine.wasm())?;
        Ok(Compiled::new(component, engine_bytes))
    }

    fn cache_is_full(&self, problem: &str) {
        if !self.is_cache_full.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                problem,
                "plugins.cache_dir takes no compiled code: plugins are compiled into memory, and again at the next start; \
                 make room there, or name another folder"
            );
        }
    }
    /// Has a child compile `bytes`, and write the code to `output`.
    fn in_child(&self, program: &Path, bytes: &[u8], output: Stdio) -> Result<Survey, NoCode> {
        let cache = self.cache.as_ref();
        let run = CompileRun {
            program,
            limits: self.limits,
            functions: cache.map(|cache| cache.functions(&self.engine.compatibility())),
        };
        run.run(bytes, output)
    }
}
