//! The files of a new plugin: those of `examples/write-a-plugin`, embedded in this program. A test keeps these lists
//! complete.

use crate::tools::plugin_build::Language;

/// The name that the examples have.
const EXAMPLE: &str = "customer-tier";

/// A file of a new plugin: its path in the plugin's folder, and its text in the example.
#[derive(Clone, Copy, Debug)]
pub(super) struct File {
    pub(super) path: &'static str,
    pub(super) text: &'static str,
}

/// Files of a folder of this repository, to be written below `$to` at the same relative path.
macro_rules! files {
    ($from:literal => $to:literal: $($path:literal),* $(,)?) => {
        &[$(File {
            path: concat!($to, $path),
            text: include_str!(concat!("../../../../", $from, "/", $path)),
        }),*]
    };
}

pub(super) const RUST: &[File] = files!("examples/write-a-plugin/rust" => "":
    ".gitignore", "Cargo.lock", "Cargo.toml", "README.md", "rustfmt.toml", "src/lib.rs", "src/rule.rs");

pub(super) const C: &[File] = files!("examples/write-a-plugin/c" => "":
    ".gitignore", "Makefile", "README.md", "glue.c", "plugin.c", "plugin.h", "rule.c", "rule.h", "test.c");

pub(super) const JS: &[File] = files!("examples/write-a-plugin/js" => "":
    ".gitignore", "README.md", "guard.js", "package-lock.json", "package.json", "plugin.js", "rule.js", "rule.test.js");

pub(super) const PYTHON: &[File] = files!("examples/write-a-plugin/python" => "":
    ".gitignore", "README.md", "app.py", "guard.py", "pyproject.toml", "rule.py", "test_rule.py");

pub(super) const GO: &[File] = files!("examples/write-a-plugin/go" => "":
    ".gitignore", "README.md", "go.mod", "plugin.go", "pointsman/component.go", "pointsman/native.go",
    "pointsman/pointsman.go", "rule.go", "rule_test.go");

/// The SDK. No registry has it, so a new plugin gets a copy; the example uses the one in this repository.
pub(super) const SDK: &[File] = files!("plugins/sdk" => "vendor/pointsman-plugin/":
    "Cargo.toml", "src/bindings.rs", "src/config.rs", "src/decision.rs", "src/glue.rs", "src/lib.rs", "src/log.rs",
    "src/murmur2.rs", "src/record.rs", "src/record/builder.rs");

/// What the SDK reads JSON with in tests. It wants it beside itself.
pub(super) const JSON_POINTER: &[File] = files!("plugins/json-pointer" => "vendor/json-pointer/":
    "Cargo.toml", "src/lib.rs", "src/tests.rs");

/// The interface: the SDK wants it two folders up, and `plugin build` builds against it in all languages.
const WIT: &[File] = files!("wit" => "wit/": "partitioner.wit");

/// The files that all examples share: the cases, and the configuration of a sidecar to try the plugin out with.
const CASES: &[File] = files!("examples/write-a-plugin" => "": "cases.toml", "pointsman.toml");

/// Paths in the examples' text, and what they are in a new plugin. The C example has its folder's name.
const MOVED: [(&str, &str); 4] = [
    ("../../../plugins/sdk", "vendor/pointsman-plugin"),
    ("../cases.toml", "cases.toml"),
    ("dist/c.wasm", "dist/customer-tier.wasm"),
    ("plugin = \"c\"", "plugin = \"customer-tier\""),
];

/// Crates that come with the compiler.
const OF_RUST: [&str; 5] = ["alloc", "core", "proc-macro", "std", "test"];

/// The files of a new plugin.
pub(super) fn of(language: Language) -> Vec<File> {
    let lists: &[&[File]] = match language {
        Language::Rust => &[RUST, SDK, JSON_POINTER, WIT, CASES],
        Language::C => &[C, WIT, CASES],
        Language::Js => &[JS, WIT, CASES],
        Language::Python => &[PYTHON, WIT, CASES],
        Language::Go => &[GO, WIT, CASES],
    };
    lists.concat()
}

/// An example's text as a plugin called `name` has it.
pub(super) fn renamed(text: &str, name: &str) -> String {
    let moved = MOVED
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    moved.replace(EXAMPLE, name)
}

/// The example's lock file for a plugin called `name`. Cargo sorts the packages by name, and would rewrite the file if
/// they were not sorted.
pub(super) fn lock_file(text: &str, name: &str) -> String {
    const PACKAGE: &str = "\n[[package]]\n";
    let renamed = renamed(text, name);
    let mut parts: Vec<_> = renamed.split(PACKAGE).collect();
    if let Some(packages) = parts.get_mut(1..) {
        packages.sort_by_key(|package| package.lines().next());
    }
    parts.join(PACKAGE)
}

/// Whether a crate of this name is part of every plugin in Rust. A crate's `-` and `_` are the same to the compiler.
pub(super) fn is_crate(name: &str) -> bool {
    let name = name.replace('_', "-");
    let dependencies = RUST
        .iter()
        .filter(|file| file.path == "Cargo.lock")
        .flat_map(|file| file.text.lines())
        .filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
        .filter(|dependency| *dependency != EXAMPLE);
    dependencies
        .chain(OF_RUST)
        .any(|dependency| dependency.replace('_', "-") == name)
}
