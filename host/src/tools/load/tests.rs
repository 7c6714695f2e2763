//! Runs the load generator against a listener that answers as told, and compares the counts.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

use std::collections::BTreeMap;

use std::sync::Arc;

use super::*;

fn options(address: String) -> Load {
    Load {
        unix: None,
        http: Some(address),
        token: None,
        topic: "t".to_owned(),
        topics: 1,
        format: LoadFormat::Json,
        connections: 1,
        batch: 3,
        in_flight: None,
        values: None,
        value_bytes: Some(10),
        tenants: None,
        rate: None,
        seconds: 0.3,
        warm_up: 0.0,
        pid: Some(std::process::id()),
        json: false,
    }
}

/// Answers each request after a pause, the first with something else.
fn serve(mut stream: TcpStream, pause: Duration) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = true;
    loop {
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        thread::sleep(pause);
        let (status, body) = match std::mem::take(&mut first) {
            true => ("503 Service Unavailable", r#"{"code":"busy"}"#),
            false => ("200 OK", "{}"),
        };
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
}

fn server(pause: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("an address").to_string();
    // The thread ends with the process.
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(stream, pause));
        }
    });
    address
}

#[test]
fn what_is_not_acked_is_never_counted_as_if_it_were() {
    let report = run(&options(server(Duration::from_millis(1)))).expect("a report");
    assert!(report.requests > 1 && report.records == 3 * report.requests, "{report}");
    assert_eq!(report.others, BTreeMap::from([("503 busy".to_owned(), 1)]));
    assert!(report.peak_resident_bytes.is_some_and(|bytes| bytes > 1 << 20));
}

/// Each answer takes ten times as long as the time between two requests, so the last requests wait for all answers
/// before them.
#[test]
fn a_slow_answer_is_not_hidden_by_requests_that_were_sent_later_because_of_it() {
    let slow = Load {
        rate: Some(1_500.0),
        ..options(server(Duration::from_millis(10)))
    };
    let report = run(&slow).expect("a report");
    assert!(report.requests > 50, "all that were due are sent, late: {report}");
    assert!(report.latency_ms.max > 300.0, "{report}");
    let closed = run(&Load { rate: None, ..slow }).expect("a report");
    assert!(closed.latency_ms.p50 < report.latency_ms.p50, "{closed} {report}");
}

#[test]
fn every_topic_is_sent_to_by_some_connection() {
    for (connections, topics) in [(1, 1), (8, 1), (3, 10), (10, 3)] {
        let options = Load {
            connections,
            topics,
            ..options(String::new())
        };
        let sent_to: std::collections::BTreeSet<String> = (0..connections)
            .flat_map(|connection| request::of(&options, connection))
            .map(|request| {
                String::from_utf8_lossy(&request)
                    .split('/')
                    .nth(3)
                    .expect("a topic")
                    .to_owned()
            })
            .collect();
        assert_eq!(sent_to.len(), topics, "{sent_to:?}");
    }
}

const FORMATS: [(LoadFormat, usize); 5] = [
    (LoadFormat::Json, 3),
    (LoadFormat::Ndjson, 3),
    (LoadFormat::Octet, 1),
    (LoadFormat::Packed, 3),
    (LoadFormat::CloudEvent, 1),
];

/// The keys and values that the sidecar finds in a request.
fn read(request: &[u8]) -> Vec<(String, String)> {
    use crate::{
        config::Limits,
        ingest::parse::{Context, Format, Memory},
    };
    let end = request
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a header")
        + 4;
    let mut headers = hyper::HeaderMap::new();
    for line in String::from_utf8_lossy(&request[..end])
        .lines()
        .skip(1)
        .filter(|line| !line.is_empty())
    {
        let (name, value) = line.split_once(": ").expect("a header");
        headers.insert(
            hyper::header::HeaderName::try_from(name).expect("a name"),
            value.parse().expect("a value"),
        );
    }
    let limits = Limits::default();
    let context = Context {
        topic: Some(Arc::from("t")),
        limits: &limits,
        memory: Memory::unbounded(),
    };
    let body = Bytes::copy_from_slice(&request[end..]);
    let parsed = Format::of(&headers, true)
        .expect("known")
        .parse(&body, &headers, &context)
        .expect("readable");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let records = parsed.iter().map(|record| record.as_ref().expect("a record"));
    records
        .map(|record| {
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            (text(key.expect("a key")), text(value.expect("a value")))
        })
        .collect()
}

#[test]
fn every_format_can_be_made_and_read_again() {
    for (format, records) in FORMATS {
        let options = Load {
            format,
            batch: records,
            ..options(String::new())
        };
        let requests = request::of(&options, 7);
        assert_eq!(requests.len(), 1, "{format:?}");
        let read = read(&requests[0]);
        assert_eq!(read.len(), records, "{format:?}");
        assert_eq!(read[0].0, "key-7-0", "{format:?}");
        assert_eq!(read[0].1.len(), 10, "{format:?}");
    }
}

#[test]
fn every_format_sends_the_same_objects_under_the_same_keys_and_no_object_twice() {
    for (format, records) in FORMATS {
        let options = Load {
            format,
            batch: records,
            values: Some(LoadValues::Objects),
            value_bytes: None,
            ..options(String::new())
        };
        let requests = request::of(&options, 7);
        assert!(requests.len() > 200, "{format:?}: {}", requests.len());
        let sent: Vec<_> = requests.iter().flat_map(|request| read(request)).collect();
        for (index, (key, value)) in sent.iter().enumerate() {
            assert_eq!((key, value), (&super::key(7, index), &object(7, index)), "{format:?}");
        }
        let different: std::collections::BTreeSet<_> = sent.iter().map(|(_, value)| value).collect();
        assert_eq!(different.len(), sent.len(), "{format:?}");
    }
}

#[test]
fn an_object_has_six_fields_and_an_ordinary_length() {
    for index in 0..1_000 {
        let object = object(index % 8, index);
        let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&object).expect("an object");
        assert_eq!(fields.len(), 6, "{object}");
        assert!((125..=210).contains(&object.len()), "{} bytes: {object}", object.len());
    }
}

#[test]
fn a_length_is_for_text_only() {
    let of = |values, value_bytes| {
        values_of(&Load {
            values,
            value_bytes,
            ..options(String::new())
        })
    };
    assert_eq!(of(None, None).expect("a default"), LoadValues::Objects);
    assert_eq!(of(None, Some(10)).expect("text"), LoadValues::Text);
    let refused = of(Some(LoadValues::Objects), Some(10)).expect_err("no such objects");
    assert!(refused.to_string().contains("--values text"), "{refused}");
}

#[test]
fn tenants_differ_in_size_and_every_format_has_them_in_the_header() {
    let tenants = 1_000;
    let mut sent = BTreeMap::new();
    for index in 0..100_000 {
        *sent.entry(tenant(1, index, tenants)).or_insert(0) += 1;
    }
    let of = |number| f64::from(sent.get(&tenant_name(number)).copied().unwrap_or_default());
    // By the law the first has 1/ln(1000) of all, a seventh; the second about half as much.
    assert!((8_000.0..20_000.0).contains(&of(1)), "{}", of(1));
    assert!((0.4..0.8).contains(&(of(2) / of(1))), "{} {}", of(1), of(2));
    assert!(sent.len() > 900 && sent.len() <= tenants, "{}", sent.len());
    for format in [
        LoadFormat::Json,
        LoadFormat::Ndjson,
        LoadFormat::Octet,
        LoadFormat::Packed,
    ] {
        let options = Load {
            format,
            tenants: Some(tenants),
            batch: if format == LoadFormat::Octet { 1 } else { 3 },
            ..options(String::new())
        };
        let request = String::from_utf8_lossy(&request::of(&options, 1)[0]).into_owned();
        assert!(request.contains("tenant-id"), "{format:?}: {request}");
        for index in 0..options.batch {
            assert!(request.contains(&tenant(1, index, tenants)), "{format:?}: {request}");
        }
    }
}
