//! A plugin's file: looked at cheaply, read once, known by its SHA-256.

use std::{
    fs::{self, Metadata, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sha2::{Digest as _, Sha256};

/// A file system keeps time in steps, so a file that changed this recently may change again without showing it.
const UNSETTLED: Duration = Duration::from_secs(2);

/// What a look at a file shows without reading it. A change shows here unless it comes right after another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Signature {
    /// Of the file that the path leads to.
    pub fn of(file: &Path) -> io::Result<Self> {
        fs::metadata(file).map(|found| Self::from(&found))
    }

    /// Whether an equal signature later on means an unchanged file.
    pub fn is_settled(&self, now: SystemTime) -> bool {
        let changed = Duration::new(self.changed.0.max(0).unsigned_abs(), self.changed.1 as u32);
        now.duration_since(UNIX_EPOCH + changed)
            .is_ok_and(|since| since >= UNSETTLED)
    }
}

impl From<&Metadata> for Signature {
    fn from(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// A file's content.
#[derive(Debug)]
pub struct Content {
    /// All of it.
    pub bytes: Vec<u8>,
    /// SHA-256 of those very bytes, hexadecimal.
    pub digest: String,
}

/// Why a file's content is not to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// There is no such file.
    #[error("not found; build it with `pointsman plugin build`, or correct the route's plugin or [plugins] dir")]
    Missing,
    /// It is there and larger than a plugin may be; it was not read.
    #[error("over {limit} bytes; make it smaller, or raise plugins.component_bytes")]
    TooLarge {
        /// `plugins.component_bytes`.
        limit: u64,
    },
    /// Anything else.
    #[error("cannot be read: {0}")]
    Unreadable(String),
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            _ => Self::Unreadable(error.to_string()),
        }
    }
}

/// Reads a file of at most `limit` bytes.
pub fn read(file: &Path, limit: u64) -> Result<Content, FileError> {
    // A pipe under that name would make an ordinary open wait for a writer.
    let non_blocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let open = OpenOptions::new().read(true).custom_flags(non_blocking).open(file)?;
    let found = open.metadata()?;
    if !found.is_file() {
        return Err(FileError::Unreadable("it is no regular file".to_owned()));
    }
    if found.len() > limit {
        return Err(FileError::TooLarge { limit });
    }
    let mut bytes = Vec::with_capacity(found.len() as usize);
    open.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(FileError::TooLarge { limit });
    }
    let digest = format!("{:x}", Sha256::digest(&bytes));
    Ok(Content { bytes, digest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_has_just_changed_is_not_trusted_to_show_the_next_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("x.wasm");
        fs::write(&file, b"one").expect("written");
        let signature = Signature::of(&file).expect("there");
        assert!(!signature.is_settled(SystemTime::now()));
        assert!(signature.is_settled(SystemTime::now() + UNSETTLED));
        fs::rename(&file, folder.path().join("y.wasm")).expect("renamed");
        fs::write(&file, b"two").expect("written");
        assert_ne!(Signature::of(&file).expect("there"), signature);
    }

    #[test]
    fn what_is_no_plugin_file_is_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("x.wasm");
        assert_eq!(read(&file, 10).expect_err("missing"), FileError::Missing);
        fs::write(&file, b"0123456789").expect("written");
        assert_eq!(read(&file, 10).expect("small enough").bytes.len(), 10);
        assert_eq!(read(&file, 9).expect_err("too large"), FileError::TooLarge { limit: 9 });
        assert!(matches!(read(folder.path(), 10), Err(FileError::Unreadable(_))));
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .expect("mkfifo");
        assert!(made.success());
        assert!(matches!(read(&pipe, 10), Err(FileError::Unreadable(_))));
    }
}
