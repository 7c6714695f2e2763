//! Bad input: each gets a clear answer, nothing of it is produced, and the process lives on.

use crate::support::{
    consumer::read,
    http::{Http, Reply},
    sidecar::{Builder, Sidecar},
};

const JSON: (&str, &str) = ("content-type", "application/json");
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const OCTETS: (&str, &str) = ("content-type", "application/octet-stream");
const PATH: &str = "/v1/topics/t/records";

/// Sends bad input with `send`, then proves that the process lives and that only the control record was produced.
fn refused(sidecar: &mut Sidecar, send: impl FnOnce(&mut Http) -> Reply) -> Reply {
    let reply = send(&mut sidecar.tcp());
    assert!(sidecar.is_alive());
    reply
}

/// After all of a test's bad input, the topic holds the control record and nothing else.
fn nothing_was_produced(sidecar: &mut Sidecar) {
    let reply = sidecar.unix().json(PATH, r#"{"value":"control"}"#);
    assert_eq!(reply.outcomes(), ["acked"], "{}", reply.text());
    assert_eq!(reply.json()["records"][0]["offset"], 0, "something stood there before");
    let found = read(sidecar.embedded.as_deref().unwrap(), "t", 1);
    assert_eq!(found[0].text(), r#""control""#);
    let acked = sidecar.metric("pointsman_records_total{outcome=\"acked\",topic=\"t\"}");
    assert_eq!(acked, 1.0);
}

#[test]
fn a_body_that_cannot_be_read_is_a_problem_that_says_where() {
    let mut sidecar = Builder::embedded().start();
    for (body, line, column) in [
        ("{\"value\":", 1, 9),
        ("{\"records\":[\n{\"value\":1},\n{\"value\":tru}]}", 3, 13),
        ("{\"value\":1} x", 1, 13),
        ("nonsense", 1, 2),
        ("{\"value\":\"\x01\"}", 1, 10),
    ] {
        let reply = refused(&mut sidecar, |http| http.json(PATH, body));
        assert_eq!(
            (reply.status, reply.problem().as_str()),
            (400, "invalid_json"),
            "{body}"
        );
        let problem = reply.json();
        assert_eq!(
            (problem["line"].as_u64(), problem["column"].as_u64()),
            (Some(line), Some(column)),
            "{body}"
        );
    }
    for body in ["[1,2]", "\"text\"", "1", "null"] {
        let reply = refused(&mut sidecar, |http| http.json(PATH, body));
        assert_eq!(
            (reply.status, reply.problem().as_str()),
            (400, "not_an_object"),
            "{body}"
        );
    }
    let reply = refused(&mut sidecar, |http| http.post(PATH, &[JSON], b"{\"value\":\"\xff\"}"));
    assert_eq!((reply.status, reply.problem().as_str()), (400, "invalid_json"));
    nothing_was_produced(&mut sidecar);
}

#[test]
fn a_malformed_record_is_its_own_refusal_and_the_others_go_on() {
    let mut sidecar = Builder::embedded().start();
    for (record, says) in [
        ("7", "a record: an object"),
        ("[]", "a record: an object"),
        (r#"[null,"k",null,{"a":1},null,null,null,null]"#, "a record: an object"),
        (r#"{"timestamp":0}"#, "timestamp is 0"),
        (r#"{"value":1,"value_base64":"AA=="}"#, "both value and value_base64"),
        (r#"{"key":"a","key_base64":"AA=="}"#, "both key and key_base64"),
        (r#"{"value_base64":"A"}"#, "value_base64 is not base64"),
        (r#"{"value_base64":"_-8="}"#, "value_base64 is not base64"),
        (r#"{"headers":{"h":{"base64":"*"}}}"#, "header's base64 is not base64"),
        (r#"{"headers":{"h":7}}"#, "a header's value"),
        (r#"{"headers":{"h":{"hex":"00"}}}"#, "unknown field `hex`"),
        (r#"{"headers":[]}"#, "an object of headers"),
        (r#"{"headers":{"a\u0000b":"x"}}"#, "zero byte"),
        (r#"{"valeu":1}"#, "unknown field `valeu`"),
        (r#"{"key":1}"#, "expected a string"),
        (r#"{"partition":-1}"#, "-1"),
        (r#"{"partition":4294967296}"#, "4294967296"),
        (r#"{"partition":0.5}"#, "0.5"),
        (r#"{"partition":4294967296.0}"#, "4294967296.0"),
        (r#"{"partition":-1.0}"#, "-1.0"),
        (r#"{"partition":"0"}"#, "a whole number"),
        (r#"{"timestamp":-5}"#, "-5"),
        (r#"{"timestamp":1e300}"#, "a whole number"),
        (r#"{"timestamp":0.0}"#, "timestamp is 0"),
        (r#"{"timestamp":9223372036854775808}"#, "timestamp is too large"),
        (r#"{"value":1,"value":2}"#, "duplicate field `value`"),
    ] {
        // Each bad record comes in a batch, alone, and on a line of its own.
        for (kind, body, others) in [
            (
                JSON,
                format!(r#"{{"records":[{record},{{"topic":"other","value":1}}]}}"#),
                1,
            ),
            (NDJSON, format!("{{\"topic\":\"other\",\"value\":1}}\n{record}\n"), 1),
        ] {
            let reply = refused(&mut sidecar, |http| http.post("/v1/records", &[kind], body.as_bytes()));
            assert_eq!(reply.status, 207, "{record}: {}", reply.text());
            let outcomes = reply.outcomes();
            let bad = outcomes
                .iter()
                .filter(|outcome| *outcome == "rejected malformed_record")
                .count();
            assert_eq!((bad, outcomes.len()), (1, 1 + others), "{record}: {outcomes:?}");
            assert!(
                reply.text().contains(&says.replace('"', "\\\"")),
                "{record}: {}",
                reply.text()
            );
        }
        if record.starts_with('{') {
            let reply = refused(&mut sidecar, |http| http.json(PATH, record));
            assert_eq!(
                (reply.status, reply.outcomes()),
                (422, vec!["rejected malformed_record".to_owned()])
            );
        }
    }
    nothing_was_produced(&mut sidecar);
}

#[test]
fn an_envelope_that_is_no_batch_is_refused_whole() {
    let mut sidecar = Builder::embedded().start();
    for (body, status, code) in [
        (r#"{"records":[{"value":1}],"more":1}"#, 400, "invalid_json"),
        (r#"{"records":[{"value":1}],"records":[]}"#, 400, "invalid_json"),
        (r#"{"records":7}"#, 400, "invalid_json"),
        (r#"{"records":[]}"#, 400, "empty_body"),
        ("", 400, "empty_body"),
        (" \n", 400, "empty_body"),
    ] {
        let reply = refused(&mut sidecar, |http| http.json(PATH, body));
        assert_eq!((reply.status, reply.problem().as_str()), (status, code), "{body}");
    }
    for kind in [NDJSON, OCTETS] {
        let reply = refused(&mut sidecar, |http| http.post(PATH, &[kind], b""));
        assert_eq!((reply.status, reply.problem().as_str()), (400, "empty_body"));
    }
    let reply = refused(&mut sidecar, |http| http.post("/v1/records", &[OCTETS], b"x"));
    assert_eq!(reply.problem(), "missing_topic");
    for header in ["x", "-1", "+1", "4294967296"].map(|text| ("pointsman-partition", text)) {
        let reply = refused(&mut sidecar, |http| http.post(PATH, &[OCTETS, header], b"x"));
        assert_eq!((reply.status, reply.problem().as_str()), (400, "bad_header"));
    }
    for name in ["pointsman-key", "pointsman-partition"] {
        let reply = refused(&mut sidecar, |http| {
            http.post(PATH, &[OCTETS, (name, "1"), (name, "1")], b"x")
        });
        assert_eq!((reply.status, reply.problem().as_str()), (400, "bad_header"), "{name}");
    }
    nothing_was_produced(&mut sidecar);
}

#[test]
fn what_is_too_large_is_refused_whole_or_by_record() {
    let mut sidecar = Builder::embedded()
        .config("[limits]\nmax_body_bytes = 2000000\nmax_records = 10")
        .start();
    let over = vec![b'x'; 2_000_001];
    let reply = refused(&mut sidecar, |http| http.post(PATH, &[OCTETS], &over));
    assert_eq!((reply.status, reply.problem().as_str()), (413, "body_too_large"));
    let reply = refused(&mut sidecar, |http| {
        http.raw(b"POST /v1/topics/t/records HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\ntransfer-encoding: chunked\r\n\r\n1e8481\r\n");
        http.raw(&over);
        http.raw(b"\r\n0\r\n\r\n");
        http.reply().expect("a reply")
    });
    assert_eq!(
        (reply.status, reply.problem().as_str()),
        (413, "body_too_large"),
        "chunked"
    );

    let eleven = [r#"{"value":1}"#; 11];
    for (kind, body) in [
        (JSON, format!(r#"{{"records":[{}]}}"#, eleven.join(","))),
        (JSON, format!(r#"{{"records":[{},7]}}"#, eleven[1..].join(","))),
        (NDJSON, eleven.join("\n")),
    ] {
        let reply = refused(&mut sidecar, |http| http.post(PATH, &[kind], body.as_bytes()));
        assert_eq!(
            (reply.status, reply.problem().as_str()),
            (413, "too_many_records"),
            "{body}"
        );
    }
    let reply = refused(&mut sidecar, |http| http.post(PATH, &[OCTETS], &vec![b'x'; 1_000_000]));
    assert_eq!(
        (reply.status, reply.outcomes()),
        (422, vec!["rejected record_too_large".to_owned()])
    );
    nothing_was_produced(&mut sidecar);
}

#[test]
fn a_header_block_over_the_limit_is_refused() {
    let mut sidecar = Builder::embedded().config("[limits]\nmax_header_bytes = 4096").start();
    let somewhat = "x".repeat(4_100);
    let reply = refused(&mut sidecar, |http| {
        http.post(PATH, &[OCTETS, ("pointsman-key", &somewhat)], b"x")
    });
    assert_eq!((reply.status, reply.problem().as_str()), (431, "header_too_large"));
    let far = "x".repeat(200_000);
    let reply = refused(&mut sidecar, |http| {
        http.post(PATH, &[OCTETS, ("pointsman-key", &far)], b"x")
    });
    assert_eq!(reply.status, 431);
    nothing_was_produced(&mut sidecar);
}

#[test]
fn an_unknown_kind_of_content_is_refused() {
    let mut sidecar = Builder::embedded().start();
    for (headers, code) in [
        (&[("content-type", "text/plain")][..], "unsupported_content_type"),
        (
            &[("content-type", "application/x-www-form-urlencoded")][..],
            "unsupported_content_type",
        ),
        (&[][..], "missing_content_type"),
        (
            &[JSON, ("content-encoding", "gzip")][..],
            "unsupported_content_encoding",
        ),
    ] {
        let reply = refused(&mut sidecar, |http| http.post(PATH, headers, b"{\"value\":1}"));
        assert_eq!((reply.status, reply.problem().as_str()), (415, code));
    }
    let fine = [("content-type", "Application/JSON; charset=utf-8")];
    let reply = refused(&mut sidecar, |http| {
        http.post("/v1/topics/u/records", &fine, b"{\"value\":1}")
    });
    assert_eq!(reply.status, 200);
    nothing_was_produced(&mut sidecar);
}

#[test]
fn a_topic_that_is_no_topic_is_refused() {
    let mut sidecar = Builder::embedded()
        .config("[[route]]\ntopics = [\"t\", \"a*\", \"..\"]")
        .start();
    let long = "a".repeat(250);
    for topic in ["../../etc/passwd", "..", "a%2fb", "a/b", "%2e%2e", long.as_str(), ""] {
        let path = format!("/v1/topics/{topic}/records");
        let reply = refused(&mut sidecar, |http| http.json(&path, r#"{"value":1}"#));
        assert_eq!(
            (reply.status, reply.problem().as_str()),
            (400, "invalid_topic"),
            "{topic}"
        );
    }
    let reply = refused(&mut sidecar, |http| {
        http.json("/v1/topics/other/records", r#"{"value":1}"#)
    });
    assert_eq!((reply.status, reply.problem().as_str()), (404, "no_route"));
    let body = r#"{"records":[{"topic":"other"},{"topic":"a/../b"},{"topic":""}]}"#;
    let reply = refused(&mut sidecar, |http| http.json("/v1/records", body));
    let invalid = "rejected invalid_topic";
    assert_eq!(reply.outcomes(), ["rejected no_route", invalid, invalid]);
    assert_eq!(reply.status, 422);
    nothing_was_produced(&mut sidecar);
}

#[test]
fn a_wrong_path_method_or_query_is_refused() {
    let mut sidecar = Builder::embedded().start();
    for path in [
        "/",
        "/v1/topics/t",
        "/v1/topics/t/records/",
        "/metrics",
        "/v1/topics/records",
    ] {
        let reply = refused(&mut sidecar, |http| http.json(path, r#"{"value":1}"#));
        assert_eq!((reply.status, reply.problem().as_str()), (404, "not_found"), "{path}");
    }
    let reply = refused(&mut sidecar, |http| http.get(PATH));
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
    let reply = refused(&mut sidecar, |http| {
        http.json("/v1/topics/t/records?ack=maybe", r#"{"value":1}"#)
    });
    assert_eq!((reply.status, reply.problem().as_str()), (400, "bad_query"));
    nothing_was_produced(&mut sidecar);
}

#[test]
fn a_request_that_could_be_read_in_two_ways_is_read_in_one() {
    let mut sidecar = Builder::embedded().start();
    let head = "POST /v1/topics/u/records HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\n";
    let smuggled = "POST /v1/topics/t/records HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\ncontent-length: 8\r\n\r\nsmuggled";

    let mut http = sidecar.tcp();
    http.raw(format!("{head}content-length: 1\r\ncontent-length: 5\r\n\r\nx{smuggled}").as_bytes());
    assert_eq!(http.reply().expect("a reply").status, 400, "two lengths");
    http.closed();

    for lengths in [
        "content-length: 6\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 6\r\n",
    ] {
        let mut http = sidecar.tcp();
        http.raw(format!("{head}{lengths}\r\n1\r\nx\r\n0\r\n\r\n{smuggled}").as_bytes());
        let reply = http.reply().expect("a reply");
        assert_eq!(reply.status, 200, "read as chunked");
        http.closed();
    }
    for odd in [
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "content-length: +1\r\n",
        "content-length: 1x\r\n",
    ] {
        let mut http = sidecar.tcp();
        http.raw(format!("{head}{odd}\r\nx{smuggled}").as_bytes());
        assert_eq!(http.reply().expect("a reply").status, 400, "{odd}");
        http.closed();
    }
    for bare in ["GET\r\n\r\n", "\0\0\0\0\0\0\0\0\r\n\r\n", "POST / HTTP/9.9\r\n\r\n"] {
        let mut http = sidecar.tcp();
        http.raw(bare.as_bytes());
        if let Some(reply) = http.reply() {
            assert_eq!(reply.status, 400, "{bare:?}");
        }
        http.closed();
    }
    assert!(sidecar.is_alive());
    nothing_was_produced(&mut sidecar);
}

#[test]
fn a_body_that_breaks_off_produces_nothing() {
    let mut sidecar = Builder::embedded().start();
    for half in [
        "content-type: application/octet-stream\r\ncontent-length: 100\r\n\r\nhalf",
        "content-type: application/octet-stream\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "content-type: application/octet-stream\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhalf\r\n",
    ] {
        let mut http = sidecar.tcp();
        http.raw(format!("POST {PATH} HTTP/1.1\r\nhost: x\r\n{half}").as_bytes());
        drop(http);
    }
    nothing_was_produced(&mut sidecar);
}

#[test]
fn a_record_with_headers_without_number_is_refused() {
    let mut sidecar = Builder::embedded().start();
    let headers = vec![r#""":"""#; 1_001].join(",");
    let body = format!(r#"{{"headers":{{{headers}}}}}"#);
    let reply = refused(&mut sidecar, |http| http.json(PATH, &body));
    assert_eq!(reply.outcomes(), ["rejected malformed_record"]);
    assert!(reply.text().contains("at most 1000 headers"), "{}", reply.text());
    nothing_was_produced(&mut sidecar);
}

#[test]
fn many_unknown_topics_in_a_request_do_not_hold_it_for_ever() {
    let kafka = crate::support::kafka::Kafka::single();
    let sidecar = Builder::kafka(&kafka.bootstrap())
        .config("[limits]\nmax_wait_ms = 2000")
        .start();
    let records: Vec<String> = (0..200)
        .map(|number| format!(r#"{{"topic":"nowhere-{number}"}}"#))
        .collect();
    let body = format!(r#"{{"records":[{}]}}"#, records.join(","));
    let reply = sidecar.tcp().json("/v1/records", &body);
    assert_eq!((reply.status, reply.problem().as_str()), (503, "kafka_unavailable"));
    // Records of other topics are not held up.
    kafka.create_topic("beside", 1, &[]).unwrap();
    assert_eq!(
        sidecar.tcp().json("/v1/topics/beside/records", r#"{"value":1}"#).status,
        200
    );
}
