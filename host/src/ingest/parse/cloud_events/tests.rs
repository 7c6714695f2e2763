mod properties;

use std::sync::Arc;

use hyper::header::{HeaderName, HeaderValue};

use super::*;
use crate::{
    base::record::Record,
    config::Limits,
    ingest::parse::{Format, Memory, wire::MAX_HEADERS},
};

const JSON: &str = "application/cloudevents+json; charset=UTF-8";
const BATCH: &str = "Application/CloudEvents-Batch+JSON; charset=UTF-8";

fn headers(pairs: &[(&str, &[u8])]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        headers.append(name, HeaderValue::from_bytes(value).expect("a value"));
    }
    headers
}

fn parse_within(headers: &HeaderMap, body: &Bytes, limits: &Limits) -> Result<Vec<Parsed>, IngestError> {
    let context = Context {
        topic: Some(Arc::from("t")),
        limits,
        memory: Memory::unbounded(),
    };
    Format::of(headers, true)?.parse(body, headers, &context)
}

fn parse(pairs: &[(&str, &[u8])], body: &[u8]) -> Result<Vec<Parsed>, IngestError> {
    parse_within(&headers(pairs), &Bytes::copy_from_slice(body), &Limits::default())
}

/// The one outcome of a request with an event in JSON.
fn structured(event: &str) -> Parsed {
    let mut parsed = parse(&[("content-type", JSON.as_bytes())], event.as_bytes()).expect("a request");
    assert_eq!(parsed.len(), 1);
    parsed.remove(0)
}

/// The one outcome of a request with an event in headers.
fn binary(more: &[(&str, &[u8])], body: &[u8]) -> Parsed {
    let given = |name| more.iter().any(|(more, _)| *more == name);
    let mut pairs: Vec<(&str, &[u8])> = [
        ("ce-specversion", &b"1.0"[..]),
        ("ce-id", b"1"),
        ("ce-source", b"/s"),
        ("ce-type", b"t"),
    ]
    .into_iter()
    .filter(|(name, _)| !given(*name))
    .collect();
    pairs.extend(more.iter().filter(|(_, value)| *value != b"absent"));
    let mut parsed = parse(&pairs, body).expect("a request");
    assert_eq!(parsed.len(), 1);
    parsed.remove(0)
}

fn text_of<'r>(record: &'r Record, header: &str) -> Option<&'r str> {
    let mut found = record.headers.iter().filter(|found| &*found.name == header);
    let value = found.next()?.value.as_deref()?;
    assert!(found.next().is_none(), "{header} is there twice");
    Some(std::str::from_utf8(value).expect("UTF-8"))
}

#[test]
fn a_header_of_kafka_says_what_the_attribute_says() {
    let record = binary(
        &[
            ("CE-Subject", b"Euro%20%E2%82%AC"),
            ("ce-note", b"\"a \\\"b\\\"\""),
            ("ce-empty", b""),
            ("ce-partitionkey", b"customer%2D7"),
            ("content-type", b"text/plain; charset=\"utf-8\""),
            ("pointsman-partition", b"3"),
            ("cedar", b"no attribute"),
        ],
        b" data ",
    )
    .expect("an event");
    for (header, text) in [
        ("ce_specversion", "1.0"),
        ("ce_id", "1"),
        ("ce_source", "/s"),
        ("ce_type", "t"),
        ("ce_subject", "Euro €"),
        ("ce_note", "a \"b\""),
        ("ce_empty", ""),
        ("ce_partitionkey", "customer-7"),
        ("content-type", "text/plain; charset=\"utf-8\""),
    ] {
        assert_eq!(text_of(&record, header), Some(text), "{header}");
    }
    assert_eq!(record.headers.len(), 9);
    assert_eq!(record.key.as_deref(), Some(&b"customer-7"[..]));
    assert_eq!(record.value.as_deref(), Some(&b" data "[..]));
    assert_eq!((record.partition, record.timestamp), (Some(3), None));
    let keyed = binary(&[("ce-partitionkey", b"a"), ("pointsman-key", b"b")], b"").expect("an event");
    assert_eq!(keyed.key.as_deref(), Some(&b"b"[..]));
    assert_eq!(text_of(&keyed, "ce_partitionkey"), Some("a"));
    let bare = binary(&[], b"").expect("an event");
    assert_eq!((bare.key, bare.value, bare.headers.len()), (None, None, 4));
}

#[test]
fn an_event_in_headers_that_breaks_the_specification_is_refused_and_says_why() {
    for (header, value, says) in [
        ("ce-id", &b""[..], "id is empty"),
        ("ce-id", b"\"\"", "id is empty"),
        ("ce-id", b"absent", "no id"),
        ("ce-source", b"absent", "no source"),
        ("ce-type", b"absent", "no type"),
        ("ce-specversion", b"absent", "no specversion"),
        ("ce-specversion", b"0.3", "specversion is \"0.3\""),
        ("ce-specversion", b"1.0.2", "specversion is \"1.0.2\""),
        ("ce-subject", b"", "subject is empty"),
        ("ce-dataschema", b"", "dataschema is empty"),
        ("ce-partitionkey", b"", "partitionkey is empty"),
        ("ce-time", b"yesterday", "not a time of RFC 3339"),
        ("ce-data", b"x", "name data"),
        ("ce-datacontenttype", b"text/plain", "send Content-Type alone"),
        ("ce-my_name", b"x", "\"my_name\""),
        ("ce-my-name", b"x", "\"my-name\""),
        ("ce-", b"x", "\"\" is not the name"),
        ("ce-x", b"50%", "send the % as %25"),
        ("ce-x", b"\xff", "ce-x is not UTF-8"),
        ("ce-x", b"%00", "the character '\\0'"),
        ("ce-x", b"a\tb", "the character '\\t'"),
        ("ce-x", b"%EF%BF%BF", "the character '\\u{ffff}'"),
        ("content-type", b"text/\xff", "Content-Type is not UTF-8"),
    ] {
        let error = binary(&[(header, value)], b"data").expect_err(says);
        assert_eq!(error.code.as_str(), "malformed_record");
        assert!(error.message.contains(says), "{header}: {}", error.message);
    }
    let twice = binary(&[("ce-x", b"1"), ("ce-x", b"1")], b"").expect_err("twice");
    assert!(twice.message.contains("more than one header ce-x"), "{}", twice.message);
}

#[test]
fn an_event_in_json_is_kept_byte_for_byte() {
    let event = " {\"specversion\" : \"1.0\", \"id\":\"\\u0031\",\"source\":\"/s\",\"\\u0074ype\":\"t\",\n\
         \"partitionkey\":\"kä\",\"subject\":null,\"number\":-2147483648,\"flag\":true,\"empty\":\"\",\
         \"time\":\"2018-04-05T17:31:00Z\",\"data\":{\"partitionkey\":[1.50]}} ";
    let record = structured(event).expect("an event");
    assert_eq!(record.value.as_deref(), Some(event.as_bytes()));
    assert_eq!(record.key.as_deref(), Some("kä".as_bytes()));
    assert_eq!(
        (text_of(&record, "content-type"), record.headers.len()),
        (Some(JSON), 1)
    );
    let escaped = structured(r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","partitionkey":"\u006b"}"#);
    assert_eq!(escaped.expect("an event").key.as_deref(), Some(&b"k"[..]));
}

#[test]
fn an_event_in_json_that_breaks_the_specification_is_refused_and_says_why() {
    let long = "x".repeat(100_000);
    let many: String = (0..=MAX_HEADERS).map(|number| format!(",\"x{number}\":1")).collect();
    for (more, says) in [
        (r#","id":"2""#, "id is there twice"),
        (r#","x":1,"y":2,"x":1"#, "x is there twice"),
        (r#","data":1,"data":1"#, "data is there twice"),
        (r#","data":1,"data_base64":"AA==""#, "both data and data_base64"),
        (r#","data_base64":"_-8=""#, "not base64"),
        (r#","data_base64":1"#, "data_base64 is not a string"),
        (r#","subject":"""#, "subject is empty"),
        (r#","subject":1"#, "subject is not a string"),
        (r#","datacontenttype":"""#, "datacontenttype is empty"),
        (r#","partitionkey":7"#, "partitionkey is not a string"),
        (r#","partitionkey":"""#, "partitionkey is empty"),
        (r#","time":"2018-04-05""#, "not a time of RFC 3339"),
        (r#","Upper":1"#, "\"Upper\" is not the name"),
        (r#","a_b":1"#, "\"a_b\" is not the name"),
        (r#","":1"#, "\"\" is not the name"),
        (r#","x":1.5"#, "x is a number"),
        (r#","x":2147483648"#, "x is a number"),
        (r#","x":{}"#, "an attribute: a string"),
        (r#","x":[[]]"#, "an attribute: a string"),
        (r#","x":"a\u0000""#, "the character '\\0'"),
        (r#","x":"\ud800""#, "hex escape"),
        (&many, "at most 1000 extensions"),
        (&format!(",\"X{long}\":1"), "is not the name"),
        (&format!(",\"time\":\"{long}\""), "not a time"),
    ] {
        let event = format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{more}}}"#);
        let error = structured(&event).expect_err(says);
        assert_eq!(error.code.as_str(), "malformed_record");
        assert!(error.message.contains(says), "{says}: {}", error.message);
        assert!(error.message.len() < 1_000, "{} bytes", error.message.len());
    }
    for (event, says) in [
        (
            r#"{"specversion":"0.3","id":"1","source":"/s","type":"t"}"#,
            "specversion is \"0.3\"",
        ),
        (
            r#"{"specversion":1.0,"id":"1","source":"/s","type":"t"}"#,
            "specversion is not a string",
        ),
        (r#"{"specversion":"1.0","id":null,"source":"/s","type":"t"}"#, "no id"),
        (
            r#"{"specversion":"1.0","id":"","source":"/s","type":"t"}"#,
            "id is empty",
        ),
        ("{}", "no id"),
    ] {
        let error = structured(event).expect_err(says);
        assert!(error.message.contains(says), "{event}: {}", error.message);
    }
    assert!(
        structured(r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":null,"data_base64":"AA=="}"#)
            .is_ok(),
        "null is the same as no member"
    );
}

#[test]
fn an_event_nested_deeper_than_its_consumers_take_is_refused() {
    let limits = Limits {
        json_depth: 4,
        ..Limits::default()
    };
    let parsed = |data: &str| {
        let event = format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{data}}}"#);
        let headers = headers(&[("content-type", JSON.as_bytes())]);
        let parsed = parse_within(&headers, &event.into(), &limits).expect("a request");
        parsed.into_iter().next().expect("one")
    };
    assert!(parsed("[[[1]]]").is_ok());
    let error = parsed("[[[[1]]]]").expect_err("too deep");
    assert!(error.message.contains("limits.json_depth (4)"), "{}", error.message);
}

#[test]
fn a_bad_event_of_a_batch_is_its_own_refusal_and_the_others_keep_their_order() {
    let good =
        |id: u32| format!(r#"{{"specversion":"1.0", "id":"{id}","source":"/s","type":"t","partitionkey":"k{id}"}}"#);
    let body = format!("[ {} , {{}}, 7 ,{}\n]", good(1), good(2));
    let parsed = parse(&[("content-type", BATCH.as_bytes())], body.as_bytes()).expect("a batch");
    assert_eq!(parsed.len(), 4);
    for (place, id) in [(0, 1), (3, 2)] {
        let record = parsed[place].as_ref().expect("an event");
        assert_eq!(record.value.as_deref(), Some(good(id).as_bytes()));
        assert_eq!(record.key.as_deref(), Some(format!("k{id}").as_bytes()));
        let content_type = text_of(record, "content-type");
        assert_eq!(content_type, Some("Application/CloudEvents+JSON; charset=UTF-8"));
    }
    for place in [1, 2] {
        let error = parsed[place].as_ref().expect_err("no event");
        assert_eq!(error.code.as_str(), "malformed_record");
    }
}

/// The status and the code of a request that is not taken.
fn refused(pairs: &[(&str, &[u8])], body: &[u8], limits: &Limits) -> (u16, String) {
    let error = parse_within(&headers(pairs), &Bytes::copy_from_slice(body), limits).expect_err("refused");
    let problem = error.problem();
    (problem.response().status().as_u16(), format!("{error:?}"))
}

#[test]
fn a_request_that_has_no_events_to_tell_apart_is_refused_as_a_whole() {
    let few = Limits {
        max_records: 2,
        ..Limits::default()
    };
    for (content_type, body, status, kind) in [
        (JSON, "", 400, "EmptyBody"),
        (JSON, " \n", 400, "EmptyBody"),
        (JSON, "{", 400, "InvalidJson"),
        (JSON, "{} {}", 400, "InvalidJson"),
        (JSON, "[]", 400, "NotAnObject"),
        (JSON, "null", 400, "NotAnObject"),
        (BATCH, "", 400, "EmptyBody"),
        (BATCH, "[]", 400, "EmptyBody"),
        (BATCH, "{}", 400, "InvalidJson"),
        (BATCH, "[{},", 400, "InvalidJson"),
        (BATCH, "[{}] 1", 400, "InvalidJson"),
        (BATCH, "[1,2,3]", 413, "TooManyRecords"),
        ("application/cloudevents+avro", "x", 415, "UnsupportedContentType"),
        ("application/cloudevents", "{}", 415, "UnsupportedContentType"),
        ("application/cloudevents-batch+avro", "x", 415, "UnsupportedContentType"),
    ] {
        let (found, error) = refused(&[("content-type", content_type.as_bytes())], body.as_bytes(), &few);
        assert_eq!(found, status, "{content_type} {body}: {error}");
        assert!(error.starts_with(kind), "{content_type} {body}: {error}");
    }
    let (_, error) = refused(
        &[("content-type", BATCH.as_bytes()), ("pointsman-key", b"k")],
        b"[{}]",
        &few,
    );
    assert!(error.contains("pointsman-key is for one event"), "{error}");
    let (_, error) = refused(&[("content-type", JSON.as_bytes())], b"{\"a\":\"\xff\"}", &few);
    assert!(error.starts_with("InvalidJson"), "{error}");
}

#[test]
fn what_a_request_has_is_told_by_its_content_type_and_then_by_its_headers() {
    let format = |pairs: &[(&str, &[u8])], is_on| Format::of(&headers(pairs), is_on);
    let id: (&str, &[u8]) = ("ce-id", b"1");
    let ndjson: (&str, &[u8]) = ("content-type", b"application/x-ndjson");
    let json: (&str, &[u8]) = ("content-type", JSON.as_bytes());
    let is = |found: Result<Format, IngestError>, format| assert_eq!(found.expect("a format"), format);
    is(format(&[ndjson], true), Format::Ndjson);
    is(format(&[ndjson, ("ce-other", b"1")], true), Format::Ndjson);
    is(format(&[ndjson, id], true), Format::CloudEvents(Mode::Binary));
    is(format(&[id], true), Format::CloudEvents(Mode::Binary));
    is(format(&[json, id], true), Format::CloudEvents(Mode::Structured));
    is(
        format(&[("content-type", BATCH.as_bytes())], true),
        Format::CloudEvents(Mode::Batch),
    );
    is(format(&[ndjson, id], false), Format::Ndjson);
    for (pairs, status) in [
        (&[id][..], 415),
        (&[json], 404),
        (&[("content-encoding", b"gzip"), id], 415),
    ] {
        let problem = format(pairs, false).expect_err("refused").problem();
        assert_eq!(problem.response().status(), status, "{pairs:?}");
    }
    assert!(format(&[("content-encoding", b"gzip"), id], true).is_err());
}

#[test]
fn an_event_without_a_topic_in_the_path_is_refused_in_each_mode() {
    let limits = Limits::default();
    let context = Context {
        topic: None,
        limits: &limits,
        memory: Memory::unbounded(),
    };
    for mode in [Mode::Binary, Mode::Structured, Mode::Batch] {
        let error = records(mode, &Bytes::from_static(b"{}"), &HeaderMap::new(), &context).expect_err("no topic");
        assert!(matches!(error, IngestError::MissingTopic(_)), "{error:?}");
    }
}

#[test]
fn memory_is_refused_before_it_is_taken() {
    let limits = Limits::default();
    let long = "x".repeat(10_000);
    for (pairs, body) in [
        (vec![("ce-id", long.as_bytes())], String::new()),
        (
            vec![("content-type", BATCH.as_bytes())],
            format!("[{}1]", "1,".repeat(50)),
        ),
        (vec![("content-type", JSON.as_bytes())], "{}".to_owned()),
    ] {
        let context = Context {
            topic: Some(Arc::from("t")),
            limits: &limits,
            memory: Memory::of(100),
        };
        let headers = headers(&pairs);
        let format = Format::of(&headers, true).expect("a format");
        let error = format.parse(&body.into(), &headers, &context).expect_err("no memory");
        assert!(matches!(error, IngestError::TooManyRecords(_)), "{error:?}");
        assert!(context.memory.is_over());
    }
}
