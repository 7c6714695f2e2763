//! Shows a record to a plugin's author: in the words of a table of cases, bounded, and harmless to a terminal.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::style::foreign;
use crate::base::{
    record::{Header, Record},
    text::shorten,
};

/// How much of a key, a header's name or a header's value is shown, bytes.
const PART_BYTES: usize = 80;
/// How much of a value is shown, bytes.
const VALUE_BYTES: usize = 240;
/// How many headers are shown.
const HEADERS: usize = 12;
/// How much of each part scripts get, bytes.
const JSON_BYTES: usize = 4_096;

/// `topic "orders" of 12 partitions, key "c-17", headers { tier = "vip" }, value "{}"`.
pub(super) fn text(record: &Record, partitions: u32) -> String {
    let mut text = format!(
        "topic {} of {partitions} partitions, ",
        quoted(record.topic.as_bytes(), PART_BYTES)
    );
    match &record.key {
        Some(key) => drop(write!(text, "key {}", quoted(key, PART_BYTES))),
        None => text.push_str("no key"),
    }
    if !record.headers.is_empty() {
        let shown = record.headers.iter().take(HEADERS).map(header);
        let _ = write!(text, ", headers {{ {}", shown.collect::<Vec<_>>().join(", "));
        match record.headers.len().saturating_sub(HEADERS) {
            0 => text.push_str(" }"),
            more => drop(write!(text, ", … {more} more }}")),
        }
    }
    match &record.value {
        Some(value) => drop(write!(text, ", value {}", quoted(value, VALUE_BYTES))),
        None => text.push_str(", no value"),
    }
    if let Some(timestamp) = record.timestamp {
        let _ = write!(text, ", timestamp {timestamp}");
    }
    text
}

fn header(header: &Header) -> String {
    let name = quoted(header.name.as_bytes(), PART_BYTES);
    match &header.value {
        Some(value) => format!("{name} = {}", quoted(value, PART_BYTES)),
        None => format!("{name} without a value"),
    }
}

/// Text in quotes, other bytes as `b"\xff"`. Where not all bytes are shown, it says how many there are.
fn quoted(bytes: &[u8], most: usize) -> String {
    let shown = cut(bytes, most).escape_ascii();
    match str::from_utf8(bytes) {
        Ok(text) => {
            let escaped = shorten(text, most).replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{}\"", foreign(&escaped, usize::MAX))
        }
        Err(_) if bytes.len() > most => format!("b\"{shown} … ({} bytes)\"", bytes.len()),
        Err(_) => format!("b\"{shown}\""),
    }
}

fn cut(bytes: &[u8], most: usize) -> &[u8] {
    &bytes[..bytes.len().min(most)]
}

/// The same for scripts, with the field names of a table of cases. It says what was cut.
pub(super) fn json(record: &Record, partitions: u32) -> Value {
    let mut fields = Map::new();
    fields.insert("topic".to_owned(), json!(&*record.topic));
    fields.insert("partitions".to_owned(), json!(partitions));
    for (name, bytes) in [("key", &record.key), ("value", &record.value)] {
        if let Some(bytes) = bytes {
            part(&mut fields, name, bytes);
        }
    }
    if let Some(timestamp) = record.timestamp {
        fields.insert("timestamp".to_owned(), json!(timestamp));
    }
    let headers = record.headers.iter().take(HEADERS).map(|header| {
        let mut fields = Map::from_iter([("name".to_owned(), json!(&*header.name))]);
        if let Some(value) = &header.value {
            part(&mut fields, "value", value);
        }
        Value::Object(fields)
    });
    fields.insert("headers".to_owned(), headers.collect());
    Value::Object(fields)
}

fn part(fields: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    let kept = cut(bytes, JSON_BYTES);
    match str::from_utf8(bytes) {
        Ok(text) => fields.insert(
            name.to_owned(),
            json!(&text[..text.floor_char_boundary(JSON_BYTES.min(text.len()))]),
        ),
        Err(_) => fields.insert(
            format!("{name}_base64"),
            json!(base64_simd::STANDARD.encode_to_string(kept)),
        ),
    };
    if kept.len() < bytes.len() {
        fields.insert(format!("{name}_bytes"), json!(bytes.len()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;

    fn record(key: &'static [u8], headers: usize) -> Record {
        let header = |number: usize| Header {
            name: format!("h{number}").into(),
            value: (number > 0).then(|| Bytes::from_static(b"\xff\x00")),
        };
        Record {
            topic: Arc::from("orders"),
            key: Some(Bytes::from_static(key)),
            value: None,
            headers: (0..headers).map(header).collect(),
            partition: None,
            timestamp: Some(5),
            schema: None,
        }
    }

    #[test]
    fn a_record_is_shown_with_all_that_it_has_and_cannot_speak_to_the_terminal() {
        assert_eq!(
            text(&record(b"a\"\x1b[2J\n", 2), 12),
            "topic \"orders\" of 12 partitions, key \"a\\\"\\u{1b}[2J\\n\", headers { \"h0\" without a value, \"h1\" = \
             b\"\\xff\\x00\" }, no value, timestamp 5"
        );
        assert_eq!(
            json(&record(b"\xfe", 2), 12),
            json!({"topic": "orders", "partitions": 12, "key_base64": "/g==", "timestamp": 5,
                "headers": [{"name": "h0"}, {"name": "h1", "value_base64": "/wA="}]})
        );
    }

    #[test]
    fn a_large_record_is_cut_and_says_how_large_it_is() {
        let mut large = record(b"k", 1_000);
        large.value = Some(Bytes::from(vec![b'\x01'; 10 << 20]));
        large.key = Some(Bytes::from(vec![0xff; 1 << 20]));
        let shown = text(&large, 1);
        assert!(shown.len() < 4_096, "{} bytes", shown.len());
        for part in ["(10485760 bytes)", "(1048576 bytes)", "… 988 more"] {
            assert!(shown.contains(part), "no {part} in {shown}");
        }
        let shown = json(&large, 1);
        assert_eq!(
            (&shown["value_bytes"], &shown["key_bytes"]),
            (&json!(10 << 20), &json!(1 << 20))
        );
        assert!(shown.to_string().len() < 64 << 10);
    }
}
