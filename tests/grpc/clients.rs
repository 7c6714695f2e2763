//! Clients in other languages, by code that is generated from the .proto file, through the sidecar to a real Kafka of three nodes.
//! The programs are in tests/clients/grpc; every record that they send is known in advance.

mod events;
mod python;

use serde_json::{Value, json};

use crate::support::{
    consumer::read,
    kafka::Kafka,
    kafka_client::{Running, installed, need},
    known_records::{LeavesOut, check},
    sidecar::{Builder, Sidecar, to_its_end},
};

const PARTITIONS: u32 = 12;
const RECORDS: usize = 20_000;
const FEW: usize = 2_000;
const PYTHON: &[&str] = &["python", "grpc-clients-python"];
const NODE: &[&str] = &["node", "grpc-clients-node"];
const JAVA: &[&str] = &["jdk", "grpc-clients-java"];
const GO: &[&str] = &["go", "grpc-clients-go"];

/// With a plugin that decides by the key.
fn sidecar() -> Sidecar {
    Builder::kafka(&Kafka::three().bootstrap())
        .route("*", "key-hash", "")
        .start()
}

fn tcp(sidecar: &Sidecar) -> String {
    sidecar.http.to_string()
}

fn unix(sidecar: &Sidecar) -> String {
    format!("unix:{}", sidecar.unix.display())
}

fn topic(name: &str) {
    Kafka::three().create_topic(name, PARTITIONS, &[]).unwrap();
}

/// Checks the records of a topic, which has no others: each once, as it was sent, in order.
fn check_topic(topic: &str, expected: usize) {
    let found = read(&Kafka::three().bootstrap(), topic, expected);
    assert_eq!(found.len(), expected, "{topic}");
    check(&found, PARTITIONS, &LeavesOut::default());
}

/// Sends all records, in requests one after another and in a stream, over TCP and over the Unix socket.
fn sends_all(client: &str, sidecar: &Sidecar) {
    for (mode, target, compression, records) in [
        ("produce", tcp(sidecar), "none", RECORDS),
        ("produce", unix(sidecar), "gzip", FEW),
        ("stream", tcp(sidecar), "none", FEW),
        ("stream", unix(sidecar), "gzip", RECORDS),
    ] {
        let name = format!("{client}-{mode}-{compression}");
        topic(&name);
        let arguments = [
            &*format!("mode={mode}"),
            &*format!("compression={compression}"),
            &*format!("records={records}"),
        ];
        let report = Running::grpc(client, &target, &name, &arguments).report();
        assert_eq!(report["status"], "OK", "{report:#}");
        assert_eq!(report["outcomes"], json!({ "KIND_ACKED": records }), "{report:#}");
        assert_eq!(report["in_order"], true, "{report:#}");
        if mode == "stream" {
            assert_eq!(report["end"], complete(records), "{report:#}");
        }
        check_topic(&name, records);
    }
}

fn complete(count: usize) -> Value {
    json!({ "reason": "REASON_COMPLETE", "count": count, "code": null })
}

/// Sends all records in a stream of numbered requests, which loses its connection twice and goes on from an earlier number.
fn resumes(client: &str, sidecar: &Sidecar) {
    let name = format!("{client}-resumed");
    topic(&name);
    let arguments = ["mode=cut", "per_call=100", &*format!("client={client}")];
    let report = Running::grpc(client, &unix(sidecar), &name, &arguments).report();
    assert_eq!(report["status"], "OK", "{report:#}");
    assert_eq!(report["connections"], 3, "{report:#}");
    assert_eq!(report["answered"], 200, "{report:#}");
    assert_eq!(report["repeats"], 10, "{report:#}");
    assert_eq!(report["are_same"], true, "{report:#}");
    check_topic(&name, RECORDS);
}

/// Hears of a record that is rejected, and of a call of which nothing is taken.
fn hears_why(client: &str, sidecar: &Sidecar) {
    let name = format!("{client}-rejected");
    topic(&name);
    for mode in ["mode=produce", "mode=stream"] {
        let arguments = [mode, "records=1000", "reject_each=100"];
        let report = Running::grpc(client, &tcp(sidecar), &name, &arguments).report();
        let outcomes = json!({ "KIND_ACKED": 990, "KIND_REJECTED": 10 });
        assert_eq!(report["outcomes"], outcomes, "{report:#}");
        assert_eq!(report["codes"], json!({ "partition_out_of_range": 10 }), "{report:#}");
        assert_eq!(report["in_order"], true, "{report:#}");
    }
    let report = Running::grpc(client, &tcp(sidecar), "no/topic", &["records=1"]).report();
    assert_eq!(
        (&report["status"], &report["reason"]),
        (&json!("INVALID_ARGUMENT"), &json!("invalid_topic")),
        "{report:#}"
    );
    assert!(report["message"].to_string().contains("no/topic"), "{report:#}");
}

fn takes_part(client: &str) {
    let sidecar = sidecar();
    sends_all(client, &sidecar);
    resumes(client, &sidecar);
    hears_why(client, &sidecar);
}

#[test]
fn all_that_grpcio_of_python_sends_is_taken_once_in_order_and_answered_for() {
    need(PYTHON);
    takes_part("grpcio");
}

#[test]
fn all_that_grpc_js_of_node_sends_is_taken_once_in_order_and_answered_for() {
    need(NODE);
    takes_part("grpc-js");
}

#[test]
fn all_that_grpc_java_sends_is_taken_once_in_order_and_answered_for() {
    need(JAVA);
    takes_part("grpc-java");
}

#[test]
fn all_that_grpc_go_sends_is_taken_once_in_order_and_answered_for() {
    // Go is not everywhere, and `.ci/need` does not install it everywhere.
    if let Err(said) = installed(GO) {
        eprintln!("WITHOUT gRPC's client in Go: {said}");
        return;
    }
    takes_part("grpc-go");
    let report = Running::grpc("grpc-go", &unix(&sidecar()), "", &["mode=list"]).report();
    let services = report["services"].to_string();
    assert!(services.contains("\"pointsman.v1.IngestService\""), "{report:#}");
}

/// Its services are all that it knows: `make clients`.
#[test]
#[ignore = "it builds grpcurl, which takes minutes"]
fn every_client_that_knows_no_proto_file_finds_the_services_by_reflection() {
    if let Err(said) = installed(&["go", "grpcurl"]) {
        eprintln!("WITHOUT grpcurl: {said}");
        return;
    }
    topic("grpcurl");
    let sidecar = sidecar();
    let grpcurl = |arguments: &[&str]| {
        let program = crate::support::sidecar::root().join("target/grpc-clients/grpcurl/grpcurl");
        let output = to_its_end(std::process::Command::new(program).arg("-plaintext").args(arguments));
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let address = tcp(&sidecar);
    assert!(grpcurl(&[&address, "list"]).contains("pointsman.v1.IngestService"));
    let described = grpcurl(&[&address, "describe", "pointsman.v1.IngestService"]);
    assert!(described.contains("rpc Stream"), "{described}");
    let request = r#"{"topic":"grpcurl","records":[{"key":"YQ==","value":"MQ=="}]}"#;
    let method = "pointsman.v1.IngestService/Produce";
    let told = grpcurl(&["-d", request, &address, method]);
    assert!(told.contains("KIND_ACKED"), "{told}");
    let socket = sidecar.unix.display().to_string();
    let told = grpcurl(&["-unix", "-d", request, &socket, method]);
    assert!(told.contains("KIND_ACKED"), "{told}");
    assert_eq!(read(&Kafka::three().bootstrap(), "grpcurl", 2).len(), 2);
}
