//! Hints from the file system. A hint may be late, doubled or missing (network file systems, some container runtimes).
//! So each hint is only a reason to look, and a poll finds what no hint has told.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::mpsc::SyncSender,
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};

use super::message::Message;

/// A folder's identity. When another folder takes a folder's name, the watch stays with the old folder.
type Identity = (u64, u64);

/// Watches folders, never files: editors and Kubernetes swap names, and a watch on a file ends with the file.
pub(crate) struct Watch {
    watcher: Option<RecommendedWatcher>,
    folders: Vec<PathBuf>,
    watched: BTreeMap<PathBuf, Identity>,
}

impl Watch {
    /// Watches the plugins' folder, the configuration file's folder, and their parent folders, in which they could be
    /// replaced.
    pub(super) fn new(dir: &Path, config: Option<&Path>, hints: SyncSender<Message>) -> Self {
        let absolute = |folder: &Path| std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let inner: Vec<PathBuf> = [Some(dir), config.and_then(Path::parent)]
            .into_iter()
            .flatten()
            .map(absolute)
            .collect();
        let mut folders: Vec<PathBuf> = inner
            .iter()
            .filter_map(|folder| folder.parent().map(Path::to_owned))
            .collect();
        folders.extend(inner.iter().cloned());
        Self::of(folders, move |paths| {
            if concerns(paths, &inner) {
                // A full mailbox holds enough hints.
                let _ = hints.try_send(Message::Hint);
            }
        })
    }

    /// Watches these folders, without their subfolders. `changed` gets the paths of each event; no paths: something
    /// changed.
    pub(crate) fn of(folders: Vec<PathBuf>, changed: impl Fn(&[PathBuf]) + Send + 'static) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if let Ok(event) = event
                && is_change(event.kind)
            {
                changed(&event.paths);
            }
        });
        let watcher = watcher
            .inspect_err(|error| {
                tracing::warn!(%error, "no file system watcher to be had; changes of plugins are found by polling alone");
            })
            .ok();
        let mut watch = Self {
            watcher,
            folders,
            watched: BTreeMap::new(),
        };
        watch.renew();
        watch
    }

    /// Watches these folders from now on, and no others.
    pub(crate) fn watch(&mut self, folders: Vec<PathBuf>) {
        if let Some(watcher) = &mut self.watcher {
            self.watched.retain(|folder, _| {
                let stays = folders.contains(folder);
                if !stays {
                    let _ = watcher.unwatch(folder);
                }
                stays
            });
        }
        self.folders = folders;
        self.renew();
    }

    /// Watches the folders that were not there before, or were replaced.
    pub(super) fn renew(&mut self) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for folder in &self.folders {
            let found = identity(folder).ok();
            if found == self.watched.get(folder).copied() {
                continue;
            }
            if self.watched.remove(folder).is_some() {
                let _ = watcher.unwatch(folder);
            }
            let Some(found) = found else { continue };
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(folder.clone(), found);
                }
                Err(error) => {
                    tracing::debug!(folder = %folder.display(), %error, "not watched; polling goes on");
                }
            }
        }
    }
}

fn identity(folder: &Path) -> io::Result<Identity> {
    fs::metadata(folder).map(|found| (found.dev(), found.ino()))
}

/// Whether an event is about one of these folders or a file in them. Their parents may hold much else.
fn concerns(paths: &[PathBuf], folders: &[PathBuf]) -> bool {
    let of_ours = |path: &PathBuf| {
        folders
            .iter()
            .any(|folder| path == folder || path.parent() == Some(folder.as_path()))
    };
    paths.is_empty() || paths.iter().any(of_ours)
}

/// Reading a file causes an event too. Only events that may mean a change count.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}
