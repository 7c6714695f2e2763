//! A table of records and of what a plugin must decide about each: `[[case]]` in TOML, or a JSON object a line.
//!
//! ```toml
//! config = { name = "region" }     # optional; the route's config for all cases
//!
//! [[case]]
//! name = "a region stays together"
//! partitions = 12
//! key = "o-17"                     # or key_base64; absent: no key
//! value = "{}"                     # or value_base64; absent: a tombstone
//! headers = { region = "eu" }
//! expect = { key_hash = "eu" }     # or { partition = 3 }, "any", { tenant = "acme" }, { reject = "no region" }
//! ```
//!
//! `partition` is where the record ends up, whichever way the plugin said it. Further keys: `topic`, `timestamp`,
//! `leaderless` and `queued_bytes`. As NDJSON, a first line `{"config":{…}}` holds the config.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use anyhow::{Context as _, bail, ensure};
use base64_simd::STANDARD;
use bytes::Bytes;
use serde::Deserialize;

use crate::{
    admission::Lane,
    record::{Header, Record},
    topics::Partitions,
};

/// Most partitions of a case: more than any Kafka topic has.
const MAX_PARTITIONS: u32 = 1_000_000;

/// All cases of a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cases {
    /// The route's config.
    #[serde(default)]
    pub config: serde_json::Map<String, serde_json::Value>,
    /// In the order of the file.
    #[serde(rename = "case", default)]
    pub cases: Vec<Case>,
}

/// One record and what is expected of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    pub name: String,
    #[serde(default = "default_topic")]
    topic: String,
    /// How many partitions the topic has.
    pub partitions: u32,
    key: Option<String>,
    key_base64: Option<String>,
    value: Option<String>,
    value_base64: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    timestamp: Option<i64>,
    #[serde(default)]
    leaderless: Vec<u32>,
    #[serde(default)]
    queued_bytes: Vec<u64>,
    /// What the plugin must decide.
    pub expect: Expect,
}

/// What a plugin must decide.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// The record ends up here.
    Partition(u32),
    /// The decision `key-hash` of this text.
    KeyHash(String),
    /// The decision `any`.
    Any,
    /// The decision `tenant`.
    Tenant(String),
    /// The record is refused with this text.
    Reject(String),
}

fn default_topic() -> String {
    "test".to_owned()
}

impl Cases {
    /// Reads a file; what is wrong is said with its place.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let shown = file.display();
        let text = fs::read_to_string(file).with_context(|| format!("cannot read the cases in {shown}"))?;
        let cases = match file.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => toml::from_str(&text).with_context(|| format!("{shown} is no table of cases"))?,
            Some("ndjson" | "jsonl") => lines(&text).with_context(|| format!("{shown} is no table of cases"))?,
            _ => bail!("{shown}: cases are read from .toml, or one JSON object a line from .ndjson or .jsonl"),
        };
        ensure!(!cases.cases.is_empty(), "{shown} holds no case; write one as [[case]]");
        for case in &cases.cases {
            case.check()
                .with_context(|| format!("{shown}: case \"{}\"", case.name))?;
        }
        Ok(cases)
    }
}

/// A first line with nothing but a config.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Preamble {
    config: serde_json::Map<String, serde_json::Value>,
}

fn lines(text: &str) -> anyhow::Result<Cases> {
    let mut cases = Cases {
        config: serde_json::Map::new(),
        cases: Vec::new(),
    };
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        if cases.cases.is_empty()
            && let Ok(preamble) = serde_json::from_str::<Preamble>(line)
        {
            cases.config = preamble.config;
            continue;
        }
        cases
            .cases
            .push(serde_json::from_str(line).with_context(|| format!("line {number}"))?);
    }
    Ok(cases)
}

impl Case {
    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            (1..=MAX_PARTITIONS).contains(&self.partitions),
            "partitions is {}, expected 1 to {MAX_PARTITIONS}",
            self.partitions
        );
        ensure!(
            self.key.is_none() || self.key_base64.is_none(),
            "key and key_base64: keep one"
        );
        ensure!(
            self.value.is_none() || self.value_base64.is_none(),
            "value and value_base64: keep one"
        );
        self.record().map(|_| ())
    }

    /// The record.
    pub fn record(&self) -> anyhow::Result<Record> {
        let bytes = |text: &Option<String>, base64: &Option<String>, what: &str| match (text, base64) {
            (Some(text), _) => Ok(Some(Bytes::from(text.clone()))),
            (None, Some(base64)) => {
                let decoded = STANDARD
                    .decode_to_vec(base64)
                    .map_err(|_| anyhow::anyhow!("{what} is no base64"))?;
                Ok(Some(Bytes::from(decoded)))
            }
            (None, None) => anyhow::Ok(None),
        };
        Ok(Record {
            topic: Arc::from(&*self.topic),
            key: bytes(&self.key, &self.key_base64, "key_base64")?,
            value: bytes(&self.value, &self.value_base64, "value_base64")?,
            headers: self
                .headers
                .iter()
                .map(|(name, value)| Header {
                    name: name.as_str().into(),
                    value: Some(Bytes::from(value.clone())),
                })
                .collect(),
            partition: None,
            timestamp: self.timestamp,
        })
    }

    /// The topic's partitions.
    pub fn topology(&self) -> Partitions {
        let queued = |index: usize| self.queued_bytes.get(index).copied().unwrap_or_default();
        Partitions {
            leaderless: self.leaderless.clone(),
            lanes: (0..self.partitions as usize)
                .map(|index| Arc::new(Lane::holding(queued(index) as usize)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<Cases, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(name);
        fs::write(&file, text).expect("written");
        Cases::read(&file).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn both_forms_say_the_same() {
        let toml = "config = { a = 1 }\n[[case]]\nname = \"x\"\npartitions = 3\nkey = \"k\"\nexpect = \"any\"\n";
        let json = "{\"config\":{\"a\":1}}\n\n{\"name\":\"x\",\"partitions\":3,\"key\":\"k\",\"expect\":\"any\"}\n";
        for (name, text) in [("c.toml", toml), ("c.ndjson", json)] {
            let cases = read(name, text).expect("cases");
            assert_eq!((cases.config["a"].as_i64(), cases.cases.len()), (Some(1), 1));
            assert_eq!(cases.cases[0].expect, Expect::Any);
            assert_eq!(
                cases.cases[0].record().expect("a record").key.as_deref(),
                Some(&b"k"[..])
            );
        }
    }

    #[test]
    fn a_case_that_would_test_nothing_or_something_else_is_refused() {
        let case = |lines: &str| read("c.toml", &format!("[[case]]\nname = \"x\"\nexpect = \"any\"\n{lines}"));
        for (lines, says) in [
            ("partitions = 0", "expected 1 to"),
            ("partitions = 3\nkye = \"k\"", "kye"),
            ("partitions = 3\nkey = \"k\"\nkey_base64 = \"aw==\"", "keep one"),
            ("partitions = 3\nkey_base64 = \"!\"", "no base64"),
        ] {
            let refusal = case(lines).expect_err(lines);
            assert!(refusal.contains(says), "{refusal}");
        }
        assert!(read("c.toml", "").expect_err("no case").contains("no case"));
        assert!(
            read("c.ndjson", "{\"name\":1}")
                .expect_err("no name")
                .contains("line 1")
        );
        assert!(read("c.txt", "").expect_err("a form").contains(".ndjson"));
    }
}
