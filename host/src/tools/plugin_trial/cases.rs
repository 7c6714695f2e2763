//! A table of cases: records, and what a plugin must decide about each. It is `[[case]]` in TOML, or one JSON object a
//! line. [`HELP`] describes a case in short, and `examples/write-a-plugin/CASES.md` at length.

mod expect;
mod stated;

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use anyhow::{Context as _, bail, ensure};
use base64_simd::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

pub use self::expect::Expect;
use crate::{
    admission::PartitionQuota,
    base::record::{Header, Record},
    plugin::StatedValue,
    topic::Partitions,
};

/// The most partitions of a case: more than any Kafka topic has.
const MAX_PARTITIONS: u32 = 1_000_000;

/// The format in short, for `pointsman plugin test --help`.
pub const HELP: &str = r#"The table of cases, as TOML:

  config = { name = "region" }      # optional: the route's config, for all cases

  [[case]]
  name = "a region stays together"  # required: what it shows
  partitions = 12                   # required: of the topic
  key = "o-17"                      # or key_base64; neither: no key
  value = "{}"                      # or value_base64; neither: no value
  headers = { region = "eu" }       # none by default
  topic = "test"                    # "test" by default
  timestamp = 1700000000000         # ms since 1970; none by default
  schema_id = 7                     # by which the value was written, or a GUID as text; none by default
  fields = { "/customer/id" = "c" } # what its schema finds in the value, by JSON pointer; all else is read as JSON
  leaderless = [3]                  # partitions without a leader; none by default
  queued_bytes = [0, 4096]          # that wait for each partition; 0 by default
  expect = { key-hash = "eu" }      # required; one of:

  expect = { partition = 3 }        # it ends up there, whichever way the plugin says so
  expect = { key-hash = "eu" }      # the decision key-hash of these bytes
  expect = { tenant = "acme" }      # the decision tenant; with partition = 3, it also ends up there
  expect = { reject = "no region" } # it is refused with this text
  expect = "any"                    # the decision any

Or as NDJSON: a first line {"config":{…}}, optional, and a JSON object with the same fields for each case.
Cases run one after the other on one instance, which is a new one after a trap. With --routes, a tenant ends up where that
routing table has it in the case's topic; without, where the key hash of its name puts it."#;

/// All cases of a file.
#[derive(Debug, Default)]
pub struct Cases {
    /// The route's config.
    pub config: Map<String, Value>,
    /// The cases, in the order of the file.
    pub cases: Vec<Case>,
}

/// One record and what is expected of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What the case shows.
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
    schema_id: Option<stated::Id>,
    #[serde(default)]
    fields: BTreeMap<String, String>,
    #[serde(default)]
    leaderless: Vec<u32>,
    #[serde(default)]
    queued_bytes: Vec<u64>,
    /// What the plugin must decide.
    pub expect: Expect,
    /// The line at which the case begins in its file, counted from 1.
    #[serde(skip)]
    pub line: usize,
}

fn default_topic() -> String {
    "test".to_owned()
}

impl Cases {
    /// Reads a file. An error names the line.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let shown = file.display();
        let text = fs::read_to_string(file).with_context(|| format!("cannot read the cases in {shown}"))?;
        let cases = match file.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => tables(&text),
            Some("ndjson" | "jsonl") => lines(&text),
            _ => bail!("{shown}: cases are read from .toml, or one JSON object a line from .ndjson or .jsonl"),
        };
        let cases = cases.with_context(|| format!("{shown} is not a table of cases"))?;
        ensure!(!cases.cases.is_empty(), "{shown} holds no case; write one as [[case]]");
        Ok(cases)
    }

    /// Adds a case that begins at `line`, or says which case is wrong, and where.
    fn take(&mut self, name: Option<&str>, line: usize, case: Result<Case, Complaint>) -> anyhow::Result<()> {
        let checked = case.and_then(|case| match case.check() {
            Ok(()) => Ok(Case { line, ..case }),
            Err(error) => Err(Complaint {
                line: None,
                message: format!("{error:#}"),
            }),
        });
        let number = self.cases.len() + 1;
        self.cases.push(checked.map_err(|Complaint { line: place, message }| {
            let named = name.map_or_else(|| "without a name".to_owned(), |name| format!("{name:?}"));
            anyhow::anyhow!("case {number}, {named}, line {}: {message}", place.unwrap_or(line))
        })?);
        Ok(())
    }
}

/// What is wrong with a case or with the file around it.
struct Complaint {
    /// The line, counted from 1. None: the line at which the case begins.
    line: Option<usize>,
    message: String,
}

impl Complaint {
    fn of(error: &toml::de::Error, text: &str) -> Self {
        Self {
            line: error.span().map(|span| line_of(text, span.start)),
            message: error.message().trim_end().replace('\n', ", "),
        }
    }

    fn of_line(error: &serde_json::Error) -> Self {
        // For the parser, each line is a document of its own.
        let place = format!("at line 1 column {}", error.column());
        Self {
            line: None,
            message: error
                .to_string()
                .replace(&place, &format!("at column {}", error.column())),
        }
    }
}

/// The line of a byte offset in the text, counted from 1.
fn line_of(text: &str, place: usize) -> usize {
    1 + text.bytes().take(place).filter(|byte| *byte == b'\n').count()
}

fn tables(text: &str) -> anyhow::Result<Cases> {
    let mut cases = Cases::default();
    let root = DeTable::parse(text).map_err(|error| {
        let Complaint { line, message } = Complaint::of(&error, text);
        anyhow::anyhow!("line {}: {message}", line.unwrap_or(1))
    })?;
    for (key, value) in root.into_inner() {
        let line = line_of(text, key.span().start);
        match (&**key.get_ref(), value.get_ref()) {
            ("config", _) => {
                cases.config = Map::deserialize(ValueDeserializer::from(value)).map_err(|error| {
                    let place = Complaint::of(&error, text);
                    anyhow::anyhow!("line {}: config: {}", place.line.unwrap_or(line), place.message)
                })?;
            }
            ("case", DeValue::Array(tables)) => {
                for table in tables.clone() {
                    take_table(&mut cases, text, table)?;
                }
            }
            ("case", _) => bail!("line {line}: write each case as [[case]], with two brackets"),
            (other, _) => bail!("line {line}: unknown key `{other}`, expected `config` or tables [[case]]"),
        }
    }
    Ok(cases)
}

fn take_table(cases: &mut Cases, text: &str, table: Spanned<DeValue<'_>>) -> anyhow::Result<()> {
    let line = line_of(text, table.span().start);
    let name = table.get_ref().get("name").and_then(|name| name.get_ref().as_str());
    let name = name.map(str::to_owned);
    let case = Case::deserialize(ValueDeserializer::from(table)).map_err(|error| Complaint::of(&error, text));
    cases.take(name.as_deref(), line, case)
}

/// A first line that has only a config.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Preamble {
    config: Map<String, Value>,
}

fn lines(text: &str) -> anyhow::Result<Cases> {
    let mut cases = Cases::default();
    let mut is_first = true;
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        if std::mem::take(&mut is_first)
            && let Ok(preamble) = serde_json::from_str::<Preamble>(line)
        {
            cases.config = preamble.config;
            continue;
        }
        let name = serde_json::from_str(line)
            .ok()
            .and_then(|case: Value| Some(case.get("name")?.as_str()?.to_owned()));
        let case = serde_json::from_str(line).map_err(|error| Complaint::of_line(&error));
        cases.take(name.as_deref(), number, case)?;
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
        stated::check(&self.fields, self.value.is_some() || self.value_base64.is_some())?;
        self.record().map(|_| ())
    }

    /// What the case says about the record's value; `None` if nothing.
    pub fn stated(&self) -> Option<StatedValue> {
        let stated = StatedValue {
            schema_id: self.schema_id.map(|stated::Id(id)| id),
            fields: self.fields.clone(),
        };
        (stated != StatedValue::default()).then_some(stated)
    }

    /// The record that the plugin is asked about.
    pub fn record(&self) -> anyhow::Result<Record> {
        let bytes = |text: &Option<String>, base64: &Option<String>, what: &str| match (text, base64) {
            (Some(text), _) => Ok(Some(Bytes::from(text.clone()))),
            (None, Some(base64)) => {
                let decoded = STANDARD
                    .decode_to_vec(base64)
                    .map_err(|_| anyhow::anyhow!("{what} is not valid base64"))?;
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
            schema: None,
        })
    }

    /// The topic's partitions.
    pub fn topology(&self) -> Partitions {
        let queued = |index: usize| self.queued_bytes.get(index).copied().unwrap_or_default();
        Partitions {
            leaderless: self.leaderless.clone(),
            quotas: (0..self.partitions as usize)
                .map(|index| Arc::new(PartitionQuota::holding(queued(index) as usize)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;
