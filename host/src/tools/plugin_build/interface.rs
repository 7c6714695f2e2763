//! The interface that a project is built against.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The WIT world of a partitioner.
pub(super) const WORLD: &str = "plugin";

const WIT: &str = include_str!("../../../../wit/partitioner.wit");

/// The interface in its oldest version.
pub(super) const OLDEST: &str = include_str!("../../../../wit/1.0.0/partitioner.wit");

/// The package of [`OLDEST`].
pub(super) const OLDEST_PACKAGE: &str = "pointsman:partitioner@1.0.0";

/// The folder with the interface. It is the project's own `wit`, so that a newer host still builds the project against
/// the interface it was written for; else this host's, written to `scratch`.
pub(super) fn folder(project: &Path, scratch: &Path) -> anyhow::Result<PathBuf> {
    let own = project.join("wit");
    if own.is_dir() {
        // The tools run in the project's folder.
        return fs::canonicalize(&own).with_context(|| format!("cannot open the folder {}", own.display()));
    }
    let folder = scratch.join("wit");
    fs::create_dir(&folder)
        .and_then(|()| fs::write(folder.join("partitioner.wit"), WIT))
        .with_context(|| format!("cannot write the interface to {}", folder.display()))?;
    Ok(folder)
}
