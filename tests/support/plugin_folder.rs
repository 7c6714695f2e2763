//! A plugin folder for one test, and plugins that differ only in their digest.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::sidecar::{Builder, Sidecar, plugin_dir};

/// A plugin of the project or of the fixtures.
pub(crate) fn built(name: &str) -> Vec<u8> {
    fs::read(plugin_dir().join(format!("{name}.wasm"))).expect("it is built")
}

/// The same plugin with another digest: a custom section at its end has the number.
pub(crate) fn version(component: &[u8], number: u32) -> Vec<u8> {
    let mut bytes = component.to_vec();
    let number = number.to_le_bytes();
    bytes.extend([0, 2 + number.len() as u8, 1, b'v']);
    bytes.extend(number);
    bytes
}

/// The digest of a component, in the sidecar's form.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// A folder named `plugins` in a temporary one.
pub(crate) struct PluginFolder {
    parent: tempfile::TempDir,
}

impl PluginFolder {
    pub(crate) fn new() -> Self {
        let parent = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(parent.path().join("plugins")).expect("a folder");
        Self { parent }
    }

    /// The folder.
    pub(crate) fn path(&self) -> PathBuf {
        self.parent.path().join("plugins")
    }

    /// A path beside the folder.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.parent.path().join(name)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(format!("{name}.wasm"))
    }

    /// Renames a new file over the old one, as `plugin build` does.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        let draft = self.path().join(".draft");
        fs::write(&draft, bytes).expect("written");
        fs::rename(&draft, self.file(name)).expect("renamed");
    }

    /// Puts a file as Kubernetes mounts a ConfigMap: files are links through `..data`, a link to a folder that is
    /// replaced as a whole.
    pub(crate) fn put_as_config_map(&self, name: &str, bytes: &[u8], generation: u32) {
        let dir = self.path();
        let folder = format!("..generation-{generation}");
        fs::create_dir(dir.join(&folder)).expect("a folder");
        fs::write(dir.join(&folder).join(format!("{name}.wasm")), bytes).expect("written");
        let old = fs::read_link(dir.join("..data")).ok();
        symlink(&folder, dir.join("..data_tmp")).expect("a link");
        fs::rename(dir.join("..data_tmp"), dir.join("..data")).expect("swapped");
        if !self.file(name).is_symlink() {
            symlink(format!("..data/{name}.wasm"), self.file(name)).expect("a link");
        }
        if let Some(old) = old {
            fs::remove_dir_all(dir.join(old)).expect("removed");
        }
    }

    /// A builder of a sidecar with the embedded broker and this plugin folder.
    pub(crate) fn sidecar(&self) -> Builder {
        Builder::embedded().config(&self.config(""))
    }

    /// The same, with more lines of `[plugins]` and a well-behaved plugin `good`, which decides for topic `good`.
    pub(crate) fn sidecar_with_good(&self, config: &str) -> Builder {
        self.put("good", &built("key-hash"));
        self.sidecar().config(config).route("good", "good", "")
    }

    /// The same, with another plugin for `topics`. It is a key hash, too, until the test replaces it.
    pub(crate) fn sidecar_with_good_and(&self, plugin: &str, topics: &str, config: &str) -> Builder {
        self.put(plugin, &built("key-hash"));
        self.sidecar_with_good(config).route(topics, plugin, "")
    }

    /// `[plugins]` with this folder and more lines.
    pub(crate) fn config(&self, more: &str) -> String {
        format!("[plugins]\ndir = {:?}\n{more}", self.path())
    }
}

/// The digests of the versions that decided about the records of one request, in order.
pub(crate) fn deciding_digests(sidecar: &Sidecar, topic: &str, body: &str) -> Vec<String> {
    let headers = [("content-type", "application/json"), ("pointsman-trace", "1")];
    let reply = sidecar
        .tcp()
        .post(&format!("/v1/topics/{topic}/records"), &headers, body.as_bytes());
    let json = reply.json();
    let records = json["records"]
        .as_array()
        .unwrap_or_else(|| panic!("no records: {json}"));
    let digest = |record: &serde_json::Value| record["plugin"]["digest"].as_str().unwrap_or("none").to_owned();
    records.iter().map(digest).collect()
}

/// The digest of the version that decides now.
pub(crate) fn deciding(sidecar: &Sidecar, topic: &str) -> String {
    deciding_digests(sidecar, topic, r#"{"key":"a"}"#).remove(0)
}

/// What `/plugins` says of a plugin.
pub(crate) fn shown(sidecar: &Sidecar, name: &str) -> serde_json::Value {
    let all = sidecar.admin("/plugins").json();
    let plugins = all["plugins"].as_array().expect("plugins");
    plugins
        .iter()
        .find(|plugin| plugin["name"] == name)
        .cloned()
        .unwrap_or_default()
}

/// Rewrites a sidecar's configuration file in one step.
pub(crate) fn rewrite(config: &Path, change: impl FnOnce(String) -> String) {
    let text = change(fs::read_to_string(config).expect("readable"));
    let draft = config.with_extension("draft");
    fs::write(&draft, text).expect("written");
    fs::rename(draft, config).expect("renamed");
}
