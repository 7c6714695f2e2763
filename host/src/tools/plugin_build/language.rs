use std::fmt;
use std::path::Path;

use super::BuildError;
use super::c;

/// A language in which partitioners can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// On the crate pointsman-plugin.
    Rust,
    /// On the bindings that wit-bindgen makes.
    C,
    /// JavaScript, with the engine QuickJS in the component.
    Js,
    /// With the interpreter in the component.
    Python,
    /// With Go's runtime in the component.
    Go,
}

impl Language {
    /// The language of the project in `dir`: a Cargo.toml is Rust's, a package.json JavaScript's, a pyproject.toml Python's,
    /// a go.mod Go's, and a `.c` file C's. The first of these decides, because a crate may well have C in it.
    ///
    /// # Errors
    ///
    /// [`BuildError::NoProject`] when there is none of them.
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

    /// What a project must do so that its component exports a partitioner.
    pub(super) fn export(self) -> &'static str {
        match self {
            Self::Rust => "add `pointsman_plugin::export!(YourType);` to its lib.rs",
            Self::C => "compile the bindings that wit-bindgen makes of the world `plugin` along with it",
            Self::Js => "add `export const partitioner = { configure, partition };` to its plugin.js",
            Self::Python => "add a class `Partitioner(wit_world.exports.Partitioner)` to its app.py",
            Self::Go => {
                "call `pointsman.Export` in an init function of its package main, and keep the package `pointsman` that \
                 `pointsman plugin new` writes"
            }
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::C => "C",
            Self::Js => "JavaScript",
            Self::Python => "Python",
            Self::Go => "Go",
        })
    }
}
