//! Packed records and packed outcomes, over both sockets, compared with the same in JSON.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::{
    numbered_clients,
    support::{
        consumer::{Read, read},
        http::Reply,
        sidecar::{Builder, Sidecar, root},
    },
};

#[path = "../examples/clients/rust/packed.rs"]
pub(crate) mod reference;

use reference::{Outcome, Record, pack, unpack};

const PACKED: (&str, &str) = ("content-type", reference::CONTENT_TYPE);
const ACCEPT: (&str, &str) = ("accept", reference::CONTENT_TYPE);
const JSON: (&str, &str) = ("content-type", "application/json");

fn read_back(sidecar: &Sidecar, topic: &str, expected: usize) -> Vec<Read> {
    read(sidecar.embedded.as_deref().expect("embedded"), topic, expected)
}

/// The packed reply. It must be packed.
fn told(reply: &Reply) -> reference::Reply {
    assert_eq!(
        reply.header("content-type"),
        Some(reference::CONTENT_TYPE),
        "{}",
        reply.text()
    );
    unpack(&reply.body).unwrap_or_else(|| panic!("no packed outcomes: {:?}", reply.body))
}

/// The outcomes in the form of the JSON reply.
fn as_json(outcomes: &[Outcome]) -> Vec<Value> {
    let one = |told: &Outcome| {
        let mut json = match &told.error {
            None => json!({ "partition": told.partition, "offset": told.offset, "timestamp": told.timestamp }),
            Some((code, message)) => json!({ "error": { "code": code, "message": message } }),
        };
        json["outcome"] = told.outcome.into();
        json
    };
    outcomes.iter().map(one).collect()
}

/// Records with every field, and every kind of value of a field.
fn records(topic: Option<&str>) -> Vec<Record<'_>> {
    let record = Record {
        topic,
        partition: Some(1),
        timestamp: Some(1_700_000_000_000),
        ..Record::default()
    };
    vec![
        Record {
            key: Some(b"order-1"),
            value: Some(&[0, 255, 128, 10]),
            headers: vec![
                ("source", Some(b"web")),
                ("trace", Some(&[0, 1, 255])),
                ("source", Some(b"")),
                ("none", None),
                ("ümlaut", Some(b"x")),
            ],
            ..record.clone()
        },
        Record {
            key: Some(b""),
            value: None,
            ..record.clone()
        },
        Record {
            key: None,
            value: Some(b""),
            ..record.clone()
        },
        record,
    ]
}

/// The same records as JSON.
fn as_body(records: &[Record<'_>]) -> Vec<u8> {
    let base64 = |bytes: Option<&[u8]>| bytes.map(|bytes| base64_simd::STANDARD.encode_to_string(bytes));
    let one = |record: &Record<'_>| {
        let headers = record.headers.iter().map(|(name, value)| match base64(*value) {
            None => format!("{name:?}:null"),
            Some(text) => format!("{name:?}:{{\"base64\":\"{text}\"}}"),
        });
        let headers = headers.collect::<Vec<_>>().join(",");
        let rest = json!({
            "topic": record.topic,
            "key_base64": base64(record.key),
            "value_base64": base64(record.value),
            "partition": record.partition,
            "timestamp": record.timestamp,
        });
        format!("{{\"headers\":{{{headers}}},{}", &rest.to_string()[1..])
    };
    let records: Vec<String> = records.iter().map(one).collect();
    format!("{{\"records\":[{}]}}", records.join(",")).into_bytes()
}

#[test]
fn every_field_of_a_packed_record_lands_as_it_does_from_json() {
    let sidecar = Builder::embedded().start();
    for socket in ["tcp", "unix"] {
        let connect = || match socket {
            "tcp" => sidecar.tcp(),
            _ => sidecar.unix(),
        };
        // The topic is in the path first, then in each record.
        for (path, named) in [(true, "path"), (false, "record")] {
            let topics = ["packed", "json"].map(|form| format!("{form}-{socket}-{named}"));
            let target = |topic: &str| match path {
                true => format!("/v1/topics/{topic}/records"),
                false => "/v1/records".to_owned(),
            };
            let [packed_topic, json_topic] = &topics;
            let in_record = |topic| (!path).then_some(topic);
            let given = records(in_record(packed_topic.as_str()));
            let count = given.len();
            let reply = connect().post(&target(packed_topic), &[PACKED, ACCEPT], &pack(given));
            assert_eq!(reply.status, 200, "{}", reply.text());
            let told = told(&reply);
            assert_eq!((told.generation, told.accepted), (1, 0));
            let other = records(in_record(json_topic.as_str()));
            let json = connect().post(&target(json_topic), &[JSON], &as_body(&other));
            assert_eq!(Value::from(as_json(&told.outcomes)), json.json()["records"]);
            let found = read_back(&sidecar, packed_topic, count);
            assert_eq!(found, read_back(&sidecar, json_topic, count));
            check_landed(&found, &told.outcomes);
        }
    }
}

fn check_landed(found: &[Read], told: &[Outcome]) {
    for ((read, record), told) in found.iter().zip(records(None)).zip(told) {
        assert_eq!(read.key.as_deref(), record.key);
        assert_eq!(read.value.as_deref(), record.value);
        assert_eq!(read.timestamp, record.timestamp.map(u64::cast_signed));
        let headers = read
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()));
        assert_eq!(headers.collect::<Vec<_>>(), record.headers);
        assert_eq!(
            (Some(read.partition.cast_unsigned()), Some(read.offset)),
            (told.partition, told.offset)
        );
    }
}

#[test]
fn outcomes_of_all_kinds_are_told_alike_in_both_forms() {
    let sidecar = Builder::embedded()
        .route("p", "key-hash", "")
        .config("[[route]]\ntopics = [\"q\"]")
        .start();
    let large = vec![b'x'; 1_100_000];
    let batch = || {
        let record = |topic, partition, value| Record {
            topic: Some(topic),
            key: Some(b"k"),
            value,
            partition,
            ..Record::default()
        };
        let mut body = pack([
            record("p", None, Some(&b"x"[..])),
            record("q", Some(9), None),
            record("nowhere", None, None),
            record("q", Some(0), Some(&large)),
            record("a/b", None, None),
            record("q", Some(2), None),
        ]);
        // The last record has an unknown flag.
        let last = body.len() - (4 + 12 + 4 + 5 + 1);
        assert_eq!(body[last + 4], 5);
        body[last + 4] |= 64;
        body
    };
    let headers = [PACKED, ("pointsman-trace", "1")];
    let json = sidecar.tcp().post("/v1/records", &headers, &batch());
    let expected = [
        "acked",
        "rejected partition_out_of_range",
        "rejected no_route",
        "rejected record_too_large",
        "rejected invalid_topic",
        "rejected malformed_record",
    ];
    assert_eq!(json.outcomes(), expected);
    assert!(json.text().contains("the record at byte "), "{}", json.text());
    let reply = sidecar
        .unix()
        .post("/v1/records", &[headers[0], headers[1], ACCEPT], &batch());
    assert_eq!((reply.status, json.status), (207, 207));
    let told = told(&reply);
    let json = json.json();
    let (acked, refused) = (&json["records"][0], &json["records"].as_array().unwrap()[1..]);
    assert_eq!(as_json(&told.outcomes[1..]), refused);
    assert_eq!(
        told.outcomes[0].partition,
        acked["partition"].as_u64().map(|partition| partition as u32)
    );
    let (name, digest) = told.outcomes[0].plugin.as_ref().expect("the plugin that was asked");
    assert_eq!(acked["plugin"], json!({ "name": name, "digest": digest }));
    assert!(
        told.outcomes[1].plugin.is_none(),
        "an explicit partition asks no plugin"
    );
    let places: Vec<u32> = told.outcomes.iter().map(|told| told.index).collect();
    assert_eq!(places, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn fire_and_forget_tells_only_what_was_refused() {
    let sidecar = Builder::embedded().start();
    let record = |partition| Record {
        value: Some(b"x"),
        partition: Some(partition),
        ..Record::default()
    };
    let body = pack([record(0), record(9), record(1), record(9)]);
    let path = "/v1/topics/t/records?ack=none";
    let reply = sidecar.unix().post(path, &[PACKED, ACCEPT], &body);
    assert_eq!(reply.status, 202);
    let told = told(&reply);
    assert_eq!(told.accepted, 2);
    let refused: Vec<_> = told.outcomes.iter().map(|told| (told.index, told.outcome)).collect();
    assert_eq!(refused, [(1, "rejected"), (3, "rejected")]);
    let nothing = sidecar.tcp().post(path, &[PACKED, ACCEPT], &pack([record(9)]));
    assert_eq!((nothing.status, self::told(&nothing).accepted), (422, 0));
    assert_eq!(read_back(&sidecar, "t", 2).len(), 2);
}

#[test]
fn a_numbered_request_may_be_repeated_in_the_other_form() {
    let sidecar = Builder::embedded().start();
    let numbered = [("pointsman-client", "shop"), ("pointsman-sequence", "1")];
    let records = [
        Record {
            key: Some(b"k"),
            value: Some(b"1"),
            ..Record::default()
        },
        Record {
            value: Some(b"2"),
            partition: Some(9),
            ..Record::default()
        },
    ];
    let path = "/v1/topics/t/records";
    let headers = [&numbered[..], &[PACKED, ACCEPT]].concat();
    let first = told(&sidecar.tcp().post(path, &headers, &pack(records.clone())));
    let again = told(&sidecar.tcp().post(path, &headers, &pack(records)));
    assert_eq!((&again, first.outcomes.len()), (&first, 2));
    let headers = [&numbered[..], &[JSON]].concat();
    let body = br#"{"records":[{"key":"k","value":1},{"value":2,"partition":9}]}"#;
    let other = sidecar.tcp().post(path, &headers, body);
    assert_eq!(
        other.json()["records"],
        Value::from(as_json(&first.outcomes)),
        "the same records"
    );
    let other = sidecar
        .tcp()
        .post(path, &[&headers[..], &[ACCEPT]].concat(), br#"{"key":"other"}"#);
    assert_eq!(
        (other.status, other.problem().as_str()),
        (409, "sequence_mismatch"),
        "a problem is JSON"
    );
    assert_eq!(read_back(&sidecar, "t", 1).len(), 1, "each record once");
}

#[test]
fn a_batch_that_cannot_be_read_says_where_and_nothing_of_it_is_taken() {
    let sidecar = Builder::embedded().config("[limits]\nmax_records = 10").start();
    let record = || Record {
        value: Some(b"value"),
        ..Record::default()
    };
    let path = "/v1/topics/t/records";
    let whole = pack([record(), record()]);
    let mut http = sidecar.unix();
    for length in 1..whole.len() {
        let reply = http.post(path, &[PACKED, ACCEPT], &whole[..length]);
        assert_eq!(
            (reply.status, reply.problem().as_str()),
            (400, "invalid_packed"),
            "{length} bytes"
        );
        let offset = reply.json()["offset"].as_u64().expect("a place");
        assert!(offset <= length as u64, "{offset} of {length}");
    }
    let reply = http.post(path, &[PACKED], b"");
    assert_eq!((reply.status, reply.problem().as_str()), (400, "empty_body"));
    let reply = http.post(path, &[PACKED], &pack([]));
    assert_eq!((reply.status, reply.problem().as_str()), (400, "empty_body"));
    let reply = http.post(path, &[PACKED], &[whole.clone(), b"more".to_vec()].concat());
    assert_eq!(
        (reply.problem().as_str(), reply.json()["offset"].as_u64()),
        ("invalid_packed", Some(whole.len() as u64))
    );
    let reply = http.post(path, &[PACKED], &pack(std::iter::repeat_with(record).take(11)));
    assert_eq!((reply.status, reply.problem().as_str()), (413, "too_many_records"));
    // That reply closed the connection.
    let reply = sidecar.unix().post("/v1/topics/t/stream", &[PACKED], &whole);
    assert_eq!(
        (reply.status, reply.problem().as_str()),
        (415, "unsupported_content_type")
    );
    let control = sidecar.unix().post(path, &[PACKED, ACCEPT], &whole);
    assert_eq!(told(&control).outcomes.len(), 2);
    assert_eq!(
        sidecar.metric("pointsman_records_total{outcome=\"acked\",topic=\"t\"}"),
        2.0
    );
}

/// The output of a script that uses `pointsman_packed`, with this on its standard input.
fn python(script: &str, input: &[u8]) -> Vec<u8> {
    let mut python = numbered_clients::python();
    let folder = root().join(numbered_clients::PYTHON);
    python.env("PYTHONPATH", folder.parent().unwrap());
    let mut child = python.args(["-c", script]).spawn().expect("start Python");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn the_python_client_packs_and_reads_as_the_rust_one_does() {
    let pack_all = "import sys, json, pointsman_packed as packed
sys.stdout.buffer.write(packed.pack(json.load(sys.stdin)['records']))";
    // A Python dictionary has each name once.
    let mut given = records(Some("t"));
    given[0].headers.remove(2);
    assert_eq!(python(pack_all, &as_body(&given)), pack(given));
    let read = "import sys, json, pointsman_packed as packed
body = sys.stdin.buffer.read()
for length in range(len(body)):
    try:
        packed.unpack(body[:length])
    except ValueError:
        continue
    raise AssertionError(f'half a reply of {length} bytes was read')
print(json.dumps(packed.unpack(body)))";
    let sidecar = Builder::embedded().route("t", "key-hash", "").start();
    let bad = Record {
        partition: Some(99),
        ..Record::default()
    };
    let headers = [PACKED, ACCEPT, ("pointsman-trace", "1")];
    let body = pack([Record::default(), bad]);
    let reply = sidecar.unix().post("/v1/topics/t/records", &headers, &body);
    let mut read: Value = serde_json::from_slice(&python(read, &reply.body)).unwrap();
    let told = told(&reply);
    let plugin = read["records"][0]
        .as_object_mut()
        .unwrap()
        .remove("plugin")
        .expect("a plugin");
    assert_eq!(plugin["name"], "key-hash");
    for (index, record) in read["records"].as_array_mut().unwrap().iter_mut().enumerate() {
        assert_eq!(record.as_object_mut().unwrap().remove("index"), Some(index.into()));
    }
    assert_eq!((&read["generation"], &read["accepted"]), (&1.into(), &0.into()));
    assert_eq!(read["records"], Value::from(as_json(&told.outcomes)));
}
