//! From a file to checked, compiled code.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};
use wasmtime::component::{Component, HasSelf, Linker};

use super::{
    Engine, Limits,
    bindings::{Plugin, PluginPre},
    imports::State,
};

/// The package whose interfaces a plugin may import, up to its version.
pub const PACKAGE: &str = "pointsman:partitioner/";

/// A component that fits the world, compiled and linked: instances are made from it.
pub struct Code {
    /// The file's name without `.wasm`.
    pub name: Arc<str>,
    /// SHA-256 of the very bytes that were compiled, hexadecimal.
    pub digest: String,
    /// Size of the component, bytes.
    pub bytes: usize,
    pub(super) engine: Engine,
    pub(super) pre: PluginPre<State>,
}

/// Why a file is no plugin that can be used.
#[derive(Debug, thiserror::Error)]
#[error("plugin file {file}: {reason}", file = file.display())]
pub struct LoadError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it and what to do.
    pub reason: String,
}

impl Code {
    /// Reads, checks and compiles a file. `pin` is the SHA-256 that it must have.
    pub fn load(engine: &Engine, file: &Path, limits: &Limits, pin: Option<&str>) -> Result<Self, LoadError> {
        let error = |reason: String| LoadError {
            file: file.to_owned(),
            reason,
        };
        let bytes = read(file, limits.component_bytes).map_err(error)?;
        let digest = format!("{:x}", Sha256::digest(&bytes));
        if let Some(pin) = pin.filter(|pin| !pin.eq_ignore_ascii_case(&digest)) {
            return Err(error(format!(
                "its SHA-256 is {digest}, the route pins {pin}; deploy the pinned file, or correct the pin"
            )));
        }
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        Self::compile(engine, &name, &bytes, digest).map_err(error)
    }

    fn compile(engine: &Engine, name: &str, bytes: &[u8], digest: String) -> Result<Self, String> {
        if bytes.starts_with(b"\0asm\x01\0\0\0") {
            return Err(
                "it is a core wasm module, expected a component; build it with `pointsman plugin build`".to_owned(),
            );
        }
        let component = Component::new(engine.wasm(), bytes)
            .map_err(|error| format!("it is no valid wasm component: {}", one_line(&error)))?;
        check_imports(engine, &component)?;
        let mut linker = Linker::new(engine.wasm());
        Plugin::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)
            .map_err(|error| format!("the host's interface could not be linked: {}", one_line(&error)))?;
        let pre = linker
            .instantiate_pre(&component)
            .and_then(PluginPre::new)
            .map_err(|error| {
                format!(
                    "it does not fit the world pointsman:partitioner/plugin@1.0.0: {}; build it against the host's wit folder",
                    one_line(&error)
                )
            })?;
        Ok(Self {
            name: Arc::from(name),
            digest,
            bytes: bytes.len(),
            engine: engine.clone(),
            pre,
        })
    }
}

fn read(file: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let open = File::open(file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            "not found; build it with `pointsman plugin build`, or correct the route's plugin or [plugins] dir"
                .to_owned()
        }
        _ => format!("cannot be read: {error}"),
    })?;
    let mut bytes = Vec::new();
    open.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > limit {
        return Err(format!(
            "over {limit} bytes; make it smaller, or raise plugins.component_bytes"
        ));
    }
    Ok(bytes)
}

/// The linker would refuse these too, one at a time and in its own words.
fn check_imports(engine: &Engine, component: &Component) -> Result<(), String> {
    let foreign: Vec<String> = component
        .component_type()
        .imports(engine.wasm())
        .map(|(name, _)| name.to_owned())
        .filter(|name| !name.starts_with(PACKAGE))
        .collect();
    if foreign.is_empty() {
        return Ok(());
    }
    Err(format!(
        "it imports {}; a plugin gets the interfaces of {PACKAGE} only, so build it without WASI \
         (Rust: target wasm32-unknown-unknown; others: stub WASI out)",
        foreign.join(", ")
    ))
}

fn one_line(error: &wasmtime::Error) -> String {
    format!("{error:#}").replace('\n', " ")
}
