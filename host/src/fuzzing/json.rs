//! `application/json` and `application/x-ndjson`.

use bytes::Bytes;
use hyper::HeaderMap;
use serde_json::value::RawValue;

use super::{
    oracle,
    parsed::{TOPIC, is_slice, limits, parse},
};
use crate::{config::Limits, ingest::parse::Format, pipeline::Parsed};

/// Checks that a document is read as a second, slower reader reads it, and that values are the body's own bytes.
pub fn json(data: &[u8]) {
    let (body, limits) = (Bytes::copy_from_slice(data), limits(data));
    for topic in [Some(TOPIC), None] {
        let parsed = parse(Format::Json, &body, &HeaderMap::new(), topic, &limits).ok();
        match (parsed, expected(data, &limits)) {
            (Some(parsed), Some(texts)) => {
                assert_eq!(parsed.len(), texts.len());
                for (parsed, text) in parsed.iter().zip(texts) {
                    check(parsed, text, &body, topic, &limits);
                }
            }
            (None, None) => {}
            (parsed, texts) => panic!("expected {texts:?}, found {parsed:?}"),
        }
    }
}

/// The texts of a document's records. None where the whole request must be refused.
fn expected<'d>(data: &'d [u8], limits: &Limits) -> Option<Vec<&'d str>> {
    let whole: &RawValue = serde_json::from_slice(data).ok()?;
    let text = whole.get();
    let inside = text.strip_prefix('{')?;
    // A batch begins with the field `records`.
    if !inside.trim_start().starts_with("\"records\"") {
        return Some(vec![text]);
    }
    let oracle::Object(fields) = serde_json::from_str(text).ok()?;
    let [(_, records)] = fields.as_slice() else {
        return None;
    };
    let records: Vec<&RawValue> = serde_json::from_str(records.get()).ok()?;
    let fits = (1..=limits.max_records).contains(&records.len());
    fits.then(|| records.into_iter().map(RawValue::get).collect())
}

fn check(parsed: &Parsed, text: &str, body: &Bytes, topic: Option<&str>, limits: &Limits) {
    let expected = oracle::record(text, topic, limits.json_depth);
    assert_eq!(parsed.as_ref().ok(), expected.as_ref(), "{text}: {parsed:?}");
    let Ok(record) = parsed else { return };
    let value = record.value.as_deref().unwrap_or_default();
    let copied = text.contains("value_base64") || text.contains('\\');
    assert!(copied || is_slice(value, body), "the value was copied: {text}");
}

/// Checks that each line is read as a document is.
pub fn ndjson(data: &[u8]) {
    let (body, limits) = (Bytes::copy_from_slice(data), limits(data));
    for topic in [Some(TOPIC), None] {
        let lines: Vec<&[u8]> = data
            .split(|&byte| byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .filter(|line| !line.is_empty())
            .collect();
        let fits = (1..=limits.max_records).contains(&lines.len());
        let Ok(parsed) = parse(Format::Ndjson, &body, &HeaderMap::new(), topic, &limits) else {
            assert!(!fits, "{} lines were refused", lines.len());
            continue;
        };
        assert!(fits && parsed.len() == lines.len());
        for (parsed, line) in parsed.iter().zip(lines) {
            let line = Bytes::copy_from_slice(line);
            let document = parse(Format::Json, &line, &HeaderMap::new(), topic, &limits);
            // A line is one record, never a batch.
            let alone = match document.as_deref() {
                Ok([record]) if expected(&line, &limits).is_some_and(|texts| texts[0].len() == line.len()) => {
                    record.as_ref().ok()
                }
                _ => None,
            };
            assert_eq!(parsed.as_ref().ok(), alone);
            let value = parsed.iter().filter_map(|record| record.value.as_deref());
            let copied = line.windows(12).any(|part| part == b"value_base64") || line.contains(&b'\\');
            assert!(copied || value.into_iter().all(|value| is_slice(value, &body)));
        }
    }
}
