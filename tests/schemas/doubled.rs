//! A registry that has GUIDs, and registries that do harm. They are doubles of these tests: no real one does either here.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{CHECK, embedded, encode, schema, send, sidecar};
use crate::support::{consumer::read, sidecar::Builder};

const GUID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

/// Answers a method and a path, on a connection for each; or does something else with it.
pub(super) type Answer = fn(&str, &str, &mut TcpStream);

/// Starts a double. Its threads end with the process of the tests.
pub(super) fn double(answer: Answer) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            thread::spawn(move || serve(connection, answer));
        }
    });
    address
}

fn serve(mut connection: TcpStream, answer: Answer) -> Option<()> {
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    reader.take(length).read_to_end(&mut Vec::new()).ok()?;
    let mut words = line.split(' ');
    answer(words.next()?, words.next()?, &mut connection);
    None
}

/// What cannot be written any more has nobody who waits for it.
pub(super) fn reply(to: &mut TcpStream, status: &str, head: &str, body: &str) {
    let length = body.len();
    let _ = write!(
        to,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n{head}\r\n{body}"
    );
}

/// A registry with one schema, which has a GUID.
pub(super) fn with_guids(method: &str, path: &str, to: &mut TcpStream) {
    let text = schema("order.avsc");
    let mut told = json!({"schema": text, "schemaType": "AVRO", "guid": GUID, "id": 7});
    let path = path.split('?').next().unwrap_or_default();
    match (method, path) {
        ("GET", "/schemas/ids/7") => {}
        ("GET", path) if path == format!("/schemas/guids/{GUID}") => {}
        ("GET", "/subjects/orders-value/versions/latest") | ("POST", "/subjects/orders-value") => {
            told["subject"] = "orders-value".into();
            told["version"] = 1.into();
        }
        ("GET", "/schemas/ids/7/versions") => told = json!([{"subject": "orders-value", "version": 1}]),
        _ => {
            let body = json!({"error_code": 40403, "message": "not found"}).to_string();
            return reply(to, "404 Not Found", "", &body);
        }
    }
    reply(to, "200 OK", "", &told.to_string());
}

#[test]
fn a_guid_stands_in_a_header_as_other_serializers_write_and_read_it() {
    let url = format!("http://{}", double(with_guids));
    let route = "value = { mode = \"encode\", format = \"avro\", id = \"header\" }";
    let writer = sidecar("embedded", &url, route);
    let reply = send(
        &writer,
        "orders",
        &[json!({"value": super::order(1), "headers": {"a": "b"}})],
    );
    assert_eq!(reply.outcomes(), ["acked"], "{reply:?}");
    assert_eq!(reply.json()["records"][0]["schema"]["id"], GUID);
    let record = read(embedded(&writer), "orders", 1).remove(0);
    let guid: Vec<u8> = (0..32)
        .step_by(2)
        .map(|at| u8::from_str_radix(&GUID.replace('-', "")[at..at + 2], 16).unwrap())
        .collect();
    let header = [&[1][..], &guid].concat();
    assert_eq!(
        record.headers,
        [
            ("a".to_owned(), Some(b"b".to_vec())),
            ("__value_schema_id".to_owned(), Some(header.clone()))
        ]
    );
    let value = record.value.unwrap();
    let guard = sidecar(
        "embedded",
        &url,
        "value = { mode = \"check\", validate = true, id = \"header\" }",
    );
    let with = |header: &[u8]| {
        let base64 = |bytes| base64_simd::STANDARD.encode_to_string(bytes);
        json!({"value_base64": base64(&value[..]), "headers": {"__value_schema_id": {"base64": base64(header)}}})
    };
    let cases: [(Value, &str); 5] = [
        (with(&header), "acked"),
        (with(&[0, 0, 0, 0, 7]), "acked"),
        (with(&[0, 0, 0, 0, 8]), "rejected schema_unknown"),
        (with(&[1, 2]), "rejected schema_invalid"),
        (super::bytes(&value), "rejected schema_invalid"),
    ];
    for (record, expected) in cases {
        let reply = send(&guard, "orders", &[record]);
        assert_eq!(reply.outcomes(), [expected], "{reply:?}");
    }
}

fn garbage(_: &str, _: &str, to: &mut TcpStream) {
    let _ = to.write_all(b"\x00\xff\xfeSSH-2.0\r\n\r\n");
}

fn errors(_: &str, _: &str, to: &mut TcpStream) {
    reply(
        to,
        "500 Internal Server Error",
        "",
        "{\"error_code\":50001,\"message\":\"\u{1b}[31mno\"}",
    );
}

fn turns_in_circles(_: &str, path: &str, to: &mut TcpStream) {
    reply(to, "302 Found", &format!("location: {path}\r\n"), "");
}

fn says_half(_: &str, _: &str, to: &mut TcpStream) {
    let _ = to.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"schema\":");
    thread::sleep(Duration::from_secs(60));
}

fn says_nothing(_: &str, _: &str, _: &mut TcpStream) {
    thread::sleep(Duration::from_secs(60));
}

fn never_ends(_: &str, _: &str, to: &mut TcpStream) {
    let _ = to.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    while to
        .write_all(b"10000\r\n")
        .and_then(|()| to.write_all(&[b' '; 0x10000]))
        .is_ok()
    {
        let _ = to.write_all(b"\r\n");
    }
}

fn nested(_: &str, path: &str, to: &mut TcpStream) {
    let text = format!(
        "{}\"int\"{}",
        "{\"type\":\"array\",\"items\":".repeat(10_000),
        "}".repeat(10_000)
    );
    let told = json!({"subject": path, "version": 1, "id": 1, "schema": text});
    reply(to, "200 OK", "", &told.to_string());
}

#[test]
fn a_registry_that_does_harm_costs_its_own_records_only_and_neither_time_nor_memory_of_others() {
    let harmful: [(&str, Answer, &str); 7] = [
        ("garbage", garbage, "failed schema_unavailable"),
        ("errors", errors, "failed schema_unavailable"),
        ("redirects", turns_in_circles, "failed schema_unavailable"),
        ("half an answer", says_half, "failed schema_unavailable"),
        ("no answer", says_nothing, "failed schema_unavailable"),
        ("an answer without end", never_ends, "rejected schema_unknown"),
        ("a schema without end", nested, "rejected schema_unknown"),
    ];
    for (what, answer, expected) in harmful {
        let url = format!("http://{}", double(answer));
        let sidecar = Builder::embedded()
            .config(&format!(
                "[schema_registry]\nurl = \"{url}\"\ntimeout_ms = 1000\n[[route]]\ntopics = [\"encoded\"]\n{}\n\
                 [[route]]\ntopics = [\"checked\"]\n{CHECK}\n[[route]]\ntopics = [\"plain\"]",
                encode("avro")
            ))
            .start();
        let record = [json!({"value": super::order(1)})];
        let encoded = send(&sidecar, "encoded", &record);
        assert_eq!(encoded.outcomes(), [expected], "{what}: {encoded:?}");
        assert!(!encoded.text().contains('\u{1b}'), "{what}: {encoded:?}");
        // Ids that are made up, many in a request and all unknown.
        let made_up: Vec<Value> = (0..1_000_u32)
            .map(|id| super::bytes(&[&[0][..], &id.to_be_bytes(), b"x"].concat()))
            .collect();
        let begun = Instant::now();
        let checked = send(&sidecar, "checked", &made_up);
        assert!(
            checked.outcomes().iter().all(|outcome| outcome.contains("schema_un")),
            "{what}: {checked:?}"
        );
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{what}: {:?}",
            begun.elapsed()
        );
        assert_eq!(send(&sidecar, "plain", &record).outcomes(), ["acked"], "{what}");
        assert!(
            sidecar.most_resident_bytes() < 200 << 20,
            "{what}: {}",
            sidecar.most_resident_bytes()
        );
    }
}
