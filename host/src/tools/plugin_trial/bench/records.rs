//! The records that a plugin is measured with.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use hyper::HeaderMap;

use crate::{
    base::record::{Header, Record},
    config::Limits,
    ingest::parse::{Context, Format, Memory},
};

/// How many records are made up where no file gives some.
const RECORDS: usize = 10_000;
/// The largest file of records.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Reads the records of a file. `topic` is that of all of them, where none names one.
pub(in crate::tools::plugin_trial) fn read(file: &Path, topic: &str) -> anyhow::Result<Vec<Record>> {
    let shown = file.display();
    let bytes = fs::metadata(file)
        .with_context(|| format!("cannot read the records in {shown}"))?
        .len();
    ensure!(
        bytes <= MAX_FILE_BYTES,
        "{shown} has {bytes} bytes, expected at most {MAX_FILE_BYTES}"
    );
    let body = Bytes::from(fs::read(file).with_context(|| format!("cannot read the records in {shown}"))?);
    let limits = Limits {
        max_records: usize::MAX,
        ..Limits::default()
    };
    let context = Context {
        topic: None,
        limits: &limits,
        memory: Memory::unbounded(),
    };
    // Where no record names a topic.
    let bare = Context {
        topic: Some(Arc::from(topic)),
        ..context.clone()
    };
    let parse = |context| Format::Ndjson.parse(&body, &HeaderMap::new(), context);
    let parsed = match parse(&bare) {
        Ok(records) if records.iter().all(Result::is_ok) => Ok(records),
        _ => parse(&context),
    };
    let parsed = parsed.map_err(|error| anyhow::anyhow!("{shown}: {}", error.problem().detail()))?;
    (1..)
        .zip(parsed)
        .map(|(number, record)| record.map_err(|error| anyhow::anyhow!("{shown}: record {number}: {}", error.message)))
        .collect()
}

/// Made-up orders of a thousand customers, each with the headers that the examples use.
pub(super) fn made_up(topic: &str) -> Vec<Record> {
    let topic: Arc<str> = Arc::from(topic);
    let regions = ["eu", "us", "apac", "latam", "mea"];
    let record = |number: usize| {
        // A few customers buy most: the square of a number that runs through all customers.
        let customer = (number * 7_919 % 1_000).pow(2) / 1_000;
        let header = |name: &str, value: &'static str| Header {
            name: name.into(),
            value: Some(Bytes::from_static(value.as_bytes())),
        };
        let tier = if customer.is_multiple_of(50) { "vip" } else { "standard" };
        Record {
            topic: Arc::clone(&topic),
            key: Some(Bytes::from(format!("customer-{customer}"))),
            value: Some(Bytes::from(format!(
                r#"{{"customer":{{"id":"customer-{customer}","tier":"{tier}"}},"amount":{number},"currency":"EUR"}}"#
            ))),
            headers: vec![
                header("tier", tier),
                header("region", regions[customer % regions.len()]),
            ],
            partition: None,
            timestamp: None,
            schema: None,
        }
    };
    (0..RECORDS).map(record).collect()
}
