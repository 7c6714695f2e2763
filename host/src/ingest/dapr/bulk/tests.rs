//! What becomes of the body of a bulk.

use std::hash::RandomState;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    config::Limits,
    ingest::{
        dapr::event::{Now, TraceContext},
        parse::Memory,
    },
};

fn read_within(query: &str, body: &str, limits: &Limits, most: usize) -> (Result<Entries, Refusal>, usize) {
    let metadata = Metadata::of_query(Some(query)).expect("a query");
    let publication = Publication {
        pubsub: "kafka".to_owned(),
        topic: "orders".into(),
        app: Some("shop"),
        trace: TraceContext::default(),
        is_raw: metadata.is_raw().expect("a boolean"),
        metadata,
        now: Now::by_the_clock(),
        ids: RandomState::new(),
    };
    let context = Context {
        topic: None,
        limits,
        memory: Memory::of(most),
    };
    let body = Bytes::copy_from_slice(body.as_bytes());
    let entries = Entries::of(&body, &publication, &context);
    (entries, context.memory.used())
}

fn read(query: &str, body: &str) -> Result<Entries, Refusal> {
    read_within(query, body, &Limits::default(), usize::MAX).0
}

fn values(entries: &Entries) -> Vec<&[u8]> {
    let values = entries.records.iter();
    values
        .map(|record| record.as_ref().expect("a record").value.as_deref().expect("a value"))
        .collect()
}

#[test]
fn each_event_is_read_by_its_own_content_type_and_in_its_place() {
    let body = r#"[
        {"entryId": "1", "event": {"a": 1.50}, "contentType": "application/json"},
        {"entryID": "2", "event": "te\"xt", "contentType": "text/plain", "metadata": {"partitionKey": "k"}},
        {"EntryId": "3", "event": "AP8=", "contentType": "application/octet-stream", "metadata": null, "more": {}},
        {"entryId": "4\n", "event": "<a/>", "contentType": "application/xml"}
    ]"#;
    let entries = read("metadata.rawPayload=true&metadata.partitionKey=all", body).expect("a bulk");
    assert_eq!(values(&entries), [&b"{\"a\": 1.50}"[..], b"te\"xt", b"\0\xff", b"<a/>"]);
    assert_eq!(entries.ids, ["1", "2", "3", "4\n"]);
    let keys = entries
        .records
        .iter()
        .map(|record| record.as_ref().expect("a record").key.as_deref());
    let keys: Vec<_> = keys.map(Option::unwrap_or_default).collect();
    assert_eq!(keys, [&b"all"[..], b"k", b"all", b"all"]);

    let wrapped = read("", body).expect("a bulk");
    let wrapped: Vec<Value> = values(&wrapped)
        .iter()
        .map(|value| serde_json::from_slice(value).expect("JSON"))
        .collect();
    assert_eq!(wrapped[0]["data"], json!({"a": 1.5}));
    assert_eq!(wrapped[1]["data"], "te\"xt");
    assert_eq!(wrapped[2]["data_base64"], "AP8=");
    assert_eq!(wrapped[3]["datacontenttype"], "application/xml");
    assert!(wrapped.iter().all(|event| event["source"] == "shop"));
}

#[test]
fn a_bulk_that_cannot_be_read_is_refused_as_a_whole() {
    let good = r#"{"entryId":"1","event":1,"contentType":"application/json"}"#;
    for bad in [
        good,
        r#"{"event":1,"contentType":"application/json"}"#,
        r#"{"entryId":"","event":1,"contentType":"application/json"}"#,
        r#"{"entryId":2,"event":1,"contentType":"application/json"}"#,
        r#"{"entryId":"2","event":1,"contentType":"text/plain"}"#,
        r#"{"entryId":"2","event":"%","contentType":"application/octet-stream"}"#,
        r#"{"entryId":"2","event":1}"#,
        r#"{"entryId":"2","event":1,"contentType":"application/json","metadata":{"a":1}}"#,
        r#"{"entryId":"2","event":,"contentType":"application/json"}"#,
        "1",
    ] {
        let refusal = read("", &format!("[{good},{bad}]")).expect_err(bad);
        assert_eq!(refusal.code.0, "ERR_PUBSUB_EVENTS_SER", "{bad}");
        assert_eq!(refusal.response().status(), 400, "{bad}");
    }
    for bad in ["", "{}", "null", "[", "[] []"] {
        assert!(read("", bad).is_err(), "{bad}");
    }
    assert!(read("", "[]").expect("no event").records.is_empty());
    let no_event = r#"[{"entryId":"2","event":[],"contentType":"application/cloudevents+json"}]"#;
    assert_eq!(
        read("", no_event).expect_err("no event").code.0,
        "ERR_PUBSUB_CLOUD_EVENTS_SER"
    );
}

#[test]
fn an_event_that_cannot_be_a_record_keeps_its_place() {
    let body = r#"[
        {"entryId":"1","event":1,"contentType":"application/json","metadata":{"partitionNumber":"x"}},
        {"entryId":"2","event":2,"contentType":"application/json"}
    ]"#;
    let entries = read("", body).expect("a bulk");
    let is_record: Vec<_> = entries.records.iter().map(Result::is_ok).collect();
    assert_eq!(is_record, [false, true]);
}

#[test]
fn a_bulk_takes_no_more_records_and_no_more_memory_than_it_may() {
    let entry = |id: usize| format!(r#"{{"entryId":"{id}","event":0,"contentType":"application/json"}}"#);
    let entries: Vec<_> = (0..100).map(entry).collect();
    let body = format!("[{}]", entries.join(","));
    let limits = Limits {
        max_records: 99,
        ..Limits::default()
    };
    let (refused, _) = read_within("", &body, &limits, usize::MAX);
    assert_eq!(refused.expect_err("too many").response().status(), 413);
    let (taken, used) = read_within("", &body, &Limits::default(), usize::MAX);
    assert_eq!(taken.expect("a bulk").records.len(), 100);
    let (refused, over) = read_within("", &body, &Limits::default(), used / 2);
    assert_eq!(refused.expect_err("too much").response().status(), 413);
    assert!(over < used, "it stopped where there was no more memory");
}

proptest! {
    #[test]
    fn no_body_panics(
        body in "\\[?(\\{(\"(entryId|event|contentType|metadata|x)\":(\"[a-z/=%]{0,3}\"|\"text/plain\"|\\{\"a\":\"b\"\\}|null|1),?){0,5}\\},?){0,3}\\]?",
    ) {
        let _ = read("", &body);
    }

    #[test]
    fn what_is_read_keeps_the_order_of_its_ids(count in 0..40_usize, bad in any::<u64>()) {
        let entry = |id: usize| {
            let partition = if (bad >> id) & 1 == 1 { "x" } else { "1" };
            format!(r#"{{"entryId":"{id}","event":"{id}","contentType":"text/plain","metadata":{{"partitionNumber":"{partition}"}}}}"#)
        };
        let entries: Vec<_> = (0..count).map(entry).collect();
        let read = read("metadata.rawPayload=1", &format!("[{}]", entries.join(","))).expect("a bulk");
        prop_assert_eq!(read.records.len(), count);
        for (index, (record, id)) in read.records.iter().zip(&read.ids).enumerate() {
            let number = index.to_string();
            prop_assert_eq!(id, &number);
            prop_assert_eq!(record.is_err(), (bad >> index) & 1 == 1);
            if let Ok(record) = record {
                prop_assert_eq!(record.value.as_deref(), Some(number.as_bytes()));
            }
        }
    }
}
