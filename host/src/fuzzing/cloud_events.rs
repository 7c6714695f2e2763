//! CloudEvents, in their three modes.

use std::collections::HashSet;

use bytes::Bytes;
use hyper::HeaderMap;
use serde_json::value::RawValue;

use super::{
    headers::split,
    oracle::{Object, base64, nesting, typed},
    parsed::{TOPIC, check_problem, is_slice, limits, parse},
};
use crate::{
    base::record::Record,
    config::Limits,
    ingest::parse::{Format, Mode},
    pipeline::Parsed,
};

const REQUIRED: [&str; 4] = ["id", "source", "specversion", "type"];

/// Checks that an event's record has what the event says, and that an event in JSON is read as a second, slower reader
/// reads it.
pub fn cloud_events(data: &[u8]) {
    let (limits, (headers, body)) = (limits(data), split(data));
    let body = Bytes::copy_from_slice(body);
    for is_on in [true, false] {
        match Format::of(&headers, is_on) {
            Ok(format) => assert!(is_on || !matches!(format, Format::CloudEvents(_)), "{headers:?}"),
            Err(problem) => check_problem(&problem),
        }
    }
    for mode in [Mode::Binary, Mode::Structured, Mode::Batch] {
        let format = Format::CloudEvents(mode);
        if let Ok(parsed) = parse(format, &body, &headers, None, &limits) {
            panic!("an event without a topic: {parsed:?}");
        }
        let parsed = parse(format, &body, &headers, Some(TOPIC), &limits).ok();
        match mode {
            Mode::Binary => {
                if let Some([Ok(record)]) = parsed.as_deref() {
                    check_headers(record, &headers, &body);
                }
            }
            Mode::Structured => {
                if let Some(parsed) = &parsed {
                    assert_eq!(parsed.len(), 1);
                    let text: &RawValue = serde_json::from_slice(&body).expect("JSON");
                    check_event(&parsed[0], text.get(), &headers, &body, &limits);
                }
            }
            Mode::Batch => check_batch(parsed.as_deref(), &headers, &body, &limits),
        }
    }
}

fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    headers.get(name).map(|value| value.as_bytes())
}

/// A record of the binary mode.
fn check_headers(record: &Record, headers: &HeaderMap, body: &Bytes) {
    assert_eq!(record.value.is_none(), body.is_empty());
    if let Some(value) = &record.value {
        assert!(value == body && is_slice(value, body));
    }
    let of = |name: &str| {
        let mut found = record.headers.iter().filter(|header| &*header.name == name);
        let value = found.next().map(|header| header.value.as_deref().expect("a value"));
        assert!(found.next().is_none(), "{name} is there twice");
        value
    };
    let mut count = 0;
    for (name, given) in headers {
        let Some(attribute) = name.as_str().strip_prefix("ce-") else {
            continue;
        };
        count += 1;
        let value = of(&format!("ce_{attribute}")).expect("the attribute");
        let given = given.as_bytes();
        assert!(str::from_utf8(value).is_ok() && value.len() <= given.len());
        if !given.contains(&b'%') && !given.starts_with(b"\"") {
            assert_eq!(value, given, "{attribute}");
        }
    }
    for name in REQUIRED {
        assert!(
            of(&format!("ce_{name}")).is_some_and(|value| !value.is_empty()),
            "{name}"
        );
    }
    assert_eq!(of("ce_specversion"), Some(&b"1.0"[..]));
    let content_type = only(headers, "content-type").filter(|given| !given.is_empty());
    assert_eq!(of("content-type"), content_type);
    assert_eq!(record.headers.len(), count + usize::from(content_type.is_some()));
    let key = only(headers, "pointsman-key").or_else(|| of("ce_partitionkey"));
    assert_eq!(record.key.as_deref(), key);
}

fn check_batch(parsed: Option<&[Parsed]>, headers: &HeaderMap, body: &Bytes, limits: &Limits) {
    let texts = serde_json::from_slice::<Vec<&RawValue>>(body).ok();
    let fits = texts
        .as_ref()
        .is_some_and(|texts| (1..=limits.max_records).contains(&texts.len()));
    let is_placed = ["pointsman-key", "pointsman-partition"]
        .iter()
        .any(|name| headers.contains_key(*name));
    let has_two_types = headers.get_all("content-type").iter().count() > 1;
    assert_eq!(parsed.is_some(), fits && !is_placed && !has_two_types, "{texts:?}");
    let (Some(parsed), Some(texts)) = (parsed, texts) else {
        return;
    };
    assert_eq!(parsed.len(), texts.len());
    for (parsed, text) in parsed.iter().zip(texts) {
        check_event(parsed, text.get(), headers, body, limits);
        if let Ok(record) = parsed {
            assert_eq!(record.value.as_deref(), Some(text.get().as_bytes()));
        }
    }
}

/// An event in JSON with this text.
fn check_event(parsed: &Parsed, text: &str, headers: &HeaderMap, body: &Bytes, limits: &Limits) {
    let expected = (nesting(text) <= limits.json_depth).then(|| event(text)).flatten();
    match (parsed, expected) {
        (Ok(record), Some(key)) => {
            let value = record.value.as_ref().expect("a value");
            assert!(value.trim_ascii() == text.as_bytes() && is_slice(value, body), "{text}");
            let key = only(headers, "pointsman-key").or(key.as_deref().map(str::as_bytes));
            assert_eq!(record.key.as_deref(), key, "{text}");
            assert_eq!(record.headers.len(), 1);
        }
        (Err(_), None) => {}
        // The second reader knows no times.
        (Err(error), Some(_)) if error.message.contains("time is ") => {}
        (parsed, expected) => panic!("expected {expected:?}, found {parsed:?}: {text}"),
    }
}

/// The key of an event with this text. None where it is not a valid event, whatever its time is.
#[allow(clippy::option_option, reason = "wrong, or with a key, or without one")]
fn event(text: &str) -> Option<Option<String>> {
    let Object(members) = serde_json::from_str(text).ok()?;
    let names: HashSet<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    if names.len() < members.len() {
        return None;
    }
    let given = |name: &str| {
        let (_, value) = members.iter().find(|(member, _)| member == name)?;
        Some(value.get()).filter(|value| *value != "null")
    };
    for (name, value) in &members {
        check_member(name, value.get())?;
    }
    let has_all = REQUIRED.iter().all(|name| given(name).is_some());
    let has_two = given("data").is_some() && given("data_base64").is_some();
    let is_version = given("specversion").and_then(typed::<String>)? == "1.0";
    (has_all && !has_two && is_version).then(|| given("partitionkey").and_then(typed))
}

fn check_member(name: &str, value: &str) -> Option<()> {
    let is_name = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'));
    let is_valid = match name {
        "data" => true,
        _ if value == "null" => is_name && !name.is_empty() || name == "data_base64",
        "data_base64" => base64(value).is_some(),
        "id" | "source" | "specversion" | "type" | "datacontenttype" | "dataschema" | "subject" | "time"
        | "partitionkey" => typed(value).is_some_and(|text: String| !text.is_empty() && is_text(&text)),
        _ if name.is_empty() || !is_name => false,
        _ if value.starts_with('"') => typed(value).is_some_and(|text: String| is_text(&text)),
        _ => matches!(value, "true" | "false") || typed::<i32>(value).is_some(),
    };
    is_valid.then_some(())
}

fn is_text(text: &str) -> bool {
    text.chars().all(|char| {
        let number = u32::from(char);
        let is_control = number < 0x20 || (0x7f..0xa0).contains(&number);
        let is_noncharacter = (0xfdd0..0xfdf0).contains(&number) || number % 0x1_0000 >= 0xfffe;
        !is_control && !is_noncharacter
    })
}
