//! The produce calls of Confluent's REST API, version 2, over both sockets, and what stands in Kafka afterwards.

use pointsman_routing::murmur2::partition_for_key;
use serde_json::{Value, json};

use crate::support::{
    consumer::{Read, read},
    http::Reply,
    sidecar::{Builder, Sidecar},
};

const JSON: (&str, &str) = ("content-type", "application/vnd.kafka.json.v2+json; charset=utf-8");
const BINARY: (&str, &str) = ("content-type", "application/vnd.kafka.binary.v2+json");
/// Partitions of a topic of the embedded broker.
const PARTITIONS: u32 = 4;

fn builder() -> Builder {
    Builder::embedded().listen("apis = [\"native\", \"confluent-v2\"]")
}

fn read_back(sidecar: &Sidecar, topic: &str, expected: usize) -> Vec<Read> {
    read(sidecar.embedded.as_deref().expect("embedded"), topic, expected)
}

fn is_v2(reply: &Reply) {
    let content_type = reply.header("content-type");
    assert_eq!(content_type, Some("application/vnd.kafka.v2+json"), "{reply:?}");
}

/// What a call was told of each record. Its records must have been taken.
fn offsets(reply: &Reply) -> Vec<Value> {
    is_v2(reply);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let mut told = reply.json();
    assert_eq!(told["key_schema_id"], Value::Null);
    assert_eq!(told["value_schema_id"], Value::Null);
    match told["offsets"].take() {
        Value::Array(offsets) => offsets,
        other => panic!("no offsets: {other}"),
    }
}

fn acked(partition: u32, offset: u64) -> Value {
    json!({ "partition": partition, "offset": offset, "error_code": null, "error": null })
}

/// The error of a call of which nothing was taken: Confluent's code, and the sidecar's own.
fn refused(reply: &Reply) -> (u64, String) {
    is_v2(reply);
    let error = reply.json();
    let message = error["message"].as_str().unwrap_or_else(|| panic!("{error}"));
    let (own, detail) = message.split_once(": ").unwrap_or_else(|| panic!("{error}"));
    assert!(!detail.is_empty(), "{error}");
    let error_code = error["error_code"].as_u64().unwrap();
    let status = if error_code > 999 { error_code / 100 } else { error_code };
    assert_eq!(u64::from(reply.status), status, "{error}");
    (error_code, own.to_owned())
}

#[test]
fn json_is_written_as_its_text_and_a_key_decides_as_these_bytes() {
    let sidecar = builder().start();
    for (topic, mut http) in [("tcp", sidecar.tcp()), ("unix", sidecar.unix())] {
        let body = br#"{"key_schema_id":null,"records":[
            {"key":"k","value":{ "total" : 12.50 }},
            {"key":"k","value":null},
            {"value":"text","key":"k"},
            {"key":{"id":1},"value":1}]}"#;
        let reply = http.post(&format!("/topics/{topic}?timeout=1"), &[JSON], body);
        let told = offsets(&reply);
        let place = partition_for_key(b"\"k\"", PARTITIONS);
        assert_eq!(told[..3], [acked(place, 0), acked(place, 1), acked(place, 2)]);
        let found = read_back(&sidecar, topic, 4);
        let of_k: Vec<_> = found
            .iter()
            .filter(|record| record.key.as_deref() == Some(b"\"k\""))
            .collect();
        assert_eq!(of_k[0].text(), "{ \"total\" : 12.50 }");
        assert_eq!(of_k[1].value, None, "a tombstone");
        assert_eq!(of_k[2].text(), "\"text\"");
        let other = found
            .iter()
            .find(|record| record.text() == "1")
            .expect("it was written");
        assert_eq!(other.key.as_deref(), Some(&b"{\"id\":1}"[..]));
        assert!(other.headers.is_empty());
    }
}

#[test]
fn binary_is_written_as_the_bytes_that_were_encoded() {
    let sidecar = builder().start();
    let body = br#"{"records":[{"key":"AAEC","value":"\/+8=","partition":1},{"value":null,"partition":1}]}"#;
    let reply = sidecar.tcp().post("/topics/t", &[BINARY], body);
    assert_eq!(offsets(&reply), [acked(1, 0), acked(1, 1)]);
    let found = read_back(&sidecar, "t", 2);
    assert_eq!(found[0].key.as_deref(), Some(&[0, 1, 2][..]));
    assert_eq!(found[0].value.as_deref(), Some(&[0xff, 0xef][..]));
    assert_eq!((&found[1].key, &found[1].value), (&None, &None));
}

#[test]
fn the_paths_partition_is_for_records_that_name_none() {
    let sidecar = builder().start();
    let body = br#"{"records":[{"key":1,"value":1},{"value":2,"partition":0},{"value":3}]}"#;
    let reply = sidecar.unix().post("/topics/t/partitions/3", &[JSON], body);
    assert_eq!(offsets(&reply), [acked(3, 0), acked(0, 0), acked(3, 1)]);
    let reply = sidecar.unix().post("/topics/t/partitions/4", &[JSON], body);
    assert_eq!(refused(&reply), (40402, "partition_out_of_range".to_owned()));
    assert!(reply.text().contains("has 0 to 3"), "{}", reply.text());
}

#[test]
fn a_record_that_is_refused_stands_alone_in_its_place() {
    let sidecar = builder().start();
    let large = format!("\"{}\"", "x".repeat(1_100_000));
    let body = format!(
        r#"{{"records":[{{"value":1,"partition":2}},{{"value":2,"partition":9}},{{"value":{large}}},{{"value":3,"partition":2}}]}}"#
    );
    let reply = sidecar.tcp().post("/topics/t", &[JSON], body.as_bytes());
    let told = offsets(&reply);
    assert_eq!((&told[0], &told[3]), (&acked(2, 0), &acked(2, 1)));
    for (told, code) in [(&told[1], "partition_out_of_range: "), (&told[2], "record_too_large: ")] {
        assert_eq!((&told["partition"], &told["offset"]), (&Value::Null, &Value::Null));
        assert_eq!(told["error_code"], 1);
        assert!(told["error"].as_str().unwrap().starts_with(code), "{told}");
    }
    let found = read_back(&sidecar, "t", 2);
    assert_eq!((found[0].text(), found[1].text()), ("1", "3"));
}

#[test]
fn a_numbered_call_that_is_repeated_is_answered_again_and_written_once() {
    let sidecar = builder().start();
    let number = [
        JSON,
        ("pointsman-client", "script"),
        ("pointsman-sequence", "1"),
        ("pointsman-timeout-ms", "60000"),
    ];
    let body = br#"{"records":[{"key":"a","value":1},{"key":"b","value":2}]}"#;
    let first = sidecar.tcp().post("/topics/t", &number, body);
    let again = sidecar.tcp().post("/topics/t", &number, body);
    assert_eq!(offsets(&first), offsets(&again));
    assert_eq!(read_back(&sidecar, "t", 2).len(), 2);
    let gap = [JSON, ("pointsman-client", "script"), ("pointsman-sequence", "7")];
    let reply = sidecar.tcp().post("/topics/t", &gap, body);
    assert_eq!(refused(&reply).0, 409);
}

#[test]
fn a_call_of_which_nothing_is_taken_says_so_as_confluent_does() {
    let sidecar = builder()
        .config("[limits]\nmax_body_bytes = 1000000\nmax_records = 3\nbody_timeout_ms = 100\n[[route]]\ntopics = [\"t\"]\nplugin = \"key-hash\"")
        .start();
    let one = r#"{"records":[{"value":1}]}"#;
    let (four, large) = (
        format!(r#"{{"records":[{}]}}"#, ["{}"; 4].join(",")),
        "x".repeat(1_000_001),
    );
    let content = |text| [("content-type", text)];
    let avro = content("application/vnd.kafka.avro.v2+json");
    let gzip = [JSON, ("content-encoding", "gzip")];
    let timeout = [JSON, ("pointsman-timeout-ms", "soon")];
    for (path, headers, body, error_code, own) in [
        ("/topics/nowhere", &[JSON][..], one, 40401, "no_route"),
        ("/topics/nowhere/partitions/0", &[JSON], one, 40401, "no_route"),
        ("/topics/a%20b", &[JSON], one, 40002, "invalid_topic"),
        ("/topics/t/partitions/9", &[JSON], one, 40402, "partition_out_of_range"),
        ("/topics/t/partitions/x", &[JSON], one, 404, "not_found"),
        ("/topics", &[JSON], one, 404, "not_found"),
        ("/topics/t", &avro, one, 415, "unsupported_content_type"),
        (
            "/topics/t",
            &content("application/json"),
            one,
            415,
            "unsupported_content_type",
        ),
        ("/topics/t", &[], one, 415, "missing_content_type"),
        ("/topics/t", &gzip, one, 415, "unsupported_content_encoding"),
        ("/topics/t", &timeout, one, 400, "bad_header"),
        (
            "/topics/t",
            &[JSON],
            "{\"records\":[{\"value\":}]}",
            400,
            "invalid_json",
        ),
        ("/topics/t", &[JSON], "{}", 422, "empty_body"),
        ("/topics/t", &[JSON], "", 422, "empty_body"),
        ("/topics/t", &[JSON], "[1]", 422, "invalid_message"),
        (
            "/topics/t",
            &[BINARY],
            "{\"records\":[{},{\"value\":\"?\"}]}",
            422,
            "invalid_message",
        ),
        ("/topics/t", &[JSON], &four, 413, "too_many_records"),
        ("/topics/t", &[JSON], &large, 413, "body_too_large"),
    ] {
        let reply = sidecar.tcp().post(path, headers, body.as_bytes());
        assert_eq!(refused(&reply), (error_code, own.to_owned()), "{path} {headers:?}");
    }
    let mut http = sidecar.tcp();
    http.raw(b"POST /topics/t HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\ncontent-type: application/vnd.kafka.json.v2+json\r\n\r\n{");
    let slow = http.reply().expect("a reply");
    assert_eq!(refused(&slow), (408, "body_timeout".to_owned()));
    let list = sidecar.tcp().get("/topics");
    assert_eq!(refused(&list), (404, "not_found".to_owned()));
    let topic = sidecar.tcp().get("/topics/t");
    assert_eq!(refused(&topic), (405, "method_not_allowed".to_owned()));
    assert_eq!(topic.header("allow"), Some("POST"));
    let reply = sidecar.tcp().post("/topics/t/partitions/0", &[JSON], one.as_bytes());
    assert_eq!(offsets(&reply), [acked(0, 0)], "the first record that was written");
}

#[test]
fn a_call_without_the_token_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "secret").unwrap();
    let sidecar = builder().listen(&format!("token_file = {token:?}")).start();
    let body = br#"{"records":[{"value":1}]}"#;
    let reply = sidecar.tcp().post("/topics/t", &[JSON], body);
    assert_eq!(refused(&reply), (401, "unauthorized".to_owned()));
    assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    let bearer = [JSON, ("authorization", "Bearer secret")];
    assert_eq!(offsets(&sidecar.tcp().post("/topics/t", &bearer, body)).len(), 1);
}

#[test]
fn nobody_finds_these_calls_where_they_were_not_turned_on() {
    let sidecar = Builder::embedded().start();
    for path in ["/topics/t", "/topics/t/partitions/0"] {
        let reply = sidecar.tcp().post(path, &[JSON], br#"{"records":[{"value":1}]}"#);
        assert_eq!(refused(&reply), (404, "not_found".to_owned()), "{path}");
        assert!(reply.text().contains("confluent-v2"), "{}", reply.text());
    }
}
