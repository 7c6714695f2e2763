//! Builds partitioners that are written in Rust, C, JavaScript, Python or Go. The language's own tools compile them.
//! This module makes the result a component where it is not one yet, checks it, and puts it where a running host finds
//! it.
//!
//! Each language has a file of its own, which runs its tools. The step from module to component happens in this
//! process, though it is usually a tool, too.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

pub use self::component::Built;
use self::component::place;
pub use self::error::BuildError;
pub use self::language::Language;
use self::programs::Programs;

mod c;
mod component;
mod detect;
mod error;
mod go;
mod interface;
mod js;
mod language;
mod programs;
mod python;
mod rust;
mod sysroot;
mod tool;

/// Builds the partitioner in `dir`, or all of them if that is a cargo workspace, each to `<out>/<name>.wasm`; without
/// `out`, to the folder `dist` in `dir`. The files in `dir` tell the language, see [`Language::of`]. A compiler's
/// messages go to this process's standard error; `progress` gets a line for each step.
///
/// It writes all components or none: the first file is written only when the last component is known to be good. Each
/// file is replaced in one step, so a host that watches the folder never reads half of one.
///
/// `sysroot` is where the C library for WebAssembly is; without it, where WASI_SYSROOT or WASI_SDK_PATH say, or where
/// distributions have it.
///
/// # Errors
///
/// [`BuildError`] where the cure is known; else the error of the system or of the component encoder, with its context.
pub fn build(
    dir: &Path,
    out: Option<&Path>,
    sysroot: Option<&Path>,
    progress: &mut dyn FnMut(&str),
) -> anyhow::Result<Vec<Built>> {
    build_with(&Programs::of_this_machine(sysroot), dir, out, progress)
}

fn build_with(
    tools: &Programs,
    dir: &Path,
    out: Option<&Path>,
    progress: &mut dyn FnMut(&str),
) -> anyhow::Result<Vec<Built>> {
    if !dir.is_dir() {
        return Err(BuildError::no_folder(dir).into());
    }
    let components = match Language::of(dir)? {
        Language::Rust => rust::build(tools, dir, progress)?,
        Language::C => vec![c::build(tools, dir, progress)?],
        Language::Js => vec![js::build(tools, dir, progress)?],
        Language::Python => vec![python::build(tools, dir, progress)?],
        Language::Go => vec![go::build(tools, dir, progress)?],
    };
    let out = out.map_or_else(|| dir.join("dist"), Path::to_owned);
    fs::create_dir_all(&out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    components.into_iter().map(|component| place(component, &out)).collect()
}

/// Puts a component that was built as `file` into `out`, in one step.
pub(crate) fn put(file: &Path, name: &str, out: &Path) -> anyhow::Result<Built> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let name = name.to_owned();
    place(component::Component { name, bytes }, out)
}

#[cfg(test)]
mod tests;
