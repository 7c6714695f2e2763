use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use super::language::{Language, TARGET};
use crate::plugin::core_module;

/// How much is read of a file that was given in place of a folder, bytes: no component may be larger.
const MAX_MODULE: u64 = 32 << 20;

/// Why a partitioner could not be built, where the cure is known.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The folder holds no project in any language.
    #[error(
        "{} holds no plugin: neither a Cargo.toml (Rust) nor a package.json (JavaScript), a pyproject.toml (Python), a go.mod \
         (Go) or a .c file (C); name the folder of one, or begin one with `pointsman plugin new`",
        dir.display()
    )]
    NoProject {
        /// The folder.
        dir: PathBuf,
    },
    /// There is no such folder.
    #[error(
        "there is no folder {}; name the folder of a plugin, or begin one with `pointsman plugin new`",
        dir.display()
    )]
    NoFolder {
        /// The folder.
        dir: PathBuf,
    },
    /// There is a file where a folder is expected.
    #[error("{} is not a folder; name the folder of a plugin's source", file.display())]
    NotAFolder {
        /// The file.
        file: PathBuf,
    },
    /// The file was built already, but it is not a component yet.
    #[error("{}: {advice}", file.display())]
    CoreModule {
        /// The file.
        file: PathBuf,
        /// What the file is, and how to make a component of it.
        advice: String,
    },
    /// The project's name cannot be a plugin's name.
    #[error(
        "{} names the plugin `{name}`, but a plugin's name is a file's: only letters, digits, `-`, `_` and `.`, no `.` in front",
        file.display()
    )]
    BadName {
        /// The name.
        name: String,
        /// The file or folder that gives the name.
        file: PathBuf,
    },
    /// The project description gives no name, or cannot be read.
    #[error("cannot read the plugin's name from {}: {message}; {cure}", file.display())]
    NoName {
        /// The file.
        file: PathBuf,
        /// What is wrong with the file.
        message: String,
        /// What to write into the file.
        cure: &'static str,
    },
    /// The file that the build starts from is not there.
    #[error("{} is missing; {language} plugins begin there", file.display())]
    NoSource {
        /// The file.
        file: PathBuf,
        /// The project's language.
        language: Language,
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
    /// Cargo ran and failed. It has said why itself.
    #[error("cargo could not build {} ({status}); see its messages above", dir.display())]
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
    /// The module does not say what it imports and exports, so it was not made with the plugin crate.
    #[error("{name} is a plain WebAssembly module, not a partitioner; build it on the crate pointsman-plugin")]
    NotWithSdk {
        /// The cargo package.
        name: String,
    },
    /// The component exports no partitioner.
    #[error("{name} exports no partitioner; {}", language.export())]
    NoPartitioner {
        /// The plugin.
        name: String,
        /// Its language.
        language: Language,
    },
    /// The component imports what no host gives.
    #[error("{name} imports what no host gives a partitioner: {}; remove what needs it", imports.join(", "))]
    ForeignImports {
        /// The plugin.
        name: String,
        /// The imports in question.
        imports: Vec<String>,
    },
    /// There is no clang that compiles for WebAssembly, or something that it needs is missing.
    #[error(
        "cannot compile C for WebAssembly: {} missing{}. On Debian or Ubuntu: sudo apt-get install {}",
        are_missing(missing), elsewhere(looked_at.as_deref()), packages.join(" ")
    )]
    NoWasmCompiler {
        /// What is missing, each with what it is for.
        missing: Vec<String>,
        /// The Debian packages to install.
        packages: Vec<String>,
        /// Where the C library was looked for, if it is missing.
        looked_at: Option<String>,
    },
    /// The folder that should hold the C library for WebAssembly does not.
    #[error(
        "{named}: there is no C library for WebAssembly in {}: it has no {wanted}; name the folder that has, as \
         share/wasi-sysroot in a WASI SDK",
        folder.display()
    )]
    NoSysroot {
        /// The option or variable that names the folder.
        named: &'static str,
        /// The folder.
        folder: PathBuf,
        /// The files that are missing.
        wanted: String,
    },
    /// The folder that should hold a WASI SDK has no compiler.
    #[error(
        "WASI_SDK_PATH: there is no clang in {} that runs, is new enough and compiles for WebAssembly (bin/clang); name the \
         folder of a WASI SDK, or remove the variable",
        sdk.display()
    )]
    NoSdk {
        /// The folder.
        sdk: PathBuf,
    },
    /// The C module calls the system.
    #[error(
        "{name} calls what no host gives a partitioner: {}; it comes with C functions that read or write files or streams, the \
         clock, the environment or random numbers (printf, fopen, time, getenv, …): remove the calls of those",
        imports.join(", ")
    )]
    CallsSystem {
        /// The plugin.
        name: String,
        /// The functions of WASI that it imports.
        imports: Vec<String>,
    },
    /// This version of Go cannot make a module whose functions a host can call.
    #[error("{program} is Go {version}, but a plugin needs {oldest} or newer; get it from https://go.dev/dl")]
    OldGo {
        /// The program, as it was called.
        program: String,
        /// Its version.
        version: String,
        /// The first version that can.
        oldest: &'static str,
    },
    /// The plugin in Go makes system calls that the stand-in does not have, either.
    #[error(
        "{name} calls what no host gives a partitioner: {}; it comes with packages that read or write files, folders or \
         sockets (os.Open, time.LoadLocation, net, …): remove the calls of those",
        imports.join(", ")
    )]
    GoCallsSystem {
        /// The plugin.
        name: String,
        /// The functions of WASI that it imports.
        imports: Vec<String>,
    },
    /// A program of the language's tool chain is missing.
    #[error("cannot find {program}, which {purpose}; {cure}")]
    NoTool {
        /// The program, as it was called.
        program: String,
        /// What it does.
        purpose: &'static str,
        /// The command that installs the program.
        cure: String,
    },
    /// A program of the tool chain ran and failed.
    #[error("{program} could not build {} ({status}){}", dir.display(), said.as_deref().unwrap_or("; see its messages above"))]
    Tool {
        /// The program, as it was called.
        program: String,
        /// The folder.
        dir: PathBuf,
        /// How the program ended.
        status: ExitStatus,
        /// The program's messages, if the user has not seen them already.
        said: Option<String>,
    },
}

impl BuildError {
    /// The error for a path that is not a folder: there may be a file, or nothing.
    pub(crate) fn no_folder(dir: &Path) -> Self {
        if !dir.exists() {
            return Self::NoFolder { dir: dir.to_owned() };
        }
        let file = dir.to_owned();
        match beginning(dir) {
            Ok(module) if module.starts_with(core_module::BEGINNING) => Self::CoreModule {
                file,
                advice: core_module::advice(&module),
            },
            _ => Self::NotAFolder { file },
        }
    }
}

fn beginning(file: &Path) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    fs::File::open(file)?.take(MAX_MODULE).read_to_end(&mut read)?;
    Ok(read)
}

fn elsewhere(looked_at: Option<&str>) -> String {
    looked_at.map_or(String::new(), |looked_at| {
        format!(
            ". The C library was looked for as {looked_at}; if it is somewhere else, WASI_SYSROOT or --sysroot names its folder, \
             or WASI_SDK_PATH that of a WASI SDK"
        )
    })
}

fn are_missing(missing: &[String]) -> String {
    let verb = if missing.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", missing.join(", "))
}
