//! From a WebAssembly module to a component that a host would take, in its place.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use wit_component::{ComponentEncoder, DecodedWasm};

use super::{BuildError, Built};
use crate::plugin::PACKAGE;

/// What makes a component a partitioner, in whatever version.
const EXPORT: &str = "pointsman:partitioner/partitioner@";

/// Makes a component of a module, and makes sure that it is a partitioner that a host would take.
pub(super) fn encode(name: &str, module: &[u8]) -> anyhow::Result<Vec<u8>> {
    let encoding = || {
        format!(
            "cannot make a component of {name}: either it calls something that no host gives, which the cause names, \
             or it was built with another version of pointsman-plugin"
        )
    };
    let (described, _) = wit_component::metadata::decode(module).with_context(encoding)?;
    if described.is_none() {
        return Err(BuildError::NotWithSdk { name: name.to_owned() }.into());
    }
    let component = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .with_context(encoding)?;

    let (imports, exports) = surface(&component).with_context(encoding)?;
    if !exports.iter().any(|export| export.starts_with(EXPORT)) {
        return Err(BuildError::NoPartitioner { name: name.to_owned() }.into());
    }
    let imports: Vec<_> = imports
        .into_iter()
        .filter(|import| !import.starts_with(PACKAGE))
        .collect();
    if !imports.is_empty() {
        return Err(BuildError::ForeignImports {
            name: name.to_owned(),
            imports,
        }
        .into());
    }
    Ok(component)
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
pub(super) fn place(name: String, component: &[u8], out: &Path) -> anyhow::Result<Built> {
    let file = out.join(format!("{name}.wasm"));
    let draft = out.join(format!(".{name}.{}.draft", process::id()));
    let written = fs::File::create(&draft)
        .and_then(|mut draft| draft.write_all(component).and_then(|()| draft.sync_all()))
        .and_then(|()| fs::rename(&draft, &file));
    if let Err(error) = written {
        // Nothing is left to do if this fails as well; the first error is the one to tell.
        let _ = fs::remove_file(&draft);
        return Err(error).with_context(|| format!("cannot write {}", file.display()));
    }
    Ok(Built {
        name,
        file,
        bytes: component.len() as u64,
        sha256: format!("{:x}", Sha256::digest(component)),
    })
}
