//! A routing table in a file, and what a sidecar says of the table that it follows.

use std::{fs, path::PathBuf, process::Command};

use serde_json::{Value, json};

use super::sidecar::{BINARY, Sidecar, to_its_end};

/// A routing table in a file of its own.
pub(crate) struct RoutesFile {
    folder: tempfile::TempDir,
}

impl RoutesFile {
    /// Without a table.
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// With a table that places the tenants of one topic as the key hash does.
    pub(crate) fn adopted(topic: &str, partitions: u32) -> Self {
        let file = Self::new();
        file.routes("init");
        file.routes(&format!("adopt {topic} --partitions {partitions}"));
        file
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("routes.json")
    }

    pub(crate) fn url(&self) -> String {
        format!("file:{}", self.file().display())
    }

    /// Runs `pointsman routes`, which must succeed.
    pub(crate) fn routes(&self, command: &str) -> String {
        let mut words: Vec<&str> = command.split(' ').collect();
        let url = self.url();
        words.extend(["--store", &url]);
        let output = to_its_end(Command::new(BINARY).arg("routes").args(words));
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Writes the table as a person might, with the next version.
    pub(crate) fn edit(&self, change: impl FnOnce(&mut Value)) {
        let mut table: Value = serde_json::from_slice(&fs::read(self.file()).unwrap()).unwrap();
        let version = table["version"].as_u64().unwrap() + 1;
        table["version"] = version.into();
        change(&mut table);
        self.write(table.to_string());
    }

    pub(crate) fn write(&self, text: impl AsRef<[u8]>) {
        let new = self.folder.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.file()).unwrap();
    }

    /// Puts a tenant's row into a move of all its slots to this partition.
    pub(crate) fn hold(&self, tenant: &str, to: u64) {
        self.edit_row(tenant, |row| {
            let slots = row["slots"].as_array().unwrap().len();
            row["move"] = json!({
                "id": "m1",
                "phase": "pause",
                "slots": (0..slots).collect::<Vec<_>>(),
                "to": vec![to; slots],
            });
        });
    }

    /// Takes a tenant's row out of its move, and to this partition.
    pub(crate) fn switch(&self, tenant: &str, to: u64) {
        self.edit_row(tenant, |row| {
            row["slots"] = json!([to]);
            row.as_object_mut().unwrap().remove("move");
        });
    }

    fn edit_row(&self, tenant: &str, change: impl FnOnce(&mut Value)) {
        self.edit(|table| {
            let version = table["version"].clone();
            let rows = table["rows"].as_array_mut().unwrap();
            let row = rows.iter_mut().find(|row| row["tenant"] == tenant).unwrap();
            row["version"] = version;
            change(row);
        });
    }
}

/// The version of the table that the sidecar goes by; 0 without one.
pub(crate) fn version(sidecar: &Sidecar) -> u64 {
    sidecar.admin("/routes").json()["routing"]["version"]
        .as_u64()
        .unwrap_or_default()
}

/// Whether a tenant is held, and nothing of it is under way any more.
pub(crate) fn is_clear(sidecar: &Sidecar, tenant: &str) -> bool {
    let shown = sidecar.admin("/routes").json();
    let held = shown["routing"]["held"].as_array().unwrap();
    held.iter()
        .any(|held| held["tenant"] == tenant && held["clear"] == true)
}
