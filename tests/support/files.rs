//! The project's own files.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folders that tools make, and what came with them.
const NOT_OURS: [&str; 6] = ["target", "node_modules", "vendor", "dist", ".venv", ".git"];

/// All files below a folder whose names end so, in the order of their paths; without what tools have made.
pub(crate) fn files_below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let (path, kind) = (entry.path(), entry.file_type().expect("its type"));
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        if kind.is_dir() && !NOT_OURS.contains(&name.as_str()) {
            found.append(&mut files_below(&path, ending));
        } else if kind.is_file() && name.ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}
