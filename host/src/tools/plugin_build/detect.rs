//! Tells which language a project is in.

use std::path::Path;

use super::{c, error::BuildError, language::Language};

impl Language {
    /// The language of the project in `dir`: a Cargo.toml is Rust's, a package.json JavaScript's, a pyproject.toml Python's,
    /// a go.mod Go's, and a `.c` file C's. The first of these decides, because a crate may well have C in it.
    ///
    /// # Errors
    ///
    /// [`BuildError::NoProject`] when the folder has none of these.
    pub fn of(dir: &Path) -> Result<Self, BuildError> {
        let has = |file| dir.join(file).is_file();
        if has("Cargo.toml") {
            Ok(Self::Rust)
        } else if has("package.json") {
            Ok(Self::Js)
        } else if has("pyproject.toml") {
            Ok(Self::Python)
        } else if has("go.mod") {
            Ok(Self::Go)
        } else if c::sources(dir).is_ok_and(|sources| !sources.is_empty()) {
            Ok(Self::C)
        } else {
            Err(BuildError::NoProject { dir: dir.to_owned() })
        }
    }
}
