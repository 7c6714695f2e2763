//! A table in a file, for one machine.
//!
//! Who changes it locks `PATH.lock`, writes the new table beside the old one, has it written to the disk, and renames it.
//! So a reader sees the old table or the new one. The file's folder is watched, since a rename puts another file into the
//! place of the one that was there; that is also how Kubernetes swaps the files of a ConfigMap.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use pointsman_routing::{Change, Document, Table, TableError, document::MOST_BYTES};
use rustix::fs::{FlockOperation, flock};

use crate::{Settings, Store, StoreError, changed, claimed, made};

/// How long to wait for somebody else who changes the table.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// A table in a file; see the [module](self).
pub struct FileStore {
    path: PathBuf,
    settings: Settings,
    /// What the file was like when it was last read.
    seen: Option<Seen>,
    watch: Option<Watch>,
    /// What is wrong with the file as it was last read; `None` if nothing is.
    wrong: Option<StoreError>,
    /// Whether the file was read at all.
    is_read: bool,
}

/// What tells one version of a file from another.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
struct Seen {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

struct Watch {
    /// Ends with the watch.
    _watcher: RecommendedWatcher,
    bell: Receiver<()>,
}

impl FileStore {
    /// The table in this file, which need not be there yet.
    pub fn new(path: PathBuf, settings: Settings) -> Self {
        Self {
            path,
            settings,
            seen: None,
            watch: None,
            wrong: None,
            is_read: false,
        }
    }

    fn document(&self) -> Result<(Document, Seen), StoreError> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(StoreError::NoTable),
            Err(error) => return Err(self.away("read", &error)),
        };
        let metadata = file.metadata().map_err(|error| self.away("read", &error))?;
        if !metadata.is_file() {
            return Err(StoreError::Away(format!("{} is not a file", self.path.display())));
        }
        // Of a file that grows meanwhile no more is read than tells that it is too large.
        let mut json = Vec::new();
        let read = (&mut file).take(MOST_BYTES as u64).read_to_end(&mut json);
        read.map_err(|error| self.away("read", &error))?;
        if json.len() >= MOST_BYTES {
            let bytes = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
            return Err(TableError::TooLarge {
                bytes: bytes.max(json.len()),
            }
            .into());
        }
        Ok((Document::read(&json)?, Seen::of(&metadata)))
    }

    fn read(&mut self) -> Result<Table, StoreError> {
        self.is_read = true;
        let document = self.document();
        // A file that is no table is not read again before it changes.
        self.seen = match &document {
            Ok((_, seen)) => Some(*seen),
            Err(_) => fs::metadata(&self.path).ok().map(|metadata| Seen::of(&metadata)),
        };
        let table = document.and_then(|(document, _)| Ok(document.table(self.settings.hashing.clone())?));
        self.wrong = table.as_ref().err().cloned();
        table
    }

    fn away(&self, what: &str, error: &io::Error) -> StoreError {
        StoreError::Away(format!("{} cannot be {what}: {error}", self.path.display()))
    }

    /// Locks the table for a change, until the file that is returned is closed.
    fn lock(&self) -> Result<File, StoreError> {
        let path = beside(&self.path, ".lock");
        let mut options = File::options();
        let file = options.create(true).append(true).open(&path);
        let file = file.map_err(|error| StoreError::Away(format!("{} cannot be opened: {error}", path.display())))?;
        let until = Instant::now() + LOCK_PATIENCE;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) if Instant::now() < until => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(error) => {
                    return Err(StoreError::Away(format!(
                        "{} cannot be locked: {error}",
                        path.display()
                    )));
                }
            }
        }
    }

    /// Puts a table into the file's place.
    fn write(&self, table: &Table) -> Result<(), StoreError> {
        let written = put_in_place(&self.path, table.document().write().as_bytes());
        written.map_err(|error| self.away("written", &error))
    }

    fn change(&mut self, change: impl FnOnce(Option<Table>) -> Result<Table, StoreError>) -> Result<Table, StoreError> {
        let _lock = self.lock()?;
        let now = match self.document() {
            Ok((document, _)) => Some(document.table(self.settings.hashing.clone())?),
            Err(StoreError::NoTable) => None,
            Err(error) => return Err(error),
        };
        let table = change(now)?;
        self.write(&table)?;
        Ok(table)
    }

    /// Waits until something happens in the file's folder, or the patience is at its end.
    fn wait(&mut self, patience: Duration) {
        if self.watch.is_none() {
            self.watch = Watch::of(folder_of(&self.path));
        }
        let Some(watch) = &self.watch else {
            // No watcher is to be had; the folder may not be there yet.
            std::thread::sleep(patience);
            return;
        };
        match watch.bell.recv_timeout(patience) {
            // Many events come together.
            Ok(()) => while watch.bell.try_recv().is_ok() {},
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.watch = None,
        }
    }

    /// Whether the file is another one than when it was read.
    fn is_other(&self) -> bool {
        let now = fs::metadata(&self.path).ok().map(|metadata| Seen::of(&metadata));
        now != self.seen
    }
}

/// Puts a file with these bytes into the place of another: a reader sees the old one or the new one, also after the machine
/// has lost its power.
pub fn put_in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = beside(path, ".new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// A file beside another one.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(ending);
    path.with_file_name(name)
}

impl Seen {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl Watch {
    fn of(folder: &Path) -> Option<Self> {
        let (sender, bell) = mpsc::sync_channel(16);
        let heard = move |_| {
            // A full channel rings already.
            let _ = sender.try_send(());
        };
        let mut watcher = notify::recommended_watcher(heard).ok()?;
        watcher.watch(folder, RecursiveMode::NonRecursive).ok()?;
        Some(Self {
            _watcher: watcher,
            bell,
        })
    }
}

impl Store for FileStore {
    fn load(&mut self) -> Result<Table, StoreError> {
        self.read()
    }

    fn changed(&mut self, patience: Duration) -> Result<Option<Table>, StoreError> {
        let until = Instant::now() + patience;
        loop {
            // The watch begins before the first look, so nothing is missed between both.
            self.wait(Duration::ZERO);
            if self.is_other() || !self.is_read {
                return self.read().map(Some);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // It is as wrong as it was.
                return self.wrong.clone().map_or(Ok(None), Err);
            }
            self.wait(left.min(self.settings.poll));
        }
    }

    fn init(&mut self, incarnation: &str) -> Result<Table, StoreError> {
        let hashing = self.settings.hashing.clone();
        self.change(|table| made(table.as_ref(), incarnation, &hashing))
    }

    fn apply(&mut self, expected: (u64, u64), changes: Vec<Change>) -> Result<Table, StoreError> {
        self.change(|table| Ok(changed(&table.ok_or(StoreError::NoTable)?, expected, changes)?.0))
    }

    fn claim(&mut self) -> Result<Table, StoreError> {
        self.change(|table| claimed(table.as_ref()))
    }
}

#[cfg(test)]
mod tests;
