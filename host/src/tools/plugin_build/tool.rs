//! Runs programs that make a whole component by themselves.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use tempfile::TempDir;

use super::{error::BuildError, interface, language::Language};

/// How much of a failed program's messages is shown, bytes: an interpreter's trace is long, and its end matters most.
const MAX_SAID: usize = 8 * 1024;

/// Makes sure that the source file exists that a program starts from: each program would report its absence in its own
/// way.
pub(super) fn need_source(file: PathBuf, language: Language) -> Result<(), BuildError> {
    match file.is_file() {
        true => Ok(()),
        false => Err(BuildError::NoSource { file, language }),
    }
}

/// A temporary folder for the build.
pub(super) fn scratch() -> anyhow::Result<TempDir> {
    tempfile::Builder::new()
        .prefix("pointsman-build-")
        .tempdir()
        .context("cannot make a folder for temporary files")
}

/// Runs `program`, which makes components and is known as `name`, for the project in `dir`, and returns the component
/// that it wrote. The program's messages are shown only when it fails: these programs report every step.
///
/// `arguments` gets the folder of the interface and the file to write.
pub(super) fn componentize(
    name: &str,
    program: &OsStr,
    dir: &Path,
    arguments: impl FnOnce(&mut Command, &Path, &Path),
    missing: impl FnOnce() -> BuildError,
) -> anyhow::Result<Vec<u8>> {
    let scratch = scratch()?;
    let wit = interface::folder(dir, scratch.path())?;
    let file = scratch.path().join("component.wasm");
    let mut command = Command::new(program);
    command.current_dir(dir).stdin(Stdio::null());
    // A plugin's author looks for a line of the plugin, not of the program.
    command.env_remove("RUST_BACKTRACE").env_remove("RUST_LIB_BACKTRACE");
    arguments(&mut command, &wit, &file);

    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing().into()),
        Err(error) => return Err(error).with_context(|| format!("cannot run {}", program.display())),
    };
    if !output.status.success() {
        let mut said = output.stdout;
        said.extend(output.stderr);
        return Err(BuildError::Tool {
            program: name.to_owned(),
            dir: dir.to_owned(),
            status: output.status,
            said: Some(told(&said)),
        }
        .into());
    }
    fs::read(&file).with_context(|| format!("{} succeeded, but wrote no component", program.display()))
}

fn told(said: &[u8]) -> String {
    let end = &said[said.len().saturating_sub(MAX_SAID)..];
    match String::from_utf8_lossy(end).trim() {
        "" => " and said nothing".to_owned(),
        text => format!("; it said:\n{text}"),
    }
}
