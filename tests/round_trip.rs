//! What is sent is what is read back: every content type, both sockets, both protocols, byte for byte and in order.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::support::{
    consumer::{Read, read},
    sidecar::{Builder, Sidecar, eventually},
};

const JSON: (&str, &str) = ("content-type", "application/json");
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const OCTETS: (&str, &str) = ("content-type", "application/octet-stream");

fn embedded() -> Sidecar {
    Builder::embedded().start()
}

fn read_back(sidecar: &Sidecar, topic: &str, expected: usize) -> Vec<Read> {
    read(sidecar.embedded.as_deref().expect("embedded"), topic, expected)
}

#[test]
fn a_record_that_was_acked_stands_where_the_answer_says() {
    let sidecar = embedded();
    let reply = sidecar
        .tcp()
        .json("/v1/topics/orders/records", r#"{"key":"k","value":{"n":1}}"#);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("pointsman-embedded"), Some("true"));
    let answer = reply.json();
    assert_eq!(answer["generation"], 1);
    let acked = &answer["records"][0];
    assert_eq!(acked["outcome"], "acked");
    let found = read_back(&sidecar, "orders", 1).remove(0);
    assert_eq!(acked["partition"], found.partition);
    assert_eq!(acked["offset"], found.offset);
    assert_eq!(acked["timestamp"], found.timestamp.unwrap());
    assert_eq!(found.key.as_deref(), Some(&b"k"[..]));
    assert_eq!(found.text(), r#"{"n":1}"#);
}

#[test]
fn the_text_of_a_json_value_is_not_touched() {
    let sidecar = embedded();
    // The order of keys, blanks, forms of numbers, escapes and repeated keys must all stay as they are.
    let values = [
        r#"{ "b" : 1.0e2,"a":  0.1000, "b":2 }"#,
        r#""quotes stay, \u00e9 too""#,
        "12345678901234567890123",
        "[ 1 ,\t2 ]",
        "true",
        "\"\"",
    ];
    let records: Vec<String> = values
        .iter()
        .map(|value| format!(r#"{{"partition":0,"value":{value}}}"#))
        .collect();
    let body = format!(r#"{{"records":[{}]}}"#, records.join(","));
    let reply = sidecar.unix().json("/v1/topics/t/records", &body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let found = read_back(&sidecar, "t", values.len());
    let found: Vec<&str> = found.iter().map(Read::text).collect();
    assert_eq!(found, values);
}

#[test]
fn every_field_of_a_json_record_arrives() {
    let sidecar = embedded();
    let body = r#"{"records":[
        {"key_base64":"AP8=","value_base64":"gICA","headers":{"a":"text","b":{"base64":"AQI="},"a":"again","n":null},
         "partition":3.0,"timestamp":1.700000000123e12},
        {"key":"","value":null,"partition":3},
        {"partition":3},
        {"key":"esc\u0041ped \u00e9","value":1,"partition":3},
        {"key":null,"value_base64":"","partition":3}
    ]}"#;
    let reply = sidecar.tcp().json("/v1/topics/t/records", body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.partitions(), [3; 5]);
    let found = read_back(&sidecar, "t", 5);
    assert_eq!(found[0].key.as_deref(), Some(&[0, 255][..]));
    assert_eq!(found[0].value.as_deref(), Some(&[128, 128, 128][..]));
    assert_eq!(found[0].timestamp, Some(1_700_000_000_123));
    let headers = [
        ("a", Some(&b"text"[..])),
        ("b", Some(&[1, 2][..])),
        ("a", Some(&b"again"[..])),
        ("n", None),
    ];
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec)))
        .collect();
    assert_eq!(found[0].headers, headers);
    assert_eq!(
        (found[1].key.as_deref(), &found[1].value),
        (Some(&b""[..]), &None),
        "a tombstone with an empty key"
    );
    assert_eq!((&found[2].key, &found[2].value), (&None, &None));
    assert_eq!(found[3].key.as_deref(), Some("escAped é".as_bytes()));
    assert_eq!((&found[4].key, found[4].value.as_deref()), (&None, Some(&b""[..])));
}

#[test]
fn ndjson_and_octets_arrive_as_json_does() {
    let sidecar = embedded();
    let lines = "{\"partition\":0,\"value\":1}\r\n\n  {\"partition\":0,\"value\":2}\n{\"partition\":0,\"value\":3}";
    let reply = sidecar
        .unix()
        .post("/v1/topics/lines/records", &[NDJSON], lines.as_bytes());
    assert_eq!(reply.outcomes(), ["acked", "acked", "acked"]);
    let found = read_back(&sidecar, "lines", 3);
    assert_eq!(found.iter().map(Read::text).collect::<Vec<_>>(), ["1", "2", "3"]);

    let headers = [
        OCTETS,
        ("pointsman-key", "k"),
        ("Pointsman-Partition", "2"),
        ("pointsman-header-trace", "abc"),
    ];
    let body: Vec<u8> = (0..=255).collect();
    let reply = sidecar.tcp().post("/v1/topics/octets/records", &headers, &body);
    assert_eq!(reply.partitions(), [2]);
    let found = read_back(&sidecar, "octets", 1).remove(0);
    assert_eq!(found.value, Some(body));
    assert_eq!(found.key.as_deref(), Some(&b"k"[..]));
    assert_eq!(found.headers, [("trace".to_owned(), Some(b"abc".to_vec()))]);
}

#[test]
fn records_of_one_request_may_go_to_many_topics() {
    let sidecar = embedded();
    let body = r#"{"records":[{"topic":"a","value":1},{"topic":"b","value":2},{"value":3},{"topic":"b","value":4}]}"#;
    let reply = sidecar.tcp().json("/v1/records", body);
    assert_eq!(reply.status, 207);
    assert_eq!(
        reply.outcomes(),
        ["acked", "acked", "rejected malformed_record", "acked"]
    );
    assert_eq!(read_back(&sidecar, "a", 1)[0].text(), "1");
    let mut b: Vec<String> = read_back(&sidecar, "b", 2)
        .iter()
        .map(|read| read.text().to_owned())
        .collect();
    b.sort();
    assert_eq!(b, ["2", "4"]);
    let other = sidecar.tcp().json(
        "/v1/topics/a/records",
        r#"{"records":[{"topic":"a","value":1},{"topic":"b","value":1}]}"#,
    );
    assert_eq!(other.outcomes(), ["acked", "rejected topic_mismatch"]);
}

#[test]
fn records_of_a_request_and_requests_of_a_connection_keep_their_order() {
    let sidecar = Builder::embedded().route("*", "key-hash", "").start();
    let mut connection = sidecar.unix();
    let (requests, each, keys) = (20, 500, 7);
    for request in 0..requests {
        let lines: String = (0..each)
            .map(|index| {
                let number = request * each + index;
                format!("{{\"key\":\"k{}\",\"value\":{number}}}\n", number % keys)
            })
            .collect();
        let reply = connection.post("/v1/topics/t/records", &[NDJSON], lines.as_bytes());
        assert_eq!(reply.status, 200);
    }
    let found = read_back(&sidecar, "t", requests * each);
    let mut last = std::collections::HashMap::new();
    for record in &found {
        let number: i64 = record.text().parse().unwrap();
        let before = last.insert(record.partition, number).unwrap_or(-1);
        assert!(
            before < number,
            "{before} stands before {number} in partition {}",
            record.partition
        );
    }
    assert_eq!(found.len(), requests * each);
}

#[test]
fn fire_and_forget_answers_before_the_brokers_and_still_delivers() {
    // An answer that waited for the broker would come ten seconds later and find the queue empty.
    let sidecar = Builder::embedded()
        .kafka_lines("[kafka.properties]\nlinger.ms = 10000")
        .start();
    let warm = sidecar
        .tcp()
        .json("/v1/topics/t/records?ack=none", r#"{"partition":0,"value":0}"#);
    assert_eq!((warm.status, warm.json()["accepted"].as_u64()), (202, Some(1)));
    let body =
        r#"{"records":[{"partition":0,"value":1},{"partition":99,"value":2},{"partition":0,"value":3},{"x":1}]}"#;
    let reply = sidecar.tcp().json("/v1/topics/t/records?ack=none", body);
    assert_eq!(
        sidecar.metric("pointsman_producer_queue_messages"),
        3.0,
        "it waited for the brokers"
    );
    assert_eq!(reply.status, 202);
    let answer = reply.json();
    assert_eq!(answer["accepted"], 2);
    let refused: Vec<_> = answer["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|refused| &refused["index"])
        .collect();
    assert_eq!(refused, [1, 3]);
    assert_eq!(
        reply.outcomes(),
        ["rejected partition_out_of_range", "rejected malformed_record"]
    );
    let found = read_back(&sidecar, "t", 3);
    assert_eq!(found.iter().map(Read::text).collect::<Vec<_>>(), ["0", "1", "3"]);
    eventually("they are counted", || {
        sidecar.metric("pointsman_unwaited_records_total{outcome=\"acked\"}") == 3.0
    });
    let nothing = sidecar
        .tcp()
        .json("/v1/topics/t/records?ack=none", r#"{"records":[{"x":1}]}"#);
    assert_eq!(nothing.status, 422, "nothing was accepted");
}

#[test]
fn a_large_record_and_a_deep_value_pass_up_to_their_limits() {
    let sidecar = embedded();
    let large = vec![b'x'; 900_000];
    let reply = sidecar.unix().post("/v1/topics/large/records", &[OCTETS], &large);
    assert_eq!(reply.outcomes(), ["acked"]);
    assert_eq!(read_back(&sidecar, "large", 1)[0].value.as_ref(), Some(&large));

    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let lines: String = [128, 129, 100_000]
        .map(|depth| format!("{{\"value\":{}}}\n", nested(depth)))
        .concat();
    let reply = sidecar
        .tcp()
        .post("/v1/topics/deep/records", &[NDJSON], lines.as_bytes());
    assert_eq!(
        reply.outcomes(),
        ["acked", "rejected malformed_record", "rejected malformed_record"]
    );
    assert_eq!(read_back(&sidecar, "deep", 1)[0].text(), nested(128));
    // Brackets in strings do not count as depth.
    let text = format!(r#"{{"value":"{}"}}"#, "[\\\"".repeat(500));
    assert_eq!(sidecar.tcp().json("/v1/topics/deep/records", &text).status, 200);
}

#[test]
fn a_client_that_goes_away_cancels_nothing_that_was_accepted() {
    let sidecar = Builder::embedded()
        .kafka_lines("[kafka.properties]\nlinger.ms = 3000")
        .start();
    let lines: String = (0..2_000).map(|number| format!("{{\"value\":{number}}}\n")).collect();
    let mut leaving = sidecar.unix();
    leaving.send("POST", "/v1/topics/t/records", &[NDJSON], lines.as_bytes());
    eventually("it is accepted", || {
        sidecar.metric("pointsman_producer_queue_messages") > 0.0
    });
    drop(leaving);
    assert_eq!(read_back(&sidecar, "t", 2_000).len(), 2_000);
}

#[test]
fn a_trace_says_which_plugin_was_asked() {
    let sidecar = Builder::embedded().route("p", "key-hash", "").start();
    let headers = [JSON, ("pointsman-trace", "1")];
    let body = br#"{"records":[{"key":"k"},{"key":"k","partition":1}]}"#;
    let reply = sidecar.tcp().post("/v1/topics/p/records", &headers, body).json();
    let plugin = &reply["records"][0]["plugin"];
    assert_eq!(plugin["name"], "key-hash");
    let shown = sidecar.admin("/plugins").json();
    assert_eq!(plugin["digest"], shown["routes"][0]["plugin"]["digest"]);
    assert!(
        reply["records"][1].get("plugin").is_none(),
        "an explicit partition asks no plugin"
    );
    let silent = sidecar.tcp().post("/v1/topics/p/records", &[JSON], body).json();
    assert!(silent["records"][0].get("plugin").is_none());
}

#[tokio::test]
async fn http2_without_tls_works_on_both_sockets() {
    let sidecar = embedded();
    let tcp = tokio::net::TcpStream::connect(sidecar.http).await.unwrap();
    let unix = tokio::net::UnixStream::connect(&sidecar.unix).await.unwrap();
    assert_eq!(over_h2(TokioIo::new(tcp)).await, 8);
    assert_eq!(over_h2(TokioIo::new(unix)).await, 8);
    assert_eq!(read_back(&sidecar, "t", 16).len(), 16);
}

/// Sends eight requests at once on one connection, and returns how many were acked.
async fn over_h2<S>(stream: TokioIo<S>) -> usize
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..8 {
        let mut sender = sender.clone();
        requests.spawn(async move {
            let request = hyper::Request::post("http://test/v1/topics/t/records")
                .header("content-type", "application/json")
                .body(Full::new(Bytes::from(format!(r#"{{"value":{number}}}"#))))
                .unwrap();
            let reply = sender.send_request(request).await.unwrap();
            let status = reply.status();
            let body = reply.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(status, 200, "{body:?}");
        });
    }
    requests.join_all().await.len()
}
