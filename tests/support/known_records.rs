//! The records that all programs of tests/clients send, as tests/clients/README.md has them.

use pointsman_routing::murmur2::partition_for_key;
use serde_json::Value;

use super::consumer::Read;

/// What of a record a client cannot send, as its report says.
#[derive(Debug, Default)]
pub(crate) struct LeavesOut {
    headers: bool,
    null_header: bool,
    timestamp: bool,
    tombstone: bool,
}

impl LeavesOut {
    /// As a program's report names it.
    pub(crate) fn of(report: &Value) -> Self {
        let named = |what: &str| {
            let list = report["leaves_out"].as_array().expect("a list");
            list.iter().any(|one| one == what)
        };
        Self {
            headers: named("headers"),
            null_header: named("null header"),
            timestamp: named("timestamp"),
            tombstone: named("tombstone"),
        }
    }
}

/// Each record is there once, as it was sent, in the partition that a plugin chose by the key, and behind those that were sent
/// before it.
pub(crate) fn check(read: &[Read], partitions: u32, leaves_out: &LeavesOut) {
    let mut seen = vec![false; read.len()];
    let mut last = vec![None; partitions as usize];
    for record in read {
        let n = number(record);
        assert!(!std::mem::replace(&mut seen[n], true), "{n} is there twice");
        let before = last[record.partition as usize].replace(n);
        assert!(before.is_none_or(|before| before < n), "{before:?} before {n}");
        let key = key(n);
        assert_eq!(record.key.as_deref(), key.as_deref().map(str::as_bytes), "{n}");
        if let Some(key) = &key {
            assert_eq!(
                record.partition as u32,
                partition_for_key(key.as_bytes(), partitions),
                "{n}"
            );
        }
        let is_tombstone = n % 60 == 59 && key.is_some() && !leaves_out.tombstone;
        let value = (!is_tombstone).then(|| value(n));
        assert_eq!(record.value.as_deref(), value.as_deref().map(str::as_bytes), "{n}");
        if !leaves_out.headers {
            assert_eq!(record.headers, headers(n, leaves_out.null_header), "{n}");
        }
        if !leaves_out.timestamp {
            assert_eq!(record.timestamp, Some(1_700_000_000_000 + n as i64), "{n}");
        }
    }
}

fn number(record: &Read) -> usize {
    if let Some((_, Some(n))) = record.headers.iter().find(|(name, _)| name == "n") {
        return std::str::from_utf8(n).unwrap().parse().unwrap();
    }
    let value: Value = serde_json::from_str(record.text()).expect("a value");
    value["n"].as_u64().expect("a number") as usize
}

fn value(n: usize) -> String {
    format!("{{\"n\":{n},\"text\":\"forty letters with ä and a \\\"quoted\\\" part\"}}")
}

fn headers(n: usize, without_null: bool) -> Vec<(String, Option<Vec<u8>>)> {
    let mut headers = vec![
        ("n".to_owned(), Some(n.to_string().into_bytes())),
        ("twice".to_owned(), Some(b"a".to_vec())),
        ("twice".to_owned(), Some(b"b".to_vec())),
        ("empty".to_owned(), Some(Vec::new())),
    ];
    if !without_null {
        headers.push(("null".to_owned(), None));
    }
    headers
}

/// The key of record `n`.
pub(crate) fn key(n: usize) -> Option<String> {
    match n {
        _ if n % 50 == 49 => None,
        _ if n % 51 == 50 => Some(String::new()),
        _ => Some(format!("k{}", n % 97)),
    }
}
