//! Keeps the machine code of single functions from one compilation to the next.
//!
//! A new version of a plugin usually differs from the last one in a few functions. The others, most of them from the
//! language's library, need not be compiled again. The compiler's key for a function is a hash of all that its code depends
//! on. The file lies in the private cache folder. It begins with the SHA-256 of its content, so a torn or altered file is not
//! used, and it is always replaced as a whole.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest as _, Sha256};
use wasmtime::CacheStore;

/// The largest size of the file: room for some dozens of plugins in Rust.
const MAX_BYTES: usize = 8 << 20;
/// Functions of larger components are not kept: such components contain an interpreter and change as a whole.
const MAX_COMPONENT_BYTES: usize = 1 << 20;
const MAGIC: &[u8; 4] = b"PMF1";
const SHA256_BYTES: usize = 32;

/// The functions of earlier compilations, and those that this compilation adds.
#[derive(Debug)]
pub(super) struct Functions {
    file: PathBuf,
    /// The file's content without its header.
    bytes: Vec<u8>,
    /// Where in `bytes` a function's code is, by the compiler's key.
    known: HashMap<Vec<u8>, Range<usize>>,
    /// What this compilation has asked for and added. A mutex, because the compiler may use several threads.
    usage: Mutex<Usage>,
}

/// What the current compilation has asked for and added.
#[derive(Debug, Default)]
struct Usage {
    /// Keys of functions that were found.
    used: HashSet<Vec<u8>>,
    /// Keys and code of functions that were compiled.
    new: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Functions {
    /// Whether functions are kept for a component of this size.
    pub(super) fn fit(component_bytes: usize) -> bool {
        component_bytes <= MAX_COMPONENT_BYTES
    }

    /// Reads the file. A missing or damaged file counts as empty.
    pub(super) fn read(file: &Path) -> Self {
        let bytes = intact(file).unwrap_or_default();
        Self {
            file: file.to_owned(),
            known: entries(&bytes).unwrap_or_default(),
            bytes,
            usage: Mutex::default(),
        }
    }

    /// Replaces the file if there are new functions: first come those of this compilation, then as many others as fit.
    pub(super) fn keep(&self) -> io::Result<()> {
        let usage = self.usage();
        if usage.new.is_empty() {
            return Ok(());
        }
        let known = |key: &Vec<u8>| self.known.get(key).and_then(|range| self.bytes.get(range.clone()));
        let used = usage.used.iter().filter_map(|key| Some((&key[..], known(key)?)));
        let new = usage.new.iter().map(|(key, code)| (&key[..], &code[..]));
        let rest = self.known.keys().filter(|key| !usage.used.contains(*key));
        let rest = rest.filter_map(|key| Some((&key[..], known(key)?)));
        let mut body = Vec::new();
        for (key, code) in new.chain(used).chain(rest) {
            if body.len() + key.len() + code.len() > MAX_BYTES {
                continue;
            }
            for part in [key, code] {
                // The length fits: the whole file is far below 4 GiB.
                body.extend((part.len() as u32).to_le_bytes());
                body.extend(part);
            }
        }
        let draft = self
            .file
            .with_extension(format!("{}-{:x}.draft", std::process::id(), fastrand::u64(..)));
        let content = [&MAGIC[..], &Sha256::digest(&body), &body].concat();
        let written = fs::write(&draft, content).and_then(|()| fs::rename(&draft, &self.file));
        if written.is_err() {
            let _ = fs::remove_file(&draft);
        }
        written
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheStore for Functions {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let code = self.bytes.get(self.known.get(key)?.clone())?;
        self.usage().used.insert(key.to_vec());
        Some(Cow::Borrowed(code))
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        self.usage().new.push((key.to_vec(), value));
        true
    }
}

/// The file's content without its header, if its SHA-256 is right.
fn intact(file: &Path) -> Option<Vec<u8>> {
    if fs::metadata(file).ok()?.len() as usize > 2 * MAX_BYTES {
        return None;
    }
    let content = fs::read(file).ok()?;
    let (sha256, body) = content.strip_prefix(MAGIC)?.split_at_checked(SHA256_BYTES)?;
    (Sha256::digest(body)[..] == *sha256).then(|| body.to_vec())
}

fn entries(bytes: &[u8]) -> Option<HashMap<Vec<u8>, Range<usize>>> {
    let mut known = HashMap::new();
    let mut at = 0;
    let mut part = || {
        let begin = at + size_of::<u32>();
        let length = u32::from_le_bytes(bytes.get(at..begin)?.try_into().ok()?);
        at = begin.checked_add(length as usize).filter(|end| *end <= bytes.len())?;
        Some(begin..at)
    };
    while let Some(key) = part() {
        let code = part()?;
        known.insert(bytes[key].to_vec(), code);
    }
    Some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &Path, key: &[u8]) -> Option<Vec<u8>> {
        Functions::read(file).get(key).map(Cow::into_owned)
    }

    #[test]
    fn what_was_compiled_once_is_found_again_and_what_was_altered_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("functions");
        let first = Functions::read(&file);
        assert!(first.insert(b"a", b"code of a".to_vec()));
        first.keep().expect("kept");
        let second = Functions::read(&file);
        assert_eq!(second.get(b"a").as_deref(), Some(&b"code of a"[..]));
        second.insert(b"b", b"code of b".to_vec());
        second.keep().expect("kept");
        assert_eq!(read(&file, b"a").as_deref(), Some(&b"code of a"[..]));
        assert_eq!(read(&file, b"b").as_deref(), Some(&b"code of b"[..]));
        let mut content = fs::read(&file).expect("there");
        *content.last_mut().expect("a byte") ^= 1;
        fs::write(&file, &content).expect("written");
        assert_eq!(read(&file, b"a"), None);
        content.truncate(20);
        fs::write(&file, content).expect("written");
        assert_eq!(read(&file, b"a"), None);
    }

    #[test]
    fn the_file_stays_bounded_and_keeps_what_is_new() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("functions");
        for round in 0_u8..20 {
            let functions = Functions::read(&file);
            functions.insert(&[round], vec![round; 1 << 20]);
            functions.keep().expect("kept");
        }
        let bytes = fs::metadata(&file).expect("there").len() as usize;
        assert!(bytes <= MAX_BYTES + 100, "{bytes}");
        assert!(read(&file, &[19]).is_some());
    }
}
