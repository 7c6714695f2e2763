//! CloudEvents' own libraries: what one sends to the sidecar in any mode, both read from a real Kafka as it was sent. The
//! programs are in tests/clients.

use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{Command, Stdio},
};

use base64_simd::STANDARD;
use pointsman_routing::murmur2::partition_for_key;
use serde_json::{Value, json};

use crate::support::{
    consumer::{Read, read},
    kafka::Kafka,
    kafka_client::need,
    sidecar::{Builder, root},
};

const PARTITIONS: u32 = 12;

/// The lines of JSON that a program prints, with this on its standard input.
fn run(program: &str, arguments: &[&str], input: &Value) -> Vec<Value> {
    let mut child = Command::new(root().join("tests/clients/run"))
        .arg(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("tests/clients/run");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The events by their ids.
fn by_id(events: impl IntoIterator<Item = Value>) -> BTreeMap<String, Value> {
    let events = events.into_iter();
    events
        .map(|event| (event["attributes"]["id"].as_str().expect("an id").to_owned(), event))
        .collect()
}

/// Records as the programs take them.
fn as_input<'r>(records: impl IntoIterator<Item = &'r Read>) -> Value {
    let base64 = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| STANDARD.encode_to_string(bytes));
    let one = |record: &Read| {
        let headers = record.headers.iter().map(|(name, value)| json!([name, base64(value)]));
        json!({
            "key": base64(&record.key),
            "value": base64(&record.value),
            "headers": headers.collect::<Vec<_>>(),
        })
    };
    records.into_iter().map(one).collect()
}

/// What this library sends, all of it acknowledged, and what then stands in Kafka.
fn sent(program: &str) -> (BTreeMap<String, Value>, Vec<Read>) {
    let kafka = Kafka::single();
    kafka.create_topic(program, PARTITIONS, &[]).unwrap();
    let sidecar = Builder::kafka(&kafka.bootstrap()).start();
    let socket = sidecar.unix.to_str().unwrap();
    let mut events = Vec::new();
    for line in run(program, &["send", socket, program], &Value::Null) {
        assert_eq!(line["status"], 200, "{line:#}");
        events.extend(line["events"].as_array().unwrap().iter().cloned());
    }
    let events = by_id(events);
    let records = read(&kafka.bootstrap(), program, events.len());
    check_keys(&events, &records);
    (events, records)
}

/// The key of each record is the event's partitionkey, and decides where it is.
fn check_keys(events: &BTreeMap<String, Value>, records: &[Read]) {
    let mut expected: Vec<Option<&str>> = events
        .values()
        .map(|event| event["attributes"]["partitionkey"].as_str())
        .collect();
    let mut found: Vec<Option<&str>> = records
        .iter()
        .map(|record| record.key.as_deref().map(|key| str::from_utf8(key).unwrap()))
        .collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
    for record in records {
        if let Some(key) = &record.key {
            assert_eq!(record.partition as u32, partition_for_key(key, PARTITIONS));
        }
    }
}

#[test]
fn what_the_python_library_sends_both_libraries_read_as_it_was() {
    need(&["python", "kafka-clients-python", "node", "kafka-clients-node"]);
    let (events, records) = sent("cloudevents-python");
    assert_eq!(events.len(), 16);
    let read = by_id(run("cloudevents-python", &["read"], &as_input(&records)));
    assert_eq!(read, events);
    // The library for Node.js reads no record without a value.
    let with_value = records.iter().filter(|record| record.value.is_some());
    let read = by_id(run("cloudevents-node", &["read"], &as_input(with_value)));
    assert_eq!(read.len(), 15);
    for (id, event) in read {
        assert_eq!(event["attributes"]["subject"], events[&id]["attributes"]["subject"]);
        assert_eq!(
            event["attributes"]["partitionkey"],
            events[&id]["attributes"]["partitionkey"]
        );
    }
}

#[test]
fn what_the_library_for_node_sends_both_libraries_read_as_it_was() {
    need(&["python", "kafka-clients-python", "node", "kafka-clients-node"]);
    let (events, records) = sent("cloudevents-node");
    assert_eq!(events.len(), 9);
    for program in ["cloudevents-node", "cloudevents-python"] {
        let read = by_id(run(program, &["read"], &as_input(&records)));
        assert_eq!(read, events, "{program}");
    }
}
