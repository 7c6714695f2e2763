//! A plugin's file. A change is noticed from its metadata; then the file is read once, and its SHA-256 identifies it.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read as _},
    os::fd::AsRawFd as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sha2::{Digest as _, Sha256};

/// File systems store times in coarse steps. A file that changed more recently than this may change again without a new
/// time.
const UNSETTLED: Duration = Duration::from_secs(2);

/// A file's metadata. It differs after each change of the file, unless that change comes right after another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Signature {
    /// The signature of the file at this path; links are followed.
    pub fn of(file: &Path) -> io::Result<Self> {
        fs::metadata(file).map(|found| Self::from(&found))
    }

    /// Whether the file is unchanged as long as its signature is equal to this one.
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
    /// The whole content.
    pub bytes: Vec<u8>,
    /// SHA-256 of `bytes`, hexadecimal.
    pub digest: String,
}

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// There is no such file.
    #[error("not found; build it with `pointsman plugin build`, or correct the route's plugin or [plugins] dir")]
    Missing,
    /// The file is larger than a plugin may be, and was not read.
    #[error("over {limit} bytes; make it smaller, or raise plugins.component_bytes")]
    TooLarge {
        /// `plugins.component_bytes`.
        limit: u64,
    },
    /// A link that leads out of the plugin folder, to a file that may belong to somebody else.
    #[error(
        "it is a link to {}, outside of the plugin folder and {why}; put the file itself there, or set plugins.foreign_links = true",
        target.display()
    )]
    Foreign {
        /// Where the link leads.
        target: PathBuf,
        /// Why it is not followed there.
        why: &'static str,
    },
    /// Any other error.
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

/// The plugin folder. Links within the folder are followed: Kubernetes mounts a ConfigMap that way. A link out of the folder
/// is followed only to a file of the folder's owner on the same file system. Otherwise, somebody who may only write into the
/// folder could make this process read any file that it can open, and show its SHA-256.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    /// `plugins.foreign_links`.
    foreign_links: bool,
}

impl Folder {
    /// The folder at this path, which need not exist yet.
    pub fn new(path: &Path, foreign_links: bool) -> Self {
        Self {
            path: path.to_owned(),
            foreign_links,
        }
    }

    /// Reads a file of the folder, of at most `limit` bytes.
    pub fn read(&self, file: &Path, limit: u64) -> Result<Content, FileError> {
        read_if(file, limit, |open, found| self.check(open, found))
    }

    fn check(&self, open: &File, found: &Metadata) -> Result<(), FileError> {
        if self.foreign_links {
            return Ok(());
        }
        // Checked on the open file: the name could lead to another file a moment later.
        let target = fs::read_link(format!("/proc/self/fd/{}", open.as_raw_fd()))?;
        if target.starts_with(fs::canonicalize(&self.path)?) {
            return Ok(());
        }
        let folder = fs::metadata(&self.path)?;
        let why = if found.dev() != folder.dev() {
            "on another file system"
        } else if found.uid() != folder.uid() {
            "owned by another user"
        } else {
            return Ok(());
        };
        Err(FileError::Foreign { target, why })
    }
}

/// Reads a file of at most `limit` bytes.
pub fn read(file: &Path, limit: u64) -> Result<Content, FileError> {
    read_if(file, limit, |_, _| Ok(()))
}

fn read_if(
    file: &Path,
    limit: u64,
    check: impl FnOnce(&File, &Metadata) -> Result<(), FileError>,
) -> Result<Content, FileError> {
    // An ordinary open of a pipe would wait until somebody writes to it.
    let non_blocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let open = OpenOptions::new().read(true).custom_flags(non_blocking).open(file)?;
    let found = open.metadata()?;
    if !found.is_file() {
        return Err(FileError::Unreadable("it is not a regular file".to_owned()));
    }
    check(&open, &found)?;
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
    fn a_link_out_of_the_folder_leads_to_files_of_its_owner_only() {
        let parent = tempfile::tempdir().expect("a folder");
        let dir = parent.path().join("plugins");
        fs::create_dir_all(dir.join("..data")).expect("folders");
        let folder = Folder::new(&dir, false);
        let link = |name: &str, target: &Path| {
            let link = dir.join(name);
            std::os::unix::fs::symlink(target, &link).expect("a link");
            link
        };
        fs::write(dir.join("..data/a.wasm"), b"a").expect("written");
        fs::write(parent.path().join("b.wasm"), b"b").expect("written");
        let within = link("a.wasm", Path::new("..data/a.wasm"));
        let beside = link("b.wasm", &parent.path().join("b.wasm"));
        assert_eq!(folder.read(&within, 10).expect("within").bytes, b"a");
        assert_eq!(folder.read(&beside, 10).expect("its owner's").bytes, b"b");
        let foreign = link("c.wasm", Path::new("/proc/self/status"));
        let refused = folder.read(&foreign, 10).expect_err("another file system");
        assert!(matches!(refused, FileError::Foreign { .. }), "{refused}");
        let all = Folder::new(&dir, true).read(&foreign, 1 << 20).expect("allowed");
        assert!(!all.bytes.is_empty());
    }

    #[test]
    fn what_is_not_a_plugin_file_is_not_read() {
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
