//! What grpcio's own libraries for deadlines, cancelled calls, tokens and health make of the sidecar.

use serde_json::json;

use super::{PYTHON, tcp, topic, unix};
use crate::support::{
    consumer::read,
    kafka::Kafka,
    kafka_client::{Running, need},
    sidecar::{Builder, eventually},
};

#[test]
fn a_deadline_that_passes_while_brokers_are_silent_is_told_and_loses_nothing() {
    need(PYTHON);
    let cluster = Kafka::start(1).expect("a broker");
    cluster.create_topic("t", 1, &[]).unwrap();
    let sidecar = Builder::kafka(&cluster.bootstrap()).start();
    let warm = Running::grpc("grpcio", &unix(&sidecar), "t", &["records=1"]).report();
    assert_eq!(warm["status"], "OK", "{warm:#}");
    cluster.freeze(0);
    let arguments = ["records=3", "deadline_ms=3000"];
    let report = Running::grpc("grpcio", &unix(&sidecar), "t", &arguments).report();
    cluster.thaw(0);
    assert_eq!(report["status"], "OK", "{report:#}");
    assert_eq!(report["outcomes"], json!({ "KIND_UNKNOWN": 3 }), "{report:#}");
    assert!(report["took_ms"].as_u64().unwrap() < 3_500, "{report:#}");
    // Unknown is the truth: they are written once the broker lives again.
    assert_eq!(read(&cluster.bootstrap(), "t", 4).len(), 4);
}

#[test]
fn a_call_that_is_cancelled_takes_back_nothing_that_was_taken() {
    need(PYTHON);
    topic("grpcio-cancelled");
    let sidecar = Builder::kafka(&Kafka::three().bootstrap())
        // Long enough for the call to be cancelled before.
        .kafka_lines("[kafka.properties]\nlinger.ms = 3000")
        .start();
    let mut running = Running::grpc(
        "grpcio",
        &unix(&sidecar),
        "grpcio-cancelled",
        &["mode=cancel", "records=5"],
    );
    eventually("all are handed over", || {
        sidecar.metric("pointsman_producer_queue_messages") == 5.0
    });
    running.stop();
    let report = running.report();
    assert_eq!(report["status"], "CANCELLED", "{report:#}");
    assert_eq!(read(&Kafka::three().bootstrap(), "grpcio-cancelled", 5).len(), 5);
}

#[test]
fn a_token_opens_the_door_and_none_is_told_apart() {
    need(PYTHON);
    topic("grpcio-token");
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "secret").unwrap();
    let sidecar = Builder::kafka(&Kafka::three().bootstrap())
        .listen(&format!("token_file = {token:?}"))
        .start();
    for (mode, given, status) in [
        ("produce", "token=secret", "OK"),
        ("stream", "token=secret", "OK"),
        ("produce", "token=other", "UNAUTHENTICATED"),
        ("stream", "token=other", "UNAUTHENTICATED"),
    ] {
        let arguments = [&*format!("mode={mode}"), given, "records=10"];
        let report = Running::grpc("grpcio", &tcp(&sidecar), "grpcio-token", &arguments).report();
        assert_eq!(report["status"], status, "{report:#}");
        let is_refused = report["reason"] == "unauthorized";
        assert_eq!(is_refused, status != "OK", "{report:#}");
    }
    assert_eq!(read(&Kafka::three().bootstrap(), "grpcio-token", 20).len(), 20);
}

#[test]
fn health_is_what_the_library_for_health_checks_hears() {
    need(PYTHON);
    let sidecar = Builder::embedded().start();
    for target in [tcp(&sidecar), unix(&sidecar)] {
        let report = Running::grpc("grpcio", &target, "", &["mode=health"]).report();
        let serving = json!({ "": "SERVING", "pointsman.v1.IngestService": "SERVING" });
        assert_eq!(report["health"], serving, "{report:#}");
    }
}
