//! The programs that build plugins.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::Path,
};

use super::{error::BuildError, sysroot::SearchPaths};

/// The names of clang that are tried. The plain name comes last: it may be of any version, and lack the libraries.
pub(super) const CLANGS: [&str; 8] = [
    "clang-19", "clang-18", "clang-17", "clang-16", "clang-20", "clang-21", "clang-22", "clang",
];

/// The programs to run. Tests put their own programs here.
pub(super) struct Programs {
    pub(super) cargo: OsString,
    pub(super) rustc: OsString,
    /// The C compilers and libraries, in the order in which they are tried.
    pub(super) c: SearchPaths,
    pub(super) node: OsString,
    /// Used where the project has none in its own environment.
    pub(super) componentize_py: OsString,
    pub(super) go: OsString,
}

impl Programs {
    pub(super) fn of_this_machine(sysroot: Option<&Path>) -> Self {
        let tool = |variable, default: &str| env::var_os(variable).unwrap_or_else(|| default.into());
        Self {
            cargo: tool("CARGO", "cargo"),
            rustc: tool("RUSTC", "rustc"),
            c: SearchPaths::of(sysroot, |variable| env::var_os(variable), &CLANGS),
            node: "node".into(),
            componentize_py: "componentize-py".into(),
            go: "go".into(),
        }
    }
}

/// The name, if it can be a file's name, and a plugin's name in a route.
pub(super) fn checked_name(name: &str, file: &Path) -> Result<String, BuildError> {
    let fit = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(fit) {
        return Err(BuildError::BadName {
            name: name.to_owned(),
            file: file.to_owned(),
        });
    }
    Ok(name.to_owned())
}

/// The command as a person would type it, for messages.
pub(super) fn shown(program: &OsStr) -> String {
    program.display().to_string()
}
