//! Real Kafka clients, with nothing but `bootstrap.servers` changed, through the sidecar to a real Kafka of three nodes. The programs are
//! in tests/clients; every record that they send is known in advance.

use serde_json::Value;

use crate::support::{
    consumer::read,
    kafka::Kafka,
    kafka_client::{Running, installed, need},
    known_records::{LeavesOut, check},
    sidecar::{Builder, Sidecar},
};

const PARTITIONS: u32 = 12;
const RECORDS: usize = 20_000;

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
    assert_eq!(read.len(), RECORDS);
    check(&read, PARTITIONS, &LeavesOut::of(&report));
    report
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
