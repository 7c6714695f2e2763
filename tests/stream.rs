//! A stream: records go in and outcomes come out at the same time, in order, within bounds, and with a last line
//! whatever happens.

mod frames;

use std::time::Duration;

use serde_json::json;

use crate::support::{
    consumer::read,
    sidecar::{Builder, eventually},
    stream::Stream,
};

#[test]
fn an_outcome_comes_while_the_client_is_still_sending() {
    let sidecar = Builder::embedded().start();
    let mut stream = Stream::open(sidecar.http, "t");
    for index in 0..5 {
        stream.send(&format!("{{\"key\":\"k\",\"value\":{index}}}\n"));
        let line = stream.line();
        assert_eq!(
            (
                line["index"].as_u64(),
                line["outcome"].as_str(),
                line["generation"].as_u64()
            ),
            (Some(index), Some("acked"), Some(1)),
            "{line}"
        );
        assert_eq!(line["offset"], index);
    }
    // The last line needs no line break, and blank lines are skipped.
    stream.send("\n\n{\"key\":\"k\",\"value\":5}");
    stream.finish();
    let (lines, end) = stream.rest();
    assert_eq!(lines[0]["index"], 5);
    assert_eq!(end, json!({"end": "complete", "count": 6}));
}

#[test]
fn the_records_of_a_stream_keep_their_order_far_beyond_its_window() {
    let sidecar = Builder::embedded().route("*", "key-hash", "").start();
    let count = 20_000;
    let mut stream = Stream::open(sidecar.http, "t");
    let mut writer = stream.writer();
    let told = std::thread::scope(|scope| {
        scope.spawn(move || {
            for piece in (0..count).collect::<Vec<u64>>().chunks(37) {
                let lines: String = piece
                    .iter()
                    .map(|number| format!("{{\"key\":\"{}\",\"value\":{number}}}\n", number % 11))
                    .collect();
                // Cuts the text in the middle of a line.
                let (first, second) = lines.split_at(lines.len() / 2);
                writer.send(first);
                writer.send(second);
            }
            writer.finish();
        });
        let (lines, end) = stream.rest();
        assert_eq!(end, json!({"end": "complete", "count": count}));
        lines
    });
    for (index, line) in told.iter().enumerate() {
        assert_eq!(
            (line["index"].as_u64(), line["outcome"].as_str()),
            (Some(index as u64), Some("acked")),
            "{line}"
        );
    }
    let mut last = [None; 4];
    for record in read(sidecar.embedded.as_deref().unwrap(), "t", count as usize) {
        let number: u64 = record.text().parse().unwrap();
        let before = last[record.partition as usize].replace(number);
        assert!(before < Some(number), "{number} stands after {before:?}");
    }
}

#[test]
fn a_line_that_cannot_be_read_is_refused_by_itself() {
    let sidecar = Builder::embedded().start();
    let mut stream = Stream::open(sidecar.http, "t");
    stream.send("{\"value\":1}\nno JSON\n{\"valeu\":1}\n{\"value\":2,\"partition\":9}\n{\"value\":3}\n");
    stream.finish();
    let (lines, end) = stream.rest();
    let outcomes: Vec<&str> = lines.iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["acked", "rejected", "rejected", "rejected", "acked"]);
    assert_eq!(lines[2]["error"]["code"], "malformed_record");
    assert_eq!(
        (end["end"].as_str(), end["count"].as_u64()),
        (Some("complete"), Some(5))
    );
}

#[test]
fn a_client_that_does_not_read_is_not_read_either_and_is_told_at_the_end() {
    let sidecar = Builder::embedded().start();
    let mut stream = Stream::open(sidecar.http, "t");
    let lines = "{\"value\":1}\n".repeat(500);
    // Far more than the window and the buffers of two sockets hold.
    let mut sent = 0;
    while stream.try_send(&lines, Duration::from_secs(2)) {
        sent += 500;
        assert!(sent < 10_000_000, "nothing holds it up");
    }
    let buffered = sidecar.metric("pointsman_buffered_bytes");
    assert!(
        buffered < 4e6,
        "{buffered} bytes are held for a client that does not read"
    );
    eventually("others are served", || {
        sidecar.tcp().json("/v1/topics/t/records", r#"{"value":1}"#).status == 200
    });
    eventually("it was given up", || sidecar.metric("pointsman_streams") == 0.0);
    let (told, end) = stream.rest();
    assert_eq!(
        (end["end"].as_str(), end["count"].as_u64()),
        (Some("client_not_reading"), Some(told.len() as u64))
    );
    assert!(told.iter().all(|line| line["outcome"] == "acked"));
}

#[test]
fn a_drain_ends_a_stream_with_the_outcomes_of_all_that_was_taken() {
    let mut sidecar = Builder::embedded().start();
    let mut stream = Stream::open(sidecar.http, "t");
    stream.send("{\"value\":1}\n{\"value\":2}\n");
    assert_eq!(stream.line()["outcome"], "acked");
    sidecar.terminate();
    let (lines, end) = stream.rest();
    assert_eq!((lines.len(), end), (1, json!({"end": "drain", "count": 2})));
    assert_eq!(sidecar.ended().code(), Some(0), "{}", sidecar.log_text());
}

#[test]
fn a_stream_on_which_nothing_comes_does_not_stay_for_ever() {
    let sidecar = Builder::embedded().config("[limits]\nidle_timeout_ms = 300").start();
    let mut stream = Stream::open(sidecar.http, "t");
    stream.send("{\"value\":1}\n{\"val");
    let (lines, end) = stream.rest();
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (end["end"].as_str(), end["error"]["code"].as_str()),
        (Some("error"), Some("stream_idle")),
        "{end}"
    );
}

#[test]
fn what_was_taken_of_a_stream_is_sent_although_the_client_goes_away() {
    let sidecar = Builder::embedded().start();
    let mut stream = Stream::open(sidecar.http, "t");
    stream.send(&"{\"key\":\"k\",\"value\":1}\n".repeat(100));
    assert_eq!(stream.line()["outcome"], "acked");
    drop(stream);
    assert_eq!(read(sidecar.embedded.as_deref().unwrap(), "t", 100).len(), 100);
    eventually("nothing is left of it", || {
        sidecar.metric("pointsman_streams") == 0.0 && sidecar.metric("pointsman_buffered_bytes") == 0.0
    });
}

#[test]
fn what_is_no_stream_is_refused_before_it_begins() {
    let sidecar = Builder::embedded().config("[[route]]\ntopics = [\"t\"]").start();
    let post = |path: &str, kind: &str, more: &[(&str, &str)]| {
        let headers = [&[("content-type", kind)], more].concat();
        let reply = sidecar.tcp().post(path, &headers, b"{\"value\":1}\n");
        (reply.status, reply.problem())
    };
    let ndjson = "application/x-ndjson";
    for (path, kind, expected) in [
        (
            "/v1/topics/t/stream",
            "application/json",
            (415, "unsupported_content_type"),
        ),
        ("/v1/topics/t/stream?ack=none", ndjson, (400, "bad_query")),
        ("/v1/topics/other/stream", ndjson, (404, "no_route")),
        ("/v1/topics/a%20b/stream", ndjson, (400, "invalid_topic")),
    ] {
        let (status, code) = post(path, kind, &[]);
        assert_eq!((status, &*code), expected, "{path} {kind}");
    }
    let numbered = post(
        "/v1/topics/t/stream",
        ndjson,
        &[("pointsman-client", "c"), ("pointsman-sequence", "1")],
    );
    assert_eq!(numbered, (400, "bad_header".to_owned()));
    let mut http = sidecar.tcp();
    assert_eq!(http.get("/v1/topics/t/stream").status, 405);
}

#[test]
fn a_small_limit_on_the_records_of_a_request_takes_no_record_from_a_stream() {
    for max_records in [1, 2, 499] {
        let sidecar = Builder::embedded()
            .config(&format!("[limits]\nmax_records = {max_records}"))
            .start();
        let mut stream = Stream::open(sidecar.http, "t");
        let lines: String = (0..1_200).map(|number| format!("{{\"value\":{number}}}\n\n")).collect();
        stream.send(&lines);
        stream.finish();
        for index in 0..1_200 {
            let line = stream.line();
            assert_eq!(
                (&line["index"], &line["outcome"]),
                (&index.into(), &"acked".into()),
                "{line}"
            );
        }
        let end = stream.line();
        assert_eq!(
            (&end["count"], &end["end"]),
            (&1_200.into(), &"complete".into()),
            "{end}"
        );
    }
}
