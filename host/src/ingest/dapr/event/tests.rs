//! What becomes of one event.

use std::sync::LazyLock;

use proptest::{collection::vec, prelude::*};
use serde_json::Value;

use super::*;
use crate::{config::Limits, ingest::parse::Memory};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn publication(query: &str) -> Publication<'static> {
    let metadata = Metadata::of_query(Some(query)).expect("a query");
    Publication {
        pubsub: "kafka".to_owned(),
        topic: "orders".into(),
        app: None,
        trace: TraceContext::of(Some(PARENT), Some("a=b")),
        is_raw: metadata.is_raw().expect("a boolean"),
        metadata,
        now: Now {
            ms: 1_787_343_129_500,
            text: rfc3339(1_787_343_129_500),
        },
        ids: RandomState::new(),
    }
}

fn event(data: &[u8], content_type: &'static str) -> Event<'static> {
    static NONE: LazyLock<Metadata<'static>> = LazyLock::new(Metadata::default);
    Event {
        index: 0,
        data: Bytes::copy_from_slice(data),
        content_type,
        metadata: &NONE,
    }
}

fn made(publication: &Publication<'_>, event: &Event<'_>) -> Result<Parsed, Refusal> {
    let limits = Limits::default();
    let context = Context {
        topic: None,
        limits: &limits,
        memory: Memory::unbounded(),
    };
    let made = publication.record(event, &context);
    if let Ok(Ok(record)) = &made {
        let bytes = record
            .value
            .as_ref()
            .filter(|_| !publication.is_raw)
            .map_or(0, Bytes::len);
        let names: usize = record.headers.iter().map(|header| header.name.len()).sum();
        assert!(context.memory.used() >= bytes + names, "memory that is not counted");
    }
    made
}

fn record(query: &str, data: &[u8], content_type: &'static str) -> Record {
    let made = made(&publication(query), &event(data, content_type));
    made.expect("a request").expect("a record")
}

fn json(record: &Record) -> Value {
    serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON")
}

fn header<'r>(record: &'r Record, name: &str) -> Option<&'r [u8]> {
    let header = record.headers.iter().find(|header| &*header.name == name)?;
    header.value.as_deref()
}

#[test]
fn an_envelope_says_where_its_event_comes_from_and_when_it_ends() {
    let told = json(&record("metadata.ttlInSeconds=60", b"{\"a\":1}", "application/json"));
    assert_eq!(told["data"]["a"], 1);
    assert_eq!(told["source"], "Dapr");
    assert_eq!(told["type"], "com.dapr.event.sent");
    assert_eq!(told["time"], "2026-08-21T20:12:09Z");
    assert_eq!(told["expiration"], "2026-08-21T20:13:09Z");
    assert_eq!(told["traceid"], PARENT);
    assert_eq!(told["traceparent"], PARENT);
    assert_eq!(told["tracestate"], "a=b");
    let id = told["id"].as_str().expect("an id");
    assert_eq!((id.len(), &id[14..15]), (36, "4"), "{id}");
    assert!("89ab".contains(&id[19..20]), "{id}");
}

#[test]
fn an_application_may_say_otherwise_of_the_envelope_and_of_nothing_else() {
    let query = "metadata.cloudevent.id=1&metadata.cloudevent.type=order&metadata.cloudevent.source=shop\
        &metadata.cloudevent.subject=s&metadata.cloudevent.traceid=t&metadata.cloudevent.tracestate=u\
        &metadata.cloudevent.topic=other&metadata.cloudevent.pubsubname=other";
    let told = json(&record(query, b"x", ""));
    for (name, value) in [
        ("id", "1"),
        ("type", "order"),
        ("source", "shop"),
        ("subject", "s"),
        ("traceid", "t"),
        ("traceparent", "t"),
        ("tracestate", "u"),
        ("topic", "orders"),
        ("pubsubname", "kafka"),
        ("datacontenttype", "text/plain"),
        ("data", "x"),
    ] {
        assert_eq!(told[name], value, "{name}");
    }
}

#[test]
fn an_own_cloud_event_is_not_wrapped_again() {
    let own = b"{\"id\":\"7\",\"source\":\"shop\",\"data\":{\"a\":1}}";
    let told = json(&record(
        "metadata.cloudevent.id=8&metadata.ttl=1m",
        own,
        "application/cloudevents+json; charset=utf-8",
    ));
    assert_eq!(
        (told["id"].as_str(), told["source"].as_str()),
        (Some("7"), Some("shop"))
    );
    assert_eq!(told["data"]["a"], 1);
    assert_eq!(told["expiration"], "2026-08-21T20:13:09Z");
    assert_eq!(told["traceparent"], PARENT);
    let broken = made(&publication(""), &event(b"[]", "application/cloudevents+json"));
    assert_eq!(broken.expect_err("not an event").code.0, "ERR_PUBSUB_CLOUD_EVENTS_SER");
}

#[test]
fn raw_bytes_stay_as_they_are_and_null_is_a_tombstone() {
    for data in [&b"\xff\0"[..], b"", b" null", b"{}"] {
        let record = record("metadata.rawPayload=true", data, "application/json");
        assert_eq!(record.value.as_deref(), Some(data));
    }
    assert_eq!(record("metadata.rawPayload=true", b"null", "").value, None);
    assert!(record("", b"null", "application/json").value.is_some());
}

#[test]
fn metadata_names_the_key_and_the_partition_and_all_of_it_becomes_headers() {
    let record_of = |query| record(query, b"x", "");
    let record = record_of("metadata.partitionKey=k&metadata.partitionNumber=2&metadata.own=%C3%A4&other=1");
    assert_eq!(record.key.as_deref(), Some(&b"k"[..]));
    assert_eq!(record.partition, Some(2));
    assert_eq!(header(&record, "own"), Some("ä".as_bytes()));
    assert_eq!(header(&record, "partitionKey"), Some(&b"k"[..]));
    assert_eq!(record.headers.len(), 3);
    assert_eq!(record_of("metadata.__key=k").key.as_deref(), Some(&b"k"[..]));
    assert_eq!(record_of("").key, None);
}

#[test]
fn an_event_that_cannot_be_a_record_costs_no_other_one() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let given = format!("{{\"data\":{deep}}}");
    for (query, data, content_type) in [
        ("metadata.partitionNumber=-1", "x", ""),
        ("metadata.partitionNumber=%2B1", "x", ""),
        ("metadata.partitionNumber=2147483648", "x", ""),
        ("metadata.a%00=1", "x", ""),
        ("", &deep, "application/json"),
        ("", &given, "application/cloudevents+json"),
    ] {
        let event = Event {
            data: Bytes::copy_from_slice(data.as_bytes()),
            ..event(b"", content_type)
        };
        let made = made(&publication(query), &event).expect("a request");
        assert_eq!(
            made.expect_err("no record").code,
            Code::MalformedRecord,
            "{query} {content_type}"
        );
    }
}

#[test]
fn what_is_no_trace_parent_is_not_passed_on() {
    assert_eq!(TraceContext::of(Some(PARENT), None).parent, PARENT);
    assert_eq!(TraceContext::of(Some(PARENT), Some("a=b")).state, "a=b");
    for other in [
        "",
        "00",
        "x",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
    ] {
        assert_eq!(
            TraceContext::of(Some(other), Some("a=b")),
            TraceContext::default(),
            "{other}"
        );
    }
    let later = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x";
    assert_eq!(TraceContext::of(Some(later), None).parent, later);
}

#[test]
fn no_two_events_have_one_id() {
    let publications = [publication(""), publication("")];
    let ids: std::collections::HashSet<_> = (0..1_000)
        .flat_map(|index| publications.iter().map(move |publication| publication.id(index)))
        .collect();
    assert_eq!(ids.len(), 2_000);
}

proptest! {
    #[test]
    fn nothing_that_is_sent_panics(
        data in vec(any::<u8>(), 0..200),
        query in "(metadata\\.(rawPayload=true|ttl=[0-9a-z]{0,4}|partitionNumber=[0-9]{0,11}|cloudevent\\.id=x|a=b)&){0,5}",
        content_type in 0..5_usize,
    ) {
        let content_types = ["", "application/json", "text/x", "application/octet-stream", "application/cloudevents+json"];
        let publication = publication(&query);
        if let Ok(Ok(record)) = made(&publication, &event(&data, content_types[content_type]))
            && !publication.is_raw {
            prop_assert_eq!(&json(&record)["topic"], "orders");
        }
    }
}
