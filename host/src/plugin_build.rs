//! Builds partitioners that are written in Rust. Cargo compiles them to WebAssembly modules; here each module becomes a
//! component, is looked over, and is put where a running host finds it.
//!
//! Nothing but cargo and the Rust target is needed: the step from module to component, which is usually a tool of its
//! own, happens in this process.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitStatus, Stdio};

use anyhow::Context as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use wit_component::{ComponentEncoder, DecodedWasm};

use crate::plugin::PACKAGE;

/// The one target whose standard library asks nothing of the host: those for WASI import clocks, files and environment.
const TARGET: &str = "wasm32-unknown-unknown";

/// What makes a component a partitioner, in whatever version.
const EXPORT: &str = "pointsman:partitioner/partitioner@";

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

/// A module that cargo made.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Module {
    name: String,
    file: PathBuf,
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

/// Runs cargo and gives back what it wrote to standard output: a JSON message a line.
fn cargo_build(tools: &Tools, dir: &Path) -> anyhow::Result<Vec<u8>> {
    let mut cargo = Command::new(&tools.cargo);
    cargo
        .args([
            "build",
            "--release",
            "--target",
            TARGET,
            "--message-format=json-render-diagnostics",
        ])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    for (variable, _) in env::vars_os() {
        if variable.to_str().is_some_and(tells_of_another_build) {
            cargo.env_remove(variable);
        }
    }

    let output = match cargo.output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(BuildError::NoCargo {
                program: PathBuf::from(&tools.cargo),
            }
            .into());
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot run {}", tools.cargo.display()));
        }
    };
    let dir = dir.to_owned();
    match output.status {
        status if status.success() => Ok(output.stdout),
        _ if lacks_target(tools, &dir) => Err(BuildError::NoTarget { dir }.into()),
        status => Err(BuildError::Cargo { dir, status }.into()),
    }
}

/// Whether a variable is about the build that this process is part of, as under `cargo run` and `cargo test`, and not a
/// wish of the user's. Wishes stay: flags, wrappers, proxies, and CARGO_TARGET_DIR, which does no harm since cargo says
/// where it has put the modules. RUSTUP_TOOLCHAIN stays too, because CARGO then is the cargo of that toolchain.
fn tells_of_another_build(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CFG_"]
        .iter()
        .any(|prefix| variable.starts_with(prefix))
        || [
            "CARGO_CRATE_NAME",
            "CARGO_PRIMARY_PACKAGE",
            "CARGO_TARGET_TMPDIR",
            // The job server that it names may be gone.
            "CARGO_MAKEFLAGS",
            // Cargo makes it of the flags for the outer target; it would win over RUSTFLAGS.
            "CARGO_ENCODED_RUSTFLAGS",
            // How `cargo clippy` gets its own compiler in.
            "RUSTC_WORKSPACE_WRAPPER",
        ]
        .contains(&variable)
}

/// Asked only after a failure: without the target the compiler's own message is about a missing crate `core`.
fn lacks_target(tools: &Tools, dir: &Path) -> bool {
    let libraries = Command::new(&tools.rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(dir)
        .stdin(Stdio::null())
        .output();
    match libraries {
        Ok(output) if output.status.success() => !Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir(),
        _ => false,
    }
}

/// A line of cargo's output, as far as it matters here.
#[derive(Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Message {
    CompilerArtifact {
        package_id: String,
        target: Target,
        filenames: Vec<PathBuf>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

fn modules_in(cargo_output: &[u8]) -> Vec<Module> {
    let mut modules = Vec::new();
    for line in cargo_output.split(|&byte| byte == b'\n') {
        // Also what is no message: a program that cargo runs may write to the same place.
        let Ok(Message::CompilerArtifact {
            package_id,
            target,
            filenames,
        }) = serde_json::from_slice(line)
        else {
            continue;
        };
        // Crates of a registry may be `cdylib` too, besides being libraries. Those are parts of a plugin, not plugins.
        let own = package_id.starts_with("path+");
        if !own || !target.crate_types.iter().any(|crate_type| crate_type == "cdylib") {
            continue;
        }
        let name = package_name(&package_id);
        let wasm = filenames
            .into_iter()
            .filter(|file| file.extension().is_some_and(|extension| extension == "wasm"));
        modules.extend(wasm.map(|file| Module {
            name: name.to_owned(),
            file,
        }));
    }
    // Cargo tells of them as they are ready, which differs from run to run.
    modules.sort();
    modules
}

/// The package's name in an id such as `path+file:///plugins/header#0.1.0`, or `path+file:///x#header@0.1.0` where the
/// folder is called something else.
fn package_name(package_id: &str) -> &str {
    let (url, fragment) = package_id.rsplit_once('#').unwrap_or((package_id, ""));
    match fragment.split_once('@') {
        Some((name, _version)) => name,
        None => url.rsplit('/').next().unwrap_or(url),
    }
}

/// Makes a component of a module, and makes sure that it is a partitioner that a host would take.
fn encode(name: &str, module: &[u8]) -> anyhow::Result<Vec<u8>> {
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
fn surface(component: &[u8]) -> anyhow::Result<(Vec<String>, Vec<String>)> {
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
fn place(name: String, component: &[u8], out: &Path) -> anyhow::Result<Built> {
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

#[cfg(test)]
mod tests;
