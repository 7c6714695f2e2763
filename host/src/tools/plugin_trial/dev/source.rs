//! Tells which files of a plugin's folder are its source: not what tools make there, and not what editors leave there
//! for a moment.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::tools::plugin_build::BuildError;

/// Folders that tools make, at any depth.
const MADE: [&str; 7] = [
    "target",
    "dist",
    "build",
    "node_modules",
    "venv",
    "__pycache__",
    "coverage",
];
/// The endings of files that editors and interpreters leave beside the source.
const DROPPINGS: [&str; 8] = [".swp", ".swx", ".tmp", ".bak", ".orig", ".pyc", ".part", "~"];
/// The most files that are looked at. A folder with more is not a plugin's, or has something in it that should be
/// ignored.
const MAX_FILES: usize = 20_000;
/// How deep folders may lie in folders.
const MAX_DEPTH: usize = 32;

/// Shows whether a file has changed: the inode shows that another file was renamed over it, time and length show all
/// else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: (i64, i64),
    bytes: u64,
    inode: u64,
}

/// The source files as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// The plugin's folder and all folders in it, to be watched.
    pub(super) folders: Vec<PathBuf>,
    pub(super) files: BTreeMap<PathBuf, Stamp>,
}

impl Source {
    pub(super) fn of(dir: &Path) -> Result<Self, BuildError> {
        if !dir.is_dir() {
            return Err(BuildError::no_folder(dir));
        }
        let mut source = Self {
            folders: Vec::new(),
            files: BTreeMap::new(),
        };
        source.add(dir, 0);
        Ok(source)
    }

    fn add(&mut self, folder: &Path, depth: usize) {
        // A folder that is removed meanwhile is a change of its own, which is seen next.
        let Ok(entries) = fs::read_dir(folder) else { return };
        self.folders.push(folder.to_owned());
        for entry in entries.flatten() {
            let path = entry.path();
            if !is_source(&path) || self.files.len() >= MAX_FILES {
                continue;
            }
            // A link to a folder is not followed, since it could lead in circles. A link to a file counts as a file.
            let is_folder = entry.file_type().is_ok_and(|found| found.is_dir());
            if is_folder && depth < MAX_DEPTH {
                self.add(&path, depth + 1);
            } else if let Ok(found) = fs::metadata(&path)
                && found.is_file()
            {
                self.files.insert(path, Stamp::of(&found));
            }
        }
    }
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self {
            modified: (found.mtime(), found.mtime_nsec()),
            bytes: found.len(),
            inode: found.ino(),
        }
    }
}

/// Decides by the name alone: the file may be gone.
pub(super) fn is_source(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(OsStr::to_str) else {
        return true;
    };
    let is_dropping = name.starts_with(['.', '#'])
        || DROPPINGS.iter().any(|end| name.ends_with(end))
        // Files with which vim and JetBrains test a folder, or which they write before a rename.
        || name == "4913"
        || name.contains("___jb_");
    !is_dropping && !MADE.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(source: &Source, dir: &Path) -> Vec<String> {
        let name = |path: &PathBuf| path.strip_prefix(dir).expect("within").display().to_string();
        source.files.keys().map(name).collect()
    }

    #[test]
    fn what_tools_make_and_editors_leave_starts_no_build() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path();
        for file in [
            "Cargo.toml",
            "src/lib.rs",
            "src/deep/rule.rs",
            "cases.toml",
            "target/release/x.d",
            "dist/x.wasm",
            "node_modules/a/b.js",
            ".venv/lib/c.py",
            "__pycache__/rule.pyc",
            ".git/index",
            "src/.lib.rs.swp",
            "src/lib.rs~",
            "src/#lib.rs#",
            "src/4913",
            "src/lib.rs___jb_tmp___",
        ] {
            let file = dir.join(file);
            fs::create_dir_all(file.parent().expect("a folder")).expect("made");
            fs::write(file, "").expect("written");
        }
        let source = Source::of(dir).expect("source");
        assert_eq!(
            names(&source, dir),
            ["Cargo.toml", "cases.toml", "src/deep/rule.rs", "src/lib.rs"]
        );
        assert_eq!(source.folders.len(), 3, "{:?}", source.folders);
    }

    #[test]
    fn however_a_file_is_saved_it_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("rule.c");
        fs::write(&file, "one").expect("written");
        let mut before = Source::of(folder.path()).expect("source");
        let changes: [&dyn Fn(); 4] = [
            &|| fs::write(&file, "longer").expect("written"),
            &|| {
                let draft = folder.path().join(".draft");
                fs::write(&draft, "LONGER").expect("written");
                fs::rename(&draft, &file).expect("renamed");
            },
            &|| fs::write(folder.path().join("new.c"), "").expect("written"),
            &|| fs::remove_file(folder.path().join("new.c")).expect("removed"),
        ];
        for (number, change) in changes.iter().enumerate() {
            change();
            let after = Source::of(folder.path()).expect("source");
            assert_ne!(before.files, after.files, "change {number}");
            before = after;
        }
        assert_eq!(before, Source::of(folder.path()).expect("source"));
    }

    #[test]
    fn a_link_in_a_circle_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink(folder.path(), folder.path().join("again")).expect("a link");
        let source = Source::of(folder.path()).expect("source");
        assert_eq!((source.folders.len(), source.files.len()), (1, 0));
    }
}
