//! Builds partitioners that are written in Rust. Cargo compiles them to WebAssembly modules; here each module becomes a
//! component, is looked over, and is put where a running host finds it.
//!
//! Nothing but cargo and the Rust target is needed: the step from module to component, which is usually a tool of its
//! own, happens in this process.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::Context as _;

use self::component::{encode, place};
use self::rust::{Module, TARGET, cargo_build, modules_in};

mod component;
mod rust;

/// A component that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The name of the cargo package, by which a route names the plugin.
    pub name: String,
    /// The component's file.
    pub file: PathBuf,
    /// The component's size in bytes.
    pub bytes: u64,
    /// The SHA-256 of the component in lower-case hexadecimal, fit for a route's `sha256`.
    pub sha256: String,
}

/// Why a partitioner could not be built, where the cure is known.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The folder holds no cargo package.
    #[error("{} holds no Cargo.toml; name the folder of a plugin's crate or of a workspace of them", dir.display())]
    NotACrate {
        /// The folder.
        dir: PathBuf,
    },
    /// Cargo could not be started at all.
    #[error("cannot find cargo as `{}`; install Rust (https://rustup.rs), or set CARGO to where cargo is", program.display())]
    NoCargo {
        /// The program that was tried.
        program: PathBuf,
    },
    /// The toolchain has no standard library for WebAssembly.
    #[error(
        "{} cannot be built: the Rust toolchain there has no target {TARGET}; run `rustup target add {TARGET}`",
        dir.display()
    )]
    NoTarget {
        /// The folder.
        dir: PathBuf,
    },
    /// Cargo ran and did not succeed; it has said why itself.
    #[error("cargo could not build {} ({status}); its messages stand above", dir.display())]
    Cargo {
        /// The folder.
        dir: PathBuf,
        /// How cargo ended.
        status: ExitStatus,
    },
    /// Cargo built something, but no module that could become a component.
    #[error(
        "no crate in {} makes a WebAssembly module; put `crate-type = [\"cdylib\"]` under [lib] in the plugin's Cargo.toml",
        dir.display()
    )]
    NoModule {
        /// The folder.
        dir: PathBuf,
    },
    /// A module does not say what it imports and exports, so it was not made with the plugin crate.
    #[error("{name} is a plain WebAssembly module, not a partitioner; build it on the crate pointsman-plugin")]
    NotWithSdk {
        /// The cargo package.
        name: String,
    },
    /// A component without a partitioner in it.
    #[error("{name} exports no partitioner; add `pointsman_plugin::export!(YourType);` to its lib.rs")]
    NoPartitioner {
        /// The cargo package.
        name: String,
    },
    /// A component that no host would take.
    #[error("{name} imports what no host gives a partitioner: {}; remove what needs it", imports.join(", "))]
    ForeignImports {
        /// The cargo package.
        name: String,
        /// The imports in question.
        imports: Vec<String>,
    },
}

/// Builds all partitioners in `dir`, a cargo package or workspace, each to `<out>/<package>.wasm`; without `out`, to the
/// folder `dist` in `dir`. What the compiler has to say goes to this process's standard error as cargo renders it;
/// `progress` gets a line for each step.
///
/// All or none: the first file is written when the last component is known to be good. A file is replaced in one step,
/// so a host that watches the folder never reads half of one.
///
/// # Errors
///
/// [`BuildError`] where the cure is known; else what the system or the component encoder said, and about what.
pub fn build(dir: &Path, out: Option<&Path>, progress: &mut dyn FnMut(&str)) -> anyhow::Result<Vec<Built>> {
    let tool = |variable, default: &str| env::var_os(variable).unwrap_or_else(|| default.into());
    let tools = Tools {
        cargo: tool("CARGO", "cargo"),
        rustc: tool("RUSTC", "rustc"),
    };
    build_with(&tools, dir, out, progress)
}

/// The programs to run; of a test's own in tests.
struct Tools {
    cargo: OsString,
    rustc: OsString,
}

fn build_with(
    tools: &Tools,
    dir: &Path,
    out: Option<&Path>,
    progress: &mut dyn FnMut(&str),
) -> anyhow::Result<Vec<Built>> {
    if !dir.join("Cargo.toml").is_file() {
        return Err(BuildError::NotACrate { dir: dir.to_owned() }.into());
    }
    progress(&format!("compiling {} for {TARGET}", dir.display()));
    let modules = modules_in(&cargo_build(tools, dir)?);
    if modules.is_empty() {
        return Err(BuildError::NoModule { dir: dir.to_owned() }.into());
    }

    let mut components = Vec::with_capacity(modules.len());
    for Module { name, file } in modules {
        progress(&format!("making a component of {name}"));
        let module =
            fs::read(&file).with_context(|| format!("cannot read {}, which cargo has made", file.display()))?;
        components.push((encode(&name, &module)?, name));
    }

    let out = out.map_or_else(|| dir.join("dist"), Path::to_owned);
    fs::create_dir_all(&out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    components
        .into_iter()
        .map(|(component, name)| place(name, &component, &out))
        .collect()
}

#[cfg(test)]
mod tests;
