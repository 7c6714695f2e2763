//! Begins a plugin: writes a folder with a complete plugin, which its author then changes.
//!
//! It writes the project's own examples, see [`templates`], under the new plugin's name. They are tested as examples,
//! so a new plugin builds and passes its tests before anything in it is changed.

use std::io;
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::Context as _;

use self::templates::File;
use crate::tools::plugin_build::Language;

mod templates;

/// The longest name of a plugin, bytes. The name is also that of a file and of a crate, and people have to read it.
const MAX_NAME: usize = 64;

/// A plugin that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct New {
    /// The plugin's folder.
    pub dir: PathBuf,
    /// How many files are in the folder.
    pub files: usize,
    /// The commands to type next, in this order. After them the plugin has decided about a record. The last one is for
    /// another terminal.
    pub next: Vec<String>,
    /// The command that tests the rule by itself.
    pub test: &'static str,
}

/// Why no plugin was written, where the cure is known.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// The name cannot be a plugin's name.
    #[error(
        "`{name}` cannot be a plugin's name; choose letters, digits, `-` and `_`, at most {MAX_NAME}, a letter first"
    )]
    BadName {
        /// The name.
        name: String,
    },
    /// A crate of this name is part of every plugin.
    #[error(
        "a plugin in Rust cannot be called `{name}`: a crate that plugins are built from has that name; choose another name"
    )]
    Taken {
        /// The name.
        name: String,
    },
    /// The folder has something in it, which must not be overwritten.
    #[error("{} already exists and is not empty; choose another folder with --dir, or remove it", dir.display())]
    NotEmpty {
        /// The folder.
        dir: PathBuf,
    },
    /// A plugin in C is built under its folder's name, and that is another one.
    #[error(
        "a plugin in C is named by its folder, and {} is not called `{name}`; choose the same name for both",
        dir.display()
    )]
    OtherFolder {
        /// The name.
        name: String,
        /// The folder.
        dir: PathBuf,
    },
}

/// Writes a new plugin to `dir`; without it, to a folder of the plugin's name in the current one. The folder may exist when
/// nothing is in it.
///
/// # Errors
///
/// [`NewError`] when nothing was written; else the system's error, with the file.
pub fn new(name: &str, language: Language, dir: Option<&Path>) -> anyhow::Result<New> {
    let dir = dir.unwrap_or(Path::new(name));
    check_name(name, language)?;
    check_folder(name, language, dir)?;
    let files = templates::of(language);
    for File { path, text } in &files {
        let file = dir.join(path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        fs::write(&file, adapted(path, text, name)).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let (setup, test) = of_language(language);
    Ok(New {
        dir: dir.to_owned(),
        files: files.len(),
        next: next(setup, dir),
        test,
    })
}

fn check_name(name: &str, language: Language) -> Result<(), NewError> {
    let fit = |character: char| character.is_ascii_alphanumeric() || character == '-' || character == '_';
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) || !name.chars().all(fit) || name.len() > MAX_NAME {
        return Err(NewError::BadName { name: name.to_owned() });
    }
    if language == Language::Rust && templates::is_crate(name) {
        return Err(NewError::Taken { name: name.to_owned() });
    }
    Ok(())
}

fn check_folder(name: &str, language: Language, dir: &Path) -> anyhow::Result<()> {
    if language == Language::C && folder_name(dir)? != Path::new(name) {
        return Err(NewError::OtherFolder {
            name: name.to_owned(),
            dir: dir.to_owned(),
        }
        .into());
    }
    match fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(NewError::NotEmpty { dir: dir.to_owned() }.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot use {} as the plugin's folder", dir.display())),
    }
}

/// The folder's name, also when the folder was given as `.`.
fn folder_name(dir: &Path) -> anyhow::Result<PathBuf> {
    let absolute = match fs::canonicalize(dir) {
        Ok(absolute) => absolute,
        // The folder does not exist yet, so it was given by name.
        Err(_) => env::current_dir().context("cannot tell the current folder")?.join(dir),
    };
    Ok(absolute.file_name().unwrap_or_default().into())
}

/// The text of an example's file, adapted to the new plugin.
fn adapted(path: &str, text: &str, name: &str) -> String {
    match path {
        "Cargo.lock" => templates::lock_file(text, name),
        _ => templates::renamed(text, name),
    }
}

/// The command that installs the language's tools, and the one that tests the rule by itself.
fn of_language(language: Language) -> (Option<&'static str>, &'static str) {
    match language {
        Language::Rust => (None, "cargo test"),
        Language::C => (None, "make test"),
        Language::Js => (Some("npm install"), "npm test"),
        Language::Python => (
            Some("python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1"),
            "python3 -m unittest",
        ),
        Language::Go => (None, "go test ./..."),
    }
}

/// A record to a topic of the sidecar that `plugin dev --run` starts. The answer says which plugin decided.
const RECORD: &str = "curl http://127.0.0.1:8644/v1/topics/orders/records -H 'Content-Type: application/json' -H 'Pointsman-Trace: 1' \
                      -d '{\"key\":\"c-17\",\"value\":{\"total\":12.5},\"headers\":{\"tier\":\"vip\"}}'";

/// The commands to type after `plugin new`: four at most.
fn next(setup: Option<&str>, dir: &Path) -> Vec<String> {
    let enter = format!("cd {}", dir.display());
    [Some(&*enter), setup, Some("pointsman plugin dev --run"), Some(RECORD)]
        .into_iter()
        .flatten()
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests;
