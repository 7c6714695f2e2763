//! Real Kafka clients, with nothing but `bootstrap.servers` changed, through the sidecar to a real Kafka of three nodes. The programs are
//! in tests/clients; every record that they send is known in advance.

use pointsman_routing::murmur2::partition_for_key;
use serde_json::Value;

use crate::support::{
    consumer::{Read, read},
    kafka::Kafka,
    kafka_client::{Running, installed, key, need},
    sidecar::{Builder, Sidecar},
};

const PARTITIONS: u32 = 12;
const RECORDS: usize = 20_000;

/// What of a record a client cannot send, as its report says.
#[derive(Debug, Default)]
struct LeavesOut {
    headers: bool,
    null_header: bool,
    timestamp: bool,
    tombstone: bool,
}

/// Starts a client that sends to this sidecar.
fn start(client: &str, sidecar: &Sidecar, topic: &str, arguments: &[&str]) -> Running {
    let address = sidecar.kafka.expect("a listener for Kafka clients");
    Running::start(client, address, topic, arguments)
}

/// With a plugin that decides by the key.
fn sidecar() -> Sidecar {
    Builder::kafka(&Kafka::three().bootstrap())
        .listen("kafka = \"127.0.0.1:0\"")
        .route("*", "key-hash", "")
        .start()
}

/// Sends all records by this client and reads them back.
fn sends_all(client: &str, sidecar: &Sidecar, topic: &str, arguments: &[&str]) -> Value {
    Kafka::three().create_topic(topic, PARTITIONS, &[]).unwrap();
    let report = start(client, sidecar, topic, arguments).report();
    assert_eq!(report["acked"], RECORDS, "{client} {arguments:?}: {report:#}");
    assert_eq!(report["failures"], 0, "{client} {arguments:?}: {report:#}");
    let read = read(&Kafka::three().bootstrap(), topic, RECORDS);
    check(&read, &leaves_out(&report));
    report
}

fn leaves_out(report: &Value) -> LeavesOut {
    let named = |what: &str| {
        let list = report["leaves_out"].as_array().expect("a list");
        list.iter().any(|one| one == what)
    };
    LeavesOut {
        headers: named("headers"),
        null_header: named("null header"),
        timestamp: named("timestamp"),
        tombstone: named("tombstone"),
    }
}

/// Each record is there once, as it was sent, in the partition that the plugin chose, and behind those that were sent before it.
fn check(read: &[Read], leaves_out: &LeavesOut) {
    assert_eq!(read.len(), RECORDS);
    let mut seen = vec![false; RECORDS];
    let mut last = vec![None; PARTITIONS as usize];
    for record in read {
        let n = number(record);
        assert!(!std::mem::replace(&mut seen[n], true), "{n} is there twice");
        let before = last[record.partition as usize].replace(n);
        assert!(before.is_none_or(|before| before < n), "{before:?} before {n}");
        let key = key(n);
        assert_eq!(record.key.as_deref(), key.as_deref().map(str::as_bytes), "{n}");
        if let Some(key) = &key {
            assert_eq!(
                record.partition as u32,
                partition_for_key(key.as_bytes(), PARTITIONS),
                "{n}"
            );
        }
        let is_tombstone = n % 60 == 59 && key.is_some() && !leaves_out.tombstone;
        let value = (!is_tombstone).then(|| value(n));
        assert_eq!(record.value.as_deref(), value.as_deref().map(str::as_bytes), "{n}");
        if !leaves_out.headers {
            assert_eq!(record.headers, headers(n, leaves_out.null_header), "{n}");
        }
        if !leaves_out.timestamp {
            assert_eq!(record.timestamp, Some(1_700_000_000_000 + n as i64), "{n}");
        }
    }
}

fn number(record: &Read) -> usize {
    if let Some((_, Some(n))) = record.headers.iter().find(|(name, _)| name == "n") {
        return std::str::from_utf8(n).unwrap().parse().unwrap();
    }
    let value: Value = serde_json::from_str(record.text()).expect("a value");
    value["n"].as_u64().expect("a number") as usize
}

fn value(n: usize) -> String {
    format!("{{\"n\":{n},\"text\":\"forty letters with ä and a \\\"quoted\\\" part\"}}")
}

fn headers(n: usize, without_null: bool) -> Vec<(String, Option<Vec<u8>>)> {
    let mut headers = vec![
        ("n".to_owned(), Some(n.to_string().into_bytes())),
        ("twice".to_owned(), Some(b"a".to_vec())),
        ("twice".to_owned(), Some(b"b".to_vec())),
        ("empty".to_owned(), Some(Vec::new())),
    ];
    if !without_null {
        headers.push(("null".to_owned(), None));
    }
    headers
}

#[test]
fn javas_producer_sends_all_as_it_is_idempotent_or_not_and_in_each_compression() {
    need(&["jdk", "kafka"]);
    let sidecar = sidecar();
    let report = sends_all("java", &sidecar, "java-defaults", &[]);
    assert_eq!(
        report["offsets"]["negative"], RECORDS,
        "Java shows no offset: {report:#}"
    );
    let mut plain = vec![("java-plain".to_owned(), vec!["idempotent=no".to_owned()])];
    plain.extend(
        ["gzip", "snappy", "lz4", "zstd"].map(|codec| (format!("java-{codec}"), vec![format!("compression={codec}")])),
    );
    for (topic, arguments) in plain {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        sends_all("java", &sidecar, &topic, &arguments);
    }
}

#[test]
fn librdkafka_sends_all_as_it_is_idempotent_or_not_and_in_each_compression() {
    need(&["python", "kafka-clients-python"]);
    let sidecar = sidecar();
    for arguments in [
        &[][..],
        &["idempotent=yes"],
        &["idempotent=yes", "compression=gzip"],
        &["compression=snappy"],
        &["compression=lz4"],
        &["idempotent=yes", "compression=zstd"],
    ] {
        let topic = format!("librdkafka-{}", arguments.join("-").replace('=', "-"));
        let report = sends_all("librdkafka", &sidecar, &topic, arguments);
        assert_eq!(report["offsets"]["other"], 0, "no offset is made up: {report:#}");
    }
}

#[test]
fn a_client_in_python_and_one_in_node_send_all() {
    need(&["python", "kafka-clients-python", "node", "kafka-clients-node"]);
    let sidecar = sidecar();
    for (client, arguments) in [
        ("aiokafka", &["idempotent=yes"][..]),
        ("kafkajs", &["compression=gzip"]),
        ("kafkajs", &["idempotent=yes"]),
    ] {
        let topic = format!("{client}-{}", arguments.join("-").replace('=', "-"));
        let report = sends_all(client, &sidecar, &topic, arguments);
        assert_eq!(report["offsets"]["other"], 0, "no offset is made up: {report:#}");
    }
}

/// Those that the other tests leave out, in every form: `make clients`.
#[test]
#[ignore = "it installs clients in four languages, which takes minutes"]
fn every_client_sends_all_in_each_compression() {
    need(&["python", "kafka-clients-python", "node", "kafka-clients-node", "kcat"]);
    let mut clients = vec!["kcat", "kafka-python", "aiokafka", "kafkajs", "platformatic"];
    // Go is not everywhere, and `.ci/need` does not install it.
    match installed(&["go", "kafka-clients-go"]) {
        Ok(()) => clients.extend(["franz-go", "sarama"]),
        Err(said) => eprintln!("WITHOUT the clients in Go: {said}"),
    }
    let sidecar = sidecar();
    for client in clients {
        for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
            if codec == "zstd" && matches!(client, "kafkajs" | "platformatic") {
                continue;
            }
            let report = sends_all(
                client,
                &sidecar,
                &format!("every-{client}-{codec}"),
                &[&format!("compression={codec}")],
            );
            eprintln!("{client} {} {codec}: {}", report["version"], report["offsets"]);
        }
    }
}

#[test]
fn a_refused_record_is_shown_by_java_with_the_plugins_own_message() {
    need(&["jdk", "kafka"]);
    let sidecar = Builder::kafka(&Kafka::three().bootstrap())
        .listen("kafka = \"127.0.0.1:0\"")
        .route(
            "*",
            "json-field",
            "config = { pointer = \"/absent\", missing = \"reject\" }",
        )
        .start();
    Kafka::three().create_topic("java-refused", PARTITIONS, &[]).unwrap();
    let report = start("java", &sidecar, "java-refused", &["records=10"]).report();
    assert_eq!(report["acked"], 0, "{report:#}");
    let shown = report["failed"].to_string();
    assert!(
        shown.contains("/absent") && shown.contains("InvalidRecordException"),
        "{report:#}"
    );
}

#[test]
fn a_client_that_wants_a_transaction_or_a_record_gets_an_error_at_once() {
    need(&["jdk", "kafka", "python", "kafka-clients-python"]);
    let sidecar = sidecar();
    Kafka::three().create_topic("not-for-these", 1, &[]).unwrap();
    let told = |client: &str, arguments: &[&str]| {
        let report = start(client, &sidecar, "not-for-these", arguments).report();
        format!("{}: {}", report["code"], report["message"])
    };
    for client in ["java", "librdkafka"] {
        let told = told(client, &["mode=transaction"]);
        assert!(told.contains("there are no transactions here"), "{client}: {told}");
    }
    for (client, by, expected) in [
        ("java", "by=group", "GroupAuthorizationException"),
        ("java", "by=partition", "TopicAuthorizationException"),
        ("librdkafka", "by=group", "connect consumers to the cluster itself"),
        ("librdkafka", "by=partition", "connect consumers to the cluster itself"),
    ] {
        let told = told(client, &["mode=consume", by]);
        assert!(told.contains(expected), "{client} {by}: {told}");
    }
}
