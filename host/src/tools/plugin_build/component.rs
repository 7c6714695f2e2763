//! From a WebAssembly module to a checked component in its place.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use wit_component::{ComponentEncoder, DecodedWasm};

use super::{error::BuildError, language::Language};
use crate::plugin::PACKAGE;

/// The export that makes a component a partitioner, without the version.
const EXPORT: &str = "pointsman:partitioner/partitioner@";

/// A component that a host would take, and that is not in its place yet.
#[derive(Debug)]
pub(super) struct Component {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// Makes a component of a module that says what it imports and exports.
pub(super) fn encode(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    ComponentEncoder::default().validate(true).module(module)?.encode()
}

/// Makes sure that a component is a partitioner that a host would take. Other exports do no harm: the engines of some
/// languages have some.
pub(super) fn check(name: String, bytes: Vec<u8>, language: Language) -> anyhow::Result<Component> {
    let (imports, exports) =
        surface(&bytes).with_context(|| format!("what was built from {name} is not a component"))?;
    if !exports.iter().any(|export| export.starts_with(EXPORT)) {
        return Err(BuildError::NoPartitioner { name, language }.into());
    }
    let imports: Vec<_> = imports
        .into_iter()
        .filter(|import| !import.starts_with(PACKAGE))
        .collect();
    if !imports.is_empty() {
        return Err(BuildError::ForeignImports { name, imports }.into());
    }
    Ok(Component { name, bytes })
}

/// The names of all that a component imports and exports.
pub(super) fn surface(component: &[u8]) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let decoded = wit_component::decode(component)?;
    let DecodedWasm::Component(resolve, world) = &decoded else {
        anyhow::bail!("it is a package of interfaces");
    };
    let world = &resolve.worlds[*world];
    let imports = world
        .imports
        .keys()
        .map(|import| resolve.name_world_key(import))
        .collect();
    let exports = world
        .exports
        .keys()
        .map(|export| resolve.name_world_key(export))
        .collect();
    Ok((imports, exports))
}

/// Puts the component into its place in one step: written beside it under a name that no host looks at, then renamed.
pub(super) fn place(Component { name, bytes }: Component, out: &Path) -> anyhow::Result<Built> {
    let file = out.join(format!("{name}.wasm"));
    let draft = out.join(format!(".{name}.{}.draft", process::id()));
    let written = fs::File::create(&draft)
        .and_then(|mut draft| draft.write_all(&bytes).and_then(|()| draft.sync_all()))
        .and_then(|()| fs::rename(&draft, &file));
    if let Err(error) = written {
        // If this fails, too, nothing can be done: the first error is the one to report.
        let _ = fs::remove_file(&draft);
        return Err(error).with_context(|| format!("cannot write {}", file.display()));
    }
    Ok(Built {
        name,
        file,
        bytes: bytes.len() as u64,
        sha256: format!("{:x}", Sha256::digest(&bytes)),
    })
}

/// A component that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The project's name, by which a route names the plugin.
    pub name: String,
    /// The component's file.
    pub file: PathBuf,
    /// The component's size in bytes.
    pub bytes: u64,
    /// The SHA-256 of the component in lower-case hexadecimal, fit for a route's `sha256`.
    pub sha256: String,
}
