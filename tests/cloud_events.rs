//! CloudEvents over both sockets, in the three modes of their HTTP binding, as they stand in Kafka afterwards.

mod clients;

use pointsman_routing::murmur2::partition_for_key;

use crate::support::{
    consumer::{Read, read},
    http::Reply,
    sidecar::{Builder, Sidecar},
};

const PATH: &str = "/v1/topics/t/records";
const JSON: (&str, &str) = ("content-type", "application/cloudevents+json; charset=UTF-8");
const BATCH: (&str, &str) = ("content-type", "application/cloudevents-batch+json");
/// The attributes that every event has.
const EVENT: [(&str, &str); 4] = [
    ("ce-specversion", "1.0"),
    ("ce-id", "1"),
    ("ce-source", "/shop"),
    ("ce-type", "order.placed"),
];
/// Partitions of a topic of the embedded broker.
const PARTITIONS: u32 = 4;

fn read_back(sidecar: &Sidecar, topic: &str, expected: usize) -> Vec<Read> {
    read(sidecar.embedded.as_deref().expect("embedded"), topic, expected)
}

/// The headers in the order of their names, since HTTP does not promise an order.
fn headers(record: &Read) -> Vec<(&str, &str)> {
    let mut headers: Vec<_> = record
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), str::from_utf8(value.as_deref().unwrap()).unwrap()))
        .collect();
    headers.sort_unstable();
    headers
}

/// An event as JSON, with these members more.
fn event(id: usize, more: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"{id}","source":"/shop","type":"order.placed"{more}}}"#)
}

fn message(reply: &Reply, record: usize) -> String {
    let error = &reply.json()["records"][record]["error"];
    error["message"]
        .as_str()
        .unwrap_or_else(|| panic!("{}", reply.text()))
        .to_owned()
}

#[test]
fn an_event_in_headers_becomes_what_kafkas_binding_says() {
    let sidecar = Builder::embedded().start();
    for (topic, mut http) in [("tcp", sidecar.tcp()), ("unix", sidecar.unix())] {
        let path = format!("/v1/topics/{topic}/records");
        let more = [
            ("Ce-Subject", "Euro%20%E2%82%AC"),
            ("ce-time", "2018-04-05T17:31:00Z"),
            ("ce-partitionkey", "customer-7"),
            ("Content-Type", "application/json; charset=utf-8"),
        ];
        let reply = http.post(&path, &[&EVENT[..], &more].concat(), b"{ \"total\" : 12.50 }");
        assert_eq!(reply.status, 200, "{}", reply.text());
        let partition = partition_for_key(b"customer-7", PARTITIONS);
        assert_eq!(reply.partitions(), [u64::from(partition)]);
        let found = read_back(&sidecar, topic, 1);
        let record = &found[0];
        assert_eq!(record.partition as u32, partition);
        assert_eq!(record.key.as_deref(), Some(&b"customer-7"[..]));
        assert_eq!(record.text(), "{ \"total\" : 12.50 }");
        assert_eq!(
            headers(record),
            [
                ("ce_id", "1"),
                ("ce_partitionkey", "customer-7"),
                ("ce_source", "/shop"),
                ("ce_specversion", "1.0"),
                ("ce_subject", "Euro €"),
                ("ce_time", "2018-04-05T17:31:00Z"),
                ("ce_type", "order.placed"),
                ("content-type", "application/json; charset=utf-8"),
            ]
        );
    }
}

#[test]
fn an_event_without_data_has_no_value_and_one_without_partitionkey_no_key() {
    let sidecar = Builder::embedded().start();
    let reply = sidecar.unix().post(PATH, &EVENT, b"");
    assert_eq!(reply.outcomes(), ["acked"], "{}", reply.text());
    let found = read_back(&sidecar, "t", 1);
    assert_eq!((&found[0].key, &found[0].value), (&None, &None));
    assert_eq!(found[0].headers.len(), 4, "no content-type");
}

#[test]
fn the_data_of_an_event_is_never_taken_for_records_of_another_format() {
    let sidecar = Builder::embedded().start();
    let ndjson = "{\"key\":\"a\"}\n{\"key\":\"b\"}\n";
    for content_type in [
        "application/x-ndjson",
        "application/vnd.pointsman.records",
        "application/json",
        "application/octet-stream",
        "text/plain",
    ] {
        let headers = [&EVENT[..], &[("content-type", content_type)]].concat();
        let reply = sidecar.tcp().post(PATH, &headers, ndjson.as_bytes());
        assert_eq!(reply.outcomes(), ["acked"], "{content_type}: {}", reply.text());
    }
    for record in read_back(&sidecar, "t", 5) {
        assert_eq!((record.text(), &record.key), (ndjson, &None));
    }
    // A request with one of an event's headers lacks the others, and is not something else.
    let headers = [("ce-type", "x"), ("content-type", "application/x-ndjson")];
    let reply = sidecar.tcp().post(PATH, &headers, ndjson.as_bytes());
    assert_eq!(reply.outcomes(), ["rejected malformed_record"]);
    assert_eq!(
        (reply.status, message(&reply, 0).as_str()),
        (422, "the event has no id")
    );
}

#[test]
fn the_headers_of_a_request_place_its_one_event() {
    let sidecar = Builder::embedded().start();
    let place = [
        ("Pointsman-Key", "own"),
        ("Pointsman-Partition", "2"),
        ("ce-partitionkey", "p"),
    ];
    let binary = sidecar.unix().post(PATH, &[&EVENT[..], &place].concat(), b"x");
    let json = event(1, r#","partitionkey":"p""#);
    let structured = sidecar
        .unix()
        .post(PATH, &[&[JSON][..], &place[..2]].concat(), json.as_bytes());
    for reply in [&binary, &structured] {
        assert_eq!(reply.partitions(), [2], "{}", reply.text());
    }
    for record in read_back(&sidecar, "t", 2) {
        assert_eq!(record.key.as_deref(), Some(&b"own"[..]));
    }
    let batch = sidecar
        .unix()
        .post(PATH, &[BATCH, place[0]], format!("[{json}]").as_bytes());
    assert_eq!((batch.status, batch.problem().as_str()), (400, "bad_header"));
}

#[test]
fn an_event_in_json_is_the_value_byte_for_byte() {
    let sidecar = Builder::embedded().start();
    let body = format!(
        " {}\n",
        event(1, r#", "data" : [1.50,null] , "partitionkey":"customer-7""#)
    );
    let reply = sidecar.tcp().post(PATH, &[JSON], body.as_bytes());
    assert_eq!(
        reply.partitions(),
        [u64::from(partition_for_key(b"customer-7", PARTITIONS))]
    );
    let found = read_back(&sidecar, "t", 1);
    assert_eq!(
        (found[0].text(), found[0].key.as_deref()),
        (body.as_str(), Some(&b"customer-7"[..]))
    );
    assert_eq!(headers(&found[0]), [JSON]);
}

#[test]
fn a_batch_keeps_its_order_and_a_bad_event_in_it_stops_no_other() {
    let sidecar = Builder::embedded().start();
    let events: Vec<String> = (0..100)
        .map(|id| match id {
            7 => event(id, r#","time":"soon""#),
            50 => "{}".to_owned(),
            _ => event(id, r#","partitionkey":"one""#),
        })
        .collect();
    let reply = sidecar
        .unix()
        .post(PATH, &[BATCH], format!("[{}]", events.join(", ")).as_bytes());
    assert_eq!(reply.status, 207, "{}", reply.text());
    let bad: Vec<usize> = (0..100).filter(|place| reply.outcomes()[*place] != "acked").collect();
    assert_eq!(bad, [7, 50]);
    assert!(message(&reply, 7).contains("\"soon\""), "{}", reply.text());
    let found = read_back(&sidecar, "t", 98);
    let good: Vec<&str> = (0..100)
        .filter(|place| !bad.contains(place))
        .map(|place| events[place].as_str())
        .collect();
    assert_eq!(found.iter().map(Read::text).collect::<Vec<_>>(), good);
    for record in &found {
        assert_eq!(headers(record), [("content-type", "application/cloudevents+json")]);
    }
}

#[test]
fn a_plugin_decides_by_an_events_attribute() {
    let sidecar = Builder::embedded()
        .route("t", "header", "config = { name = \"ce_subject\" }")
        .start();
    for subject in ["a", "b", "Euro%20%E2%82%AC"] {
        let headers = [&EVENT[..], &[("ce-subject", subject), ("pointsman-trace", "1")]].concat();
        let reply = sidecar.unix().post(PATH, &headers, b"x");
        let text = subject.replace("%20", " ").replace("%E2%82%AC", "€");
        let partition = partition_for_key(text.as_bytes(), PARTITIONS);
        assert_eq!(reply.partitions(), [u64::from(partition)], "{}", reply.text());
        assert_eq!(reply.json()["records"][0]["plugin"]["name"], "header");
    }
}

#[test]
fn a_repeated_request_with_a_number_writes_no_event_twice() {
    let sidecar = Builder::embedded().start();
    let numbered = [("pointsman-client", "shop"), ("pointsman-sequence", "1")];
    let headers = [&EVENT[..], &numbered].concat();
    let first = sidecar.unix().post(PATH, &headers, b"x");
    let again = sidecar.unix().post(PATH, &headers, b"x");
    assert_eq!(first.json()["records"], again.json()["records"]);
    let other = [&headers[..], &[("ce-subject", "other")]].concat();
    assert_eq!(sidecar.unix().post(PATH, &other, b"x").status, 409, "another event");
    let unwaited = sidecar.unix().post(&format!("{PATH}?ack=none"), &EVENT, b"y");
    assert_eq!((unwaited.status, unwaited.json()["accepted"].as_u64()), (202, Some(1)));
    assert_eq!(read_back(&sidecar, "t", 2).len(), 2);
}

/// After bad input, the first event is the first of its topic.
fn nothing_was_produced(sidecar: &Sidecar) {
    let control = sidecar.unix().post(PATH, &[JSON], event(1, "").as_bytes());
    assert_eq!(
        control.json()["records"][0]["offset"],
        0,
        "something stood there before"
    );
}

#[test]
fn what_is_no_event_is_refused_and_nothing_of_it_is_produced() {
    let sidecar = Builder::embedded().config("[limits]\nmax_records = 3").start();
    let avro = ("content-type", "application/cloudevents+avro");
    let good = event(1, "");
    let many = format!("[{good},{good},{good},{good}]");
    for (path, headers, body, status, code) in [
        (PATH, vec![avro], "x", 415, "unsupported_content_type"),
        (
            PATH,
            [&EVENT[..], &[avro]].concat(),
            "x",
            415,
            "unsupported_content_type",
        ),
        (
            PATH,
            [&EVENT[..], &[("content-encoding", "gzip")]].concat(),
            "x",
            415,
            "unsupported_content_encoding",
        ),
        (PATH, vec![JSON], "", 400, "empty_body"),
        (PATH, vec![JSON], "{", 400, "invalid_json"),
        (PATH, vec![JSON], &many, 400, "not_an_object"),
        (PATH, vec![BATCH], "[]", 400, "empty_body"),
        (PATH, vec![BATCH], &good, 400, "invalid_json"),
        (
            PATH,
            [&EVENT[..], &[("pointsman-partition", "x")]].concat(),
            "x",
            400,
            "bad_header",
        ),
        ("/v1/records", EVENT.to_vec(), "x", 400, "missing_topic"),
        ("/v1/records", vec![JSON], &good, 400, "missing_topic"),
        ("/v1/records", vec![BATCH], "[]", 400, "missing_topic"),
        (
            "/v1/topics/t/stream",
            vec![JSON],
            &good,
            415,
            "unsupported_content_type",
        ),
        (
            "/v1/topics/t/stream",
            EVENT.to_vec(),
            "x",
            415,
            "unsupported_content_type",
        ),
        // This reply closes its connection.
        (PATH, vec![BATCH], &many, 413, "too_many_records"),
    ] {
        let reply = sidecar.tcp().post(path, &headers, body.as_bytes());
        assert_eq!(
            (reply.status, reply.problem().as_str()),
            (status, code),
            "{headers:?} {body}"
        );
    }
    nothing_was_produced(&sidecar);
}

#[test]
fn an_event_that_breaks_a_rule_is_that_records_own_refusal() {
    let sidecar = Builder::embedded().start();
    for (header, value) in [
        ("ce-id", ""),
        ("ce-specversion", "0.3"),
        ("ce-time", "soon"),
        ("ce-a_b", "x"),
    ] {
        let mut headers = EVENT.to_vec();
        headers.retain(|(name, _)| *name != header);
        headers.push((header, value));
        let reply = sidecar.tcp().post(PATH, &headers, b"x");
        assert_eq!(
            (reply.status, reply.outcomes()),
            (422, vec!["rejected malformed_record".to_owned()]),
            "{header}"
        );
    }
    let reply = sidecar
        .tcp()
        .post(PATH, &[JSON], event(1, r#","data":1,"data_base64":"AA==""#).as_bytes());
    assert_eq!(
        (reply.status, reply.outcomes()),
        (422, vec!["rejected malformed_record".to_owned()])
    );
    nothing_was_produced(&sidecar);
}
