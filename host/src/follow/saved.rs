//! The last table, kept for a start while the store cannot be reached.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use pointsman_routing::{Document, Hashing, Table};
use pointsman_stores::file::put_in_place;
use sha2::{Digest as _, Sha256};

/// The file: its first line is the digest of the rest.
const FILE: &str = "routes.json";

/// See the [module](self).
pub(super) struct Saved {
    folder: PathBuf,
}

impl Saved {
    /// Makes the folder, if it is not there.
    pub(super) fn new(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("routing.state_dir: {} cannot be made", folder.display()))?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// The table that was saved, if there is one.
    pub(super) fn read(&self, hashing: &Hashing) -> anyhow::Result<Option<Table>> {
        let path = self.folder.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        let table = checked(&bytes).and_then(|json| Ok(Document::read(json)?.table(hashing.clone())?));
        table
            .map(Some)
            .with_context(|| format!("{} is not what was written; it is not used", path.display()))
    }

    /// Puts a table into the place of the other.
    pub(super) fn write(&self, table: &Table) -> anyhow::Result<()> {
        let json = table.document().write();
        let path = self.folder.join(FILE);
        let bytes = format!("{}\n{json}", digest(json.as_bytes()));
        put_in_place(&path, bytes.as_bytes()).with_context(|| format!("{} cannot be written", path.display()))
    }
}

fn checked(bytes: &[u8]) -> anyhow::Result<&[u8]> {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let Some(end) = end else { bail!("it has no digest") };
    let json = &bytes[end + 1..];
    if bytes[..end] != *digest(json).as_bytes() {
        bail!("its digest does not fit");
    }
    Ok(json)
}

fn digest(json: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_was_cut_off_or_changed_is_not_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let saved = Saved::new(folder.path()).expect("saved");
        let hashing = Hashing::with_seed(1);
        assert!(saved.read(&hashing).expect("nothing").is_none());
        let table = Table::empty("i", hashing.clone());
        saved.write(&table).expect("written");
        let read = saved.read(&hashing).expect("read").expect("a table");
        assert_eq!(read.document(), table.document());
        let path = folder.path().join(FILE);
        let whole = fs::read_to_string(&path).expect("read");
        for broken in [
            &whole[..whole.len() - 3],
            "",
            &whole.replace("\"version\":1", "\"version\":2"),
        ] {
            fs::write(&path, broken).expect("written");
            let told = format!("{:#}", saved.read(&hashing).map(|_| ()).expect_err("broken"));
            assert!(told.contains("is not what was written"), "{told}");
        }
    }
}
