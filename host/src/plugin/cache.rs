//! Compiled code on disk, in a folder that only this user can write.
//!
//! A file's name consists of the component's SHA-256, what the code depends on ([`Engine::compatibility`]), the bytes that
//! an instance takes in the engine, and the SHA-256 of the code. So a torn or altered file is not loaded. The folder must
//! still be private: anybody who can write files there can also choose their names. [`Cache::open`] refuses a folder that
//! others can write.
//!
//! [`Engine::compatibility`]: super::Engine

use std::{
    cmp::Reverse,
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::Stdio,
    time::SystemTime,
};

use sha2::{Digest as _, Sha256};

/// The most files in the folder. The file that has been unused for longest is deleted first.
const MAX_FILES: usize = 64;
/// The most bytes in the folder.
const MAX_BYTES: u64 = 1 << 30;
const EXTENSION: &str = "cwasm";

/// Errors that are the disk's fault; other errors are about the folder's name or mode.
const DISK: [ErrorKind; 3] = [
    ErrorKind::StorageFull,
    ErrorKind::QuotaExceeded,
    ErrorKind::ReadOnlyFilesystem,
];

/// Why there is no cache.
#[derive(Debug, thiserror::Error)]
pub enum NoCache {
    /// The folder cannot be used: somebody has to correct it, or to name another one.
    #[error("{0}")]
    Folder(String),
    /// The disk cannot be written or read.
    #[error("{0}")]
    Disk(String),
}

/// The folder of compiled code, checked to be private.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

/// A file of the cache that holds compiled code. Only [`Cache::find`] and [`Cache::keep`] make one, so the file is in a private
/// folder, and its name has the SHA-256 of its content.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CachedCode {
    file: PathBuf,
    /// The bytes that an instance takes in the engine.
    pub(super) engine_bytes: u64,
}

impl CachedCode {
    pub(super) fn file(&self) -> &Path {
        &self.file
    }
}

/// A new file of the cache for the compiler to write to, deleted on drop. [`Cache::find`] ignores its name.
#[derive(Debug)]
pub(super) struct Draft {
    file: File,
    path: PathBuf,
}

impl Draft {
    /// The file as the standard output of the child that compiles.
    pub(super) fn output(&self) -> io::Result<Stdio> {
        self.file.try_clone().map(Stdio::from)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Nothing is there any more once the draft was kept.
        let _ = fs::remove_file(&self.path);
    }
}

impl Cache {
    /// Opens the folder, and makes it if it is missing.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made, or when other users can write to it. The text says what to do.
    pub fn open(folder: &Path) -> Result<Self, NoCache> {
        let shown = folder.display();
        let no_cache = |what: &str, error: &io::Error| {
            let problem = format!("the folder {shown} cannot be {what}: {error}");
            match error.kind() {
                kind if DISK.contains(&kind) => NoCache::Disk(problem),
                _ if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => NoCache::Disk(problem),
                _ => NoCache::Folder(problem),
            }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| no_cache("made", &error))?;
        let found = fs::symlink_metadata(folder).map_err(|error| no_cache("used", &error))?;
        Self::check(folder, &found)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Refuses a folder that another user could write to.
    fn check(folder: &Path, found: &Metadata) -> Result<(), NoCache> {
        let shown = folder.display();
        let refused = |problem: String| Err(NoCache::Folder(problem));
        if !found.is_dir() {
            return refused(format!(
                "{shown} is not a folder; name a folder that belongs to this user"
            ));
        }
        let me = rustix::process::geteuid().as_raw();
        if found.uid() != me {
            return refused(format!(
                "the folder {shown} belongs to user {}, this process runs as {me}; name a folder that belongs to user {me}",
                found.uid()
            ));
        }
        if found.mode() & 0o077 != 0 {
            return refused(format!(
                "the folder {shown} is open to other users (mode {:o}), who could plant code in it; chmod 700 it",
                found.mode() & 0o777
            ));
        }
        Ok(())
    }

    /// The code of this component, if the file is there and intact.
    pub(super) fn find(&self, digest: &str, compatibility: &str) -> Option<CachedCode> {
        let prefix = prefix(digest, compatibility);
        let entries = fs::read_dir(&self.folder).ok()?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            let rest = name
                .to_str()
                .and_then(|name| name.strip_prefix(&prefix)?.split_once('-'));
            let Some((Ok(engine_bytes), promised)) = rest.map(|(bytes, promised)| (bytes.parse(), promised)) else {
                continue;
            };
            let file = entry.path();
            if Some(promised) == sha256_of(&file).ok().map(|sha| format!("{sha}.{EXTENSION}")).as_deref() {
                touch(&file);
                return Some(CachedCode { file, engine_bytes });
            }
            tracing::warn!(file = %file.display(), "a file of compiled code is damaged; it is deleted");
            let _ = fs::remove_file(&file);
        }
        None
    }

    /// The file that keeps single compiled functions, see [`super::functions`].
    pub(super) fn functions(&self, compatibility: &str) -> PathBuf {
        self.folder.join(format!("functions-{compatibility}"))
    }

    /// Makes a draft.
    pub(super) fn draft(&self) -> io::Result<Draft> {
        let path = self
            .folder
            .join(format!(".{}-{:x}.draft", std::process::id(), fastrand::u64(..)));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        Ok(Draft { file, path })
    }

    /// Renames a finished draft so that [`Cache::find`] finds it.
    pub(super) fn keep(
        &self,
        draft: &Draft,
        digest: &str,
        compatibility: &str,
        engine_bytes: u64,
    ) -> io::Result<CachedCode> {
        let prefix = prefix(digest, compatibility);
        let name = format!("{prefix}{engine_bytes}-{}.{EXTENSION}", sha256_of(&draft.path)?);
        let file = self.folder.join(name);
        fs::rename(&draft.path, &file)?;
        self.tidy();
        Ok(CachedCode { file, engine_bytes })
    }

    /// Keeps the folder within its bounds. Code that is in use stays mapped when its file is deleted.
    fn tidy(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        let mut files: Vec<Kept> = entries
            .flatten()
            .filter_map(|entry| {
                let found = entry.metadata().ok()?;
                Some(Kept {
                    used: found.modified().ok()?,
                    bytes: found.len(),
                    file: entry.path(),
                })
            })
            .collect();
        files.sort_unstable_by_key(|kept| Reverse(kept.used));
        let mut bytes = 0;
        for (index, kept) in files.into_iter().enumerate() {
            bytes += kept.bytes;
            if index >= MAX_FILES || (bytes > MAX_BYTES && index > 0) {
                let _ = fs::remove_file(kept.file);
            }
        }
    }
}

/// A file in the folder.
struct Kept {
    /// When it was used last.
    used: SystemTime,
    bytes: u64,
    file: PathBuf,
}

fn prefix(digest: &str, compatibility: &str) -> String {
    format!("{digest}-{compatibility}-")
}

/// Marks a file as used, for [`Cache::tidy`] only, so a failure does not matter.
fn touch(file: &Path) {
    if let Ok(file) = File::open(file) {
        let _ = file.set_modified(SystemTime::now());
    }
}

fn sha256_of(file: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(file)?, &mut hasher)?;
    Ok(format!("{:x}", hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn stored(cache: &Cache, digest: &str, code: &[u8]) -> CachedCode {
        let mut draft = cache.draft().expect("a draft");
        io::Write::write_all(&mut draft.file, code).expect("written");
        cache.keep(&draft, digest, "c", 7).expect("kept")
    }

    #[test]
    fn a_folder_that_others_can_write_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = folder.path().join("open");
        Cache::open(&open).expect("its own folder");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o770)).expect("a mode");
        let refusal = Cache::open(&open).expect_err("open to the group").to_string();
        assert!(refusal.contains("chmod 700"), "{refusal}");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).expect("a link");
        assert!(Cache::open(&link).is_err(), "a link may point to another folder later");
    }

    #[test]
    fn code_that_was_altered_is_not_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(&folder.path().join("cache")).expect("a cache");
        let code = stored(&cache, "d", b"code");
        assert_eq!(cache.find("d", "c").as_ref(), Some(&code));
        assert_eq!((cache.find("other", "c"), cache.find("d", "other")), (None, None));
        fs::write(code.file(), b"evil").expect("written");
        assert_eq!(cache.find("d", "c"), None);
        assert!(!code.file().exists());
    }

    #[test]
    fn the_folder_does_not_grow_without_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(&folder.path().join("cache")).expect("a cache");
        for number in 0..MAX_FILES + 10 {
            stored(&cache, &number.to_string(), b"code");
        }
        assert_eq!(fs::read_dir(&cache.folder).expect("readable").count(), MAX_FILES);
    }
}
