//! C. clang compiles all `.c` files of the folder that are not tests, the bindings of wit-bindgen among them, against
//! wasi-libc. This module adds the description of the interface, which wit-bindgen would link in as an object file.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use wit_component::StringEncoding;
use wit_parser::Resolve;

use super::component::{Component, check, encode};
use super::sysroot::{SearchPaths, Sysroot, looked_for};
use super::{
    error::BuildError,
    interface,
    language::Language,
    programs::{Programs, checked_name},
    tool,
};

/// The version of clang to install where there is none at all.
const ADVISED: u32 = 19;

/// The oldest clang that is used. Older ones were never tried.
const OLDEST: u32 = 16;

/// The module in which wasi-libc looks for the system.
const SYSTEM: &str = "wasi_snapshot_preview1";

pub(super) fn build(tools: &Programs, dir: &Path, progress: &mut dyn FnMut(&str)) -> anyhow::Result<Component> {
    let name = name(dir)?;
    let sources = sources(dir).with_context(|| format!("cannot read the folder {}", dir.display()))?;
    let compiler = compiler(&tools.c)?;
    progress(&format!("compiling {} ({})", dir.display(), compiler.clang.display()));
    let scratch = tool::scratch()?;
    let mut module = compile(&compiler, dir, &sources, scratch.path())?;

    progress(&format!("making a component of {name}"));
    let imports = system_calls(&module).with_context(|| format!("clang made no module from {name}"))?;
    if !imports.is_empty() {
        return Err(BuildError::CallsSystem { name, imports }.into());
    }
    let component = describe(&mut module, dir, scratch.path())
        .and_then(|()| encode(&module))
        .with_context(|| {
            format!(
                "cannot make a component of {name}: either it calls something that no host gives, which the cause \
                 names, or its bindings are of another version of the interface"
            )
        })?;
    check(name, component, Language::C)
}

/// The `.c` files of the folder, without tests: `test.c`, `test_….c` and `…_test.c`.
pub(super) fn sources(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let is_c = path.extension() == Some(OsStr::new("c"));
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let is_test = stem == "test" || stem.starts_with("test_") || stem.ends_with("_test");
        if is_c && !is_test && path.is_file() {
            sources.push(path);
        }
    }
    // The same sources give the same component, however the folder is stored.
    sources.sort();
    Ok(sources)
}

/// The plugin's name. No file names a project in C, so its folder does.
fn name(dir: &Path) -> anyhow::Result<String> {
    let dir = fs::canonicalize(dir).with_context(|| format!("cannot open the folder {}", dir.display()))?;
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    Ok(checked_name(&name, &dir)?)
}

/// A compiler that has all it needs.
#[derive(Debug)]
struct Compiler {
    clang: OsString,
    sysroot: Sysroot,
}

/// The first clang that has all it needs. If none has, the error tells what the first one that runs at all lacks.
fn compiler(places: &SearchPaths) -> Result<Compiler, BuildError> {
    let sysroots = places.found();
    if let (Some(named), [folder], []) = (places.named, &*places.sysroots, &*sysroots) {
        return Err(BuildError::NoSysroot {
            named,
            folder: folder.clone(),
            wanted: looked_for(),
        });
    }
    let looked_at = || match sysroots.is_empty() {
        true => Some(places.looked_at()),
        false => None,
    };
    let mut lacking = None;
    for clang in &places.clangs {
        let Some(version) = version(clang) else { continue };
        for sysroot in sysroots.iter().map(Some).chain(sysroots.is_empty().then_some(None)) {
            let (missing, packages) = lacks(clang, version, sysroot);
            if let (Some(sysroot), true) = (sysroot, missing.is_empty()) {
                return Ok(Compiler {
                    clang: clang.clone(),
                    sysroot: sysroot.clone(),
                });
            }
            lacking.get_or_insert_with(|| BuildError::NoWasmCompiler {
                missing,
                packages,
                looked_at: looked_at(),
            });
        }
    }
    Err(lacking.unwrap_or_else(|| no_clang(places, looked_at())))
}

fn no_clang(places: &SearchPaths, looked_at: Option<String>) -> BuildError {
    if let Some(sdk) = &places.sdk {
        return BuildError::NoSdk { sdk: sdk.clone() };
    }
    let packages = [format!("clang-{ADVISED}")].into_iter().chain(libraries(ADVISED));
    BuildError::NoWasmCompiler {
        missing: vec![format!("clang {OLDEST} or newer")],
        packages: packages.collect(),
        looked_at,
    }
}

/// The major version of a clang that is new enough and compiles for WebAssembly.
fn version(clang: &OsStr) -> Option<u32> {
    let version = answer(clang, &["-dumpversion"])?;
    let major = version.split('.').next()?.parse().ok()?;
    let targets = answer(clang, &["--print-targets"])?;
    (major >= OLDEST && targets.contains("wasm32")).then_some(major)
}

/// What is not installed for this clang, and the packages that install it.
fn lacks(clang: &OsStr, version: u32, sysroot: Option<&Sysroot>) -> (Vec<String>, Vec<String>) {
    let is_file = |question: &[&str]| answer(clang, question).is_some_and(|path| Path::new(path.trim()).is_file());
    let target = target(sysroot);
    let [linker, libc, builtins] = libraries(version);
    let parts = [
        (
            is_file(&[&target, "--print-prog-name=wasm-ld"]),
            format!("the linker wasm-ld of {}", clang.display()),
            linker,
        ),
        (sysroot.is_some(), "the C library for WebAssembly".to_owned(), libc),
        (
            is_file(&[&target, "--rtlib=compiler-rt", "--print-libgcc-file-name"]),
            format!("the compiler's own library for WebAssembly of {}", clang.display()),
            builtins,
        ),
    ];
    parts
        .into_iter()
        .filter(|(there, ..)| !there)
        .map(|(_, missing, package)| (missing, package))
        .unzip()
}

fn target(sysroot: Option<&Sysroot>) -> String {
    format!("--target={}", sysroot.map_or("wasm32-wasi", |sysroot| sysroot.target))
}

/// The Debian packages for a clang: linker, C library, the compiler's own library.
fn libraries(version: u32) -> [String; 3] {
    [
        format!("lld-{version}"),
        "wasi-libc".to_owned(),
        format!("libclang-rt-{version}-dev-wasm32"),
    ]
}

fn answer(program: &OsStr, question: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(question)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn compile(compiler: &Compiler, dir: &Path, sources: &[PathBuf], scratch: &Path) -> anyhow::Result<Vec<u8>> {
    let Compiler { clang, sysroot } = compiler;
    let file = scratch.join("module.wasm");
    let status = Command::new(clang)
        .args([target(Some(sysroot)), format!("--sysroot={}", sysroot.folder.display())])
        .arg("-I")
        .arg(sysroot.headers())
        .args(["-std=c11", "-Wall", "-O2", "-mexec-model=reactor", "-fuse-ld=lld"])
        // The stack below the data: a call that goes too deep traps instead of writing over the data.
        .arg("-Wl,--stack-first")
        // wasi-libc brings debug information that is larger than the code; function names stay, for the trace of a trap.
        .arg("-Wl,--strip-debug")
        .arg("-o")
        .arg(&file)
        .args(sources)
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {}", clang.display()))?;
    if !status.success() {
        return Err(BuildError::Tool {
            program: super::programs::shown(clang),
            dir: dir.to_owned(),
            status,
            said: None,
        }
        .into());
    }
    fs::read(&file).with_context(|| format!("cannot read {}, which clang made", file.display()))
}

/// The functions of WASI that a module imports.
fn system_calls(module: &[u8]) -> anyhow::Result<Vec<String>> {
    let mut calls = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(module) {
        if let wasmparser::Payload::ImportSection(imports) = payload? {
            for import in imports.into_imports() {
                let import = import?;
                if import.module == SYSTEM {
                    calls.push(import.name.to_owned());
                }
            }
        }
    }
    Ok(calls)
}

/// Adds what the module imports and exports, unless an object file has brought that in.
fn describe(module: &mut Vec<u8>, dir: &Path, scratch: &Path) -> anyhow::Result<()> {
    if wit_component::metadata::decode(module)?.0.is_some() {
        return Ok(());
    }
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(interface::folder(dir, scratch)?)?;
    let world = resolve.select_world(&[package], Some(interface::WORLD))?;
    wit_component::embed_component_metadata(module, &resolve, world, StringEncoding::UTF8)
}
