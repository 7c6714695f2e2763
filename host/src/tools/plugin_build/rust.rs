//! Rust. Cargo compiles each plugin crate of the folder to a module, which says itself what it imports and exports.
//! Only cargo and the target are needed.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use serde::Deserialize;

use super::component::{Component, check, encode};
use super::{
    error::BuildError,
    language::{Language, TARGET},
    programs::Programs,
};

/// A module that cargo made.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Module {
    pub(super) name: String,
    pub(super) file: PathBuf,
}

pub(super) fn build(tools: &Programs, dir: &Path, progress: &mut dyn FnMut(&str)) -> anyhow::Result<Vec<Component>> {
    progress(&format!("compiling {} for {TARGET}", dir.display()));
    let modules = modules_in(&cargo_build(tools, dir)?);
    if modules.is_empty() {
        return Err(BuildError::NoModule { dir: dir.to_owned() }.into());
    }
    let mut components = Vec::with_capacity(modules.len());
    for Module { name, file } in modules {
        progress(&format!("making a component of {name}"));
        let module = fs::read(&file).with_context(|| format!("cannot read {}, which cargo made", file.display()))?;
        components.push(component_of(name, &module)?);
    }
    Ok(components)
}

fn component_of(name: String, module: &[u8]) -> anyhow::Result<Component> {
    let encoding = || {
        format!(
            "cannot make a component of {name}: either it calls something that no host gives, which the cause names, \
             or it was built with another version of pointsman-plugin"
        )
    };
    let (described, _) = wit_component::metadata::decode(module).with_context(encoding)?;
    if described.is_none() {
        return Err(BuildError::NotWithSdk { name }.into());
    }
    let component = encode(module).with_context(encoding)?;
    check(name, component, Language::Rust)
}

/// Runs cargo and returns what it wrote to standard output: one JSON message a line.
fn cargo_build(tools: &Programs, dir: &Path) -> anyhow::Result<Vec<u8>> {
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
/// setting of the user's. The user's settings stay: flags, wrappers, proxies, and CARGO_TARGET_DIR, which does no harm
/// since cargo says where it puts the modules. RUSTUP_TOOLCHAIN stays, too, because CARGO then is the cargo of that
/// toolchain.
pub(super) fn tells_of_another_build(variable: &str) -> bool {
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

/// Whether the target is not installed. Asked only after a failure: without the target, the compiler's own message is
/// about a missing crate `core`.
fn lacks_target(tools: &Programs, dir: &Path) -> bool {
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

/// The parts of a line of cargo's output that matter here.
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

pub(super) fn modules_in(cargo_output: &[u8]) -> Vec<Module> {
    let mut modules = Vec::new();
    for line in cargo_output.split(|&byte| byte == b'\n') {
        // Lines that are not messages are skipped: a program that cargo runs may write to the same output.
        let Ok(Message::CompilerArtifact {
            package_id,
            target,
            filenames,
        }) = serde_json::from_slice(line)
        else {
            continue;
        };
        // Crates of a registry may be `cdylib`, too, besides being libraries. They are parts of a plugin, not plugins.
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
    // Cargo reports modules as they are ready, in an order that differs from run to run.
    modules.sort();
    modules
}

/// The package's name in an id such as `path+file:///plugins/header#0.1.0`, or `path+file:///x#header@0.1.0` where the
/// folder has another name.
fn package_name(package_id: &str) -> &str {
    let (url, fragment) = package_id.rsplit_once('#').unwrap_or((package_id, ""));
    match fragment.split_once('@') {
        Some((name, _version)) => name,
        None => url.rsplit('/').next().unwrap_or(url),
    }
}
