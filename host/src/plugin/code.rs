//! Turns a component's bytes into checked, compiled code.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use wasmtime::component::{Component, ComponentExportIndex, HasSelf, Linker};

use super::{
    Engine, Limits, batch,
    bindings::{Plugin, PluginPre},
    compile::{CompileError, Compiled, Compiler},
    file,
    imports::{LogWindow, State},
};
use crate::{
    base::text::{said, said_on_one_line, shorten},
    tenants::Tenants,
};

/// The package of the interfaces that a plugin may import, without its version.
pub const PACKAGE: &str = "pointsman:partitioner/";

/// The versions of the package that a plugin may be built for. There is one implementation, of the newest: where an older compatible
/// version of a name is imported or exported, the engine takes both for the same. A newer one it would take as well, so the names are
/// checked first.
const VERSIONS: [&str; 2] = ["1.0.0", "1.1.0"];
/// The same, for messages.
const VERSIONS_SHOWN: &str = "versions 1.0.0 and 1.1.0";
/// The interfaces that a plugin may import. There are no others.
const IMPORTS: [&str; 6] = ["types", "message", "selection", "topology", "routes", "log"];
/// What a plugin must export.
const EXPORT: &str = "partitioner";
const EXPORT_OF_ANY_VERSION: &str = "pointsman:partitioner/partitioner@";
/// A message lists at most this many of a component's names, each cut to so many bytes.
const NAMES: usize = 16;
const NAME_BYTES: usize = 128;

/// A compiled component that fits the world and is linked to the host. Instances are made from it.
pub struct Code {
    /// The plugin's name: that of its file without `.wasm`.
    pub name: Arc<str>,
    /// SHA-256 of the bytes that were compiled, hexadecimal.
    pub digest: String,
    /// Size of the component, bytes.
    pub bytes: usize,
    /// Names of the interfaces that it imports.
    pub imports: Vec<String>,
    /// Names of its exports; only the first of them if there are many.
    pub exports: Vec<String>,
    /// What the engine allocates for each instance, besides its memories and tables, bytes.
    pub engine_bytes: usize,
    /// The engine that the code was compiled for.
    pub(super) engine: Engine,
    /// Where its instances look tenants up.
    pub(super) tenants: Arc<Tenants>,
    /// Bounds what all its instances log.
    pub(super) log_window: Arc<Mutex<LogWindow>>,
    /// The linked component, ready to make instances.
    pub(super) pre: PluginPre<State>,
    /// Its batch export, if it has one.
    pub(super) batch: Option<ComponentExportIndex>,
}

/// Why a file cannot be used as a plugin.
#[derive(Debug, thiserror::Error)]
#[error("plugin file {file}: {reason}", file = file.display())]
pub struct LoadError {
    /// Path of the file.
    pub file: PathBuf,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

impl Code {
    /// Reads, checks and compiles a file.
    pub fn load(compiler: &Compiler, file: &Path, limits: &Limits) -> Result<Self, LoadError> {
        let error = |reason: String| LoadError {
            file: file.to_owned(),
            reason,
        };
        let content = file::read(file, limits.component_bytes).map_err(|problem| error(problem.to_string()))?;
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        Self::compile(compiler, &name, &content.bytes, &content.digest).map_err(|problem| error(problem.to_string()))
    }

    /// Compiles and checks a component. `digest` is the SHA-256 of `bytes`.
    pub fn compile(compiler: &Compiler, name: &str, bytes: &[u8], digest: &str) -> Result<Self, CompileError> {
        if !bytes.starts_with(b"\0asm") {
            let what = if bytes.is_empty() {
                "it is empty"
            } else {
                "it is not wasm at all"
            };
            return Err(CompileError::Component(format!(
                "{what}; expected a component as `pointsman plugin build` makes it"
            )));
        }
        let engine = compiler.engine();
        let Compiled {
            component,
            engine_bytes,
        } = compiler.compile(digest, bytes)?;
        let Linked {
            imports,
            exports,
            pre,
            batch,
        } = link(engine.wasm(), &component)?;
        Ok(Self {
            batch,
            name: Arc::from(name),
            digest: digest.to_owned(),
            bytes: bytes.len(),
            imports,
            exports,
            engine_bytes,
            engine: engine.clone(),
            tenants: Arc::clone(compiler.tenants()),
            log_window: Arc::default(),
            pre,
        })
    }
}

impl Code {
    /// Lets the next call log many more lines than usual: for the tools of the plugin's author.
    pub fn watch_log(&self) {
        self.log_window.lock().unwrap_or_else(PoisonError::into_inner).watch();
    }
}

/// A component that fits the world, linked to the host's functions.
pub(super) struct Linked {
    imports: Vec<String>,
    exports: Vec<String>,
    pre: PluginPre<State>,
    batch: Option<ComponentExportIndex>,
}

/// Checks a component against the world and links it. The component decides how much memory this takes, so the compiler
/// child tries it first.
pub(super) fn link(engine: &wasmtime::Engine, component: &Component) -> Result<Linked, CompileError> {
    let (imports, exports) = check_world(engine, component).map_err(CompileError::Component)?;
    let mut linker = Linker::new(engine);
    let linked = Plugin::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state);
    linked
        .and_then(|()| batch::add_to_linker(&mut linker))
        .map_err(|error| {
            CompileError::Environment(format!(
                "the host's interface could not be linked: {}",
                one_line(&error)
            ))
        })?;
    let pre = linker
        .instantiate_pre(component)
        .and_then(PluginPre::new)
        .map_err(|error| {
            CompileError::Component(format!(
                "it does not fit the world pointsman:partitioner/plugin@1.1.0: {}; build it against the host's wit \
                 folder",
                one_line(&error)
            ))
        })?;
    Ok(Linked {
        imports,
        exports,
        pre,
        batch: batch::export(component),
    })
}

/// Lists names of a component for a message; `None` if there are none.
fn listed<'n>(names: impl Iterator<Item = &'n str>) -> Option<String> {
    let mut names = names.map(|name| said(&shorten(name, NAME_BYTES)));
    let told: Vec<String> = names.by_ref().take(NAMES).collect();
    let more = names.count();
    let more = (more > 0).then(|| format!(" and {more} more"));
    (!told.is_empty()).then(|| told.join(", ") + &more.unwrap_or_default())
}

/// Checks the names of imports and exports, and returns them. The linker would refuse wrong names too, but only one at a
/// time, and without saying what to do.
fn check_world(engine: &wasmtime::Engine, component: &Component) -> Result<(Vec<String>, Vec<String>), String> {
    let world = component.component_type();
    let imports = || world.imports(engine).map(|(name, _)| name);
    if let Some(foreign) = listed(imports().filter(|name| !name.starts_with(PACKAGE))) {
        return Err(format!(
            "it imports {foreign}; a plugin gets the interfaces of {PACKAGE} only, so build it without WASI (Rust: target \
             wasm32-unknown-unknown; others: stub WASI out)"
        ));
    }
    if let Some(other) = listed(imports().filter(|name| !is_interface(name, &IMPORTS))) {
        return Err(format!(
            "it imports {other}; this host has {VERSIONS_SHOWN} of {PACKAGE}: build it against the host's wit folder"
        ));
    }
    let exports = || world.exports(engine).map(|(name, _)| name);
    if exports().any(|name| is_interface(name, &[EXPORT])) {
        let told = exports().take(NAMES).map(|name| said(&shorten(name, NAME_BYTES)));
        return Ok((imports().map(str::to_owned).collect(), told.collect()));
    }
    match listed(exports().filter(|name| name.starts_with(EXPORT_OF_ANY_VERSION))) {
        Some(other) => Err(format!(
            "it exports {other}, this host calls {VERSIONS_SHOWN}: build it against the host's wit folder"
        )),
        None => Err(format!(
            "it is not a partitioner: it does not export {EXPORT_OF_ANY_VERSION}1.1.0{}; build it for the world plugin of the host's wit folder \
             (Rust: `pointsman_plugin::export!`)",
            listed(exports())
                .map(|only| format!(", only {only}"))
                .unwrap_or_default()
        )),
    }
}

/// Whether the name is that of one of these interfaces, in a version that this host has.
fn is_interface(name: &str, interfaces: &[&str]) -> bool {
    let name = name.strip_prefix(PACKAGE).and_then(|name| name.split_once('@'));
    name.is_some_and(|(interface, version)| interfaces.contains(&interface) && VERSIONS.contains(&version))
}

fn one_line(error: &wasmtime::Error) -> String {
    said_on_one_line(&format!("{error:#}"))
}
