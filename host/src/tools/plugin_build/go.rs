//! Go. The go command compiles the package to a module for WASI; its runtime's system calls are then answered by a
//! stand-in within the component, `go/system.wat`, which says what each call gets.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

use super::component::{Component, check};
use super::{
    error::BuildError,
    interface,
    language::Language,
    programs::{Programs, checked_name},
    tool,
};

/// The first version of Go that lets a host call into a module more than once (`-buildmode=c-shared`,
/// `//go:wasmexport`).
const OLDEST: (u32, u32) = (1, 24);
const OLDEST_SHOWN: &str = "1.24";

/// The module in which Go looks for the system.
const SYSTEM: &str = "wasi_snapshot_preview1";

/// The stand-in for the system: `go/system.wat`, compiled.
pub(super) const STAND_IN: &[u8] = include_bytes!("go/system.wasm");

/// The world of the stand-in: what it imports itself. It is of the oldest version of the interface, so that it fits to projects of each
/// version; in the component, all imports become those of the newest version in it.
const STAND_IN_WORLD: &str = "package pointsman:go; world system { import pointsman:partitioner/log@1.0.0; }";

pub(super) fn build(tools: &Programs, dir: &Path, progress: &mut dyn FnMut(&str)) -> anyhow::Result<Component> {
    let name = name(dir)?;
    check_version(tools, dir)?;
    progress(&format!("compiling {} ({})", dir.display(), tools.go.display()));
    let scratch = tool::scratch()?;
    let module = compile(tools, dir, scratch.path())?;

    progress(&format!("making a component of {name}"));
    let imports = unknown_calls(&module).with_context(|| format!("go made no module from {name}"))?;
    if !imports.is_empty() {
        return Err(BuildError::GoCallsSystem { name, imports }.into());
    }
    let component = encode(module, dir, scratch.path()).with_context(|| {
        format!(
            "cannot make a component of {name}: {}; or it imports something that no host gives, which the cause names",
            Language::Go.export()
        )
    })?;
    check(name, component, Language::Go)
}

/// The plugin's name: the last part of the module's path. A last part that is only a version does not count.
fn name(dir: &Path) -> anyhow::Result<String> {
    let file = dir.join("go.mod");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let path = text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("module")).then(|| words.next()).flatten()
    });
    let path = path.ok_or_else(|| BuildError::NoName {
        file: file.clone(),
        message: "there is no module line".to_owned(),
        cure: "write a line `module my-plugin` there",
    })?;
    let mut parts = path.trim_matches('"').rsplit('/');
    let last = parts.next().unwrap_or_default();
    let name = match parts.next() {
        Some(before) if is_major_version(last) && !before.contains('.') => before,
        _ => last,
    };
    Ok(checked_name(name, &file)?)
}

fn is_major_version(part: &str) -> bool {
    part.strip_prefix('v')
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Checks the version beforehand: an older go would fail with a message about its own flags. The question is put in the
/// plugin's folder, because go may fetch the version that go.mod names.
fn check_version(tools: &Programs, dir: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(&tools.go);
    command.args(["env", "GOVERSION"]);
    let said = run(tools, command, dir)?;
    let version = said.trim().trim_start_matches("go");
    match major_and_minor(version) {
        Some(known) if known < OLDEST => Err(BuildError::OldGo {
            program: super::programs::shown(&tools.go),
            version: version.to_owned(),
            oldest: OLDEST_SHOWN,
        }
        .into()),
        // A go that was built from a development tree has no number, and its user knows that.
        _ => Ok(()),
    }
}

fn major_and_minor(version: &str) -> Option<(u32, u32)> {
    let (major, rest) = version.split_once('.')?;
    let minor = rest.split(|character: char| !character.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn compile(tools: &Programs, dir: &Path, scratch: &Path) -> anyhow::Result<Vec<u8>> {
    let file = scratch.join("module.wasm");
    let mut command = Command::new(&tools.go);
    command.env("GOOS", "wasip1").env("GOARCH", "wasm");
    // The same sources give the same component, wherever they lie. Debug information, as large as the code, is omitted;
    // function names stay, for the trace of a trap.
    command.args([
        "build",
        "-buildmode=c-shared",
        "-trimpath",
        "-buildvcs=false",
        "-ldflags=-w",
        "-o",
    ]);
    command.arg(&file).arg(".");
    run(tools, command, dir)?;
    fs::read(&file).with_context(|| format!("cannot read {}, which go made", file.display()))
}

/// What the command wrote to standard output. Its standard error goes to ours.
fn run(tools: &Programs, mut command: Command, dir: &Path) -> anyhow::Result<String> {
    command.current_dir(dir).stdin(Stdio::null()).stderr(Stdio::inherit());
    let program = super::programs::shown(&tools.go);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound && dir.is_dir() => {
            return Err(BuildError::NoTool {
                program,
                purpose: "compiles Go",
                cure: format!("install Go {OLDEST_SHOWN} or newer (https://go.dev/dl)"),
            }
            .into());
        }
        Err(error) => return Err(error).with_context(|| format!("cannot run {program}")),
    };
    if !output.status.success() {
        return Err(BuildError::Tool {
            program,
            dir: dir.to_owned(),
            status: output.status,
            said: None,
        }
        .into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The functions of WASI that a module imports and the stand-in does not have.
pub(super) fn unknown_calls(module: &[u8]) -> anyhow::Result<Vec<String>> {
    let mut known = Vec::new();
    for payload in Parser::new(0).parse_all(STAND_IN) {
        if let Payload::ExportSection(exports) = payload? {
            for export in exports {
                known.push(export?.name);
            }
        }
    }
    let mut unknown = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::ImportSection(imports) = payload? {
            for import in imports.into_imports() {
                let import = import?;
                if import.module == SYSTEM && !known.contains(&import.name) {
                    unknown.push(import.name.to_owned());
                }
            }
        }
    }
    // Several packages may import the same one.
    unknown.sort();
    unknown.dedup();
    Ok(unknown)
}

/// Makes one component of both modules. Neither says itself what it imports and exports, so that is added first.
fn encode(mut module: Vec<u8>, dir: &Path, scratch: &Path) -> anyhow::Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(interface::folder(dir, scratch)?)?;
    let world = resolve.select_world(&[package], Some(interface::WORLD))?;
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;

    let mut stand_in = STAND_IN.to_vec();
    let oldest = resolve
        .package_names
        .keys()
        .any(|name| name.to_string() == interface::OLDEST_PACKAGE);
    if !oldest {
        resolve.push_str("oldest.wit", interface::OLDEST)?;
    }
    let package = resolve.push_str("system.wit", STAND_IN_WORLD)?;
    let world = resolve.select_world(&[package], None)?;
    wit_component::embed_component_metadata(&mut stand_in, &resolve, world, StringEncoding::UTF8)?;

    ComponentEncoder::default()
        .validate(true)
        .module(&module)?
        .adapter(SYSTEM, &stand_in)?
        .encode()
}
