//! The languages of plugins.

use std::fmt;

/// The target that Rust compiles plugins for.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// A language in which partitioners can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// Rust, on the crate pointsman-plugin.
    Rust,
    /// C, on the bindings that wit-bindgen makes.
    C,
    /// JavaScript, with the engine QuickJS in the component.
    Js,
    /// Python, with its interpreter in the component.
    Python,
    /// Go, with its runtime in the component.
    Go,
}

impl Language {
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
