//! What happens to the sidecar while clients stream.

use serde_json::{Value, json};

use super::{JAVA, NODE, PYTHON, check_topic, tcp, topic, unix};
use crate::support::{
    kafka::Kafka,
    kafka_client::{Running, need},
    plugin_folder::{PluginFolder, built, deciding, digest, version},
    sidecar::{Builder, Sidecar, eventually},
};

const CLIENTS: [&str; 3] = ["grpcio", "grpc-js", "grpc-java"];
const RELOADS: u32 = 5;

/// Starts a stream by each client, with topics of their own.
fn start(sidecar: &Sidecar, event: &str, until: &str) -> Vec<(String, Running)> {
    need(&[PYTHON, NODE, JAVA].concat());
    let stream = |client: &str| {
        let name = format!("{client}-{event}");
        topic(&name);
        let target = if client == "grpc-js" {
            tcp(sidecar)
        } else {
            unix(sidecar)
        };
        let arguments = ["mode=stream", "per_call=20", "rate=200", "records=1000000", until];
        let running = Running::grpc(client, &target, &name, &arguments);
        (name, running)
    };
    let streams: Vec<_> = CLIENTS.into_iter().map(stream).collect();
    for (name, _) in &streams {
        eventually("records flow", || acked(sidecar, name) >= 200.0);
    }
    streams
}

fn acked(sidecar: &Sidecar, topic: &str) -> f64 {
    sidecar.metric(&format!(
        "pointsman_records_total{{outcome=\"acked\",topic=\"{topic}\"}}"
    ))
}

/// Every outcome is there, in order, and the last message counts them. Returns how many there are.
fn check_report(report: &Value, reason: &str) -> usize {
    assert_eq!(report["status"], "OK", "{report:#}");
    assert_eq!(report["in_order"], true, "{report:#}");
    let end = &report["end"];
    assert_eq!(
        (&end["reason"], &end["code"]),
        (&json!(reason), &json!(null)),
        "{report:#}"
    );
    assert_eq!(report["outcomes"], json!({ "KIND_ACKED": end["count"] }), "{report:#}");
    end["count"].as_u64().expect("a count") as usize
}

#[test]
fn a_drain_ends_the_streams_of_all_clients_with_every_outcome_of_what_was_taken() {
    let mut sidecar = Builder::kafka(&Kafka::three().bootstrap())
        .route("*", "key-hash", "")
        .start();
    let streams = start(&sidecar, "drained", "until=end");
    sidecar.terminate();
    for (topic, running) in streams {
        let report = running.report();
        let count = check_report(&report, "REASON_DRAIN");
        // What was not answered was not taken.
        check_topic(&topic, count);
    }
    assert!(sidecar.ended().success(), "{}", sidecar.log_text());
}

#[test]
fn plugins_change_under_the_streams_of_all_clients_and_order_holds() {
    let folder = PluginFolder::new();
    let key_hash = built("key-hash");
    folder.put("p", &version(&key_hash, 0));
    let sidecar = Builder::kafka(&Kafka::three().bootstrap())
        .config(&folder.config("poll_ms = 50"))
        .route("*", "p", "")
        .start();
    topic("grpc-deciding");
    let streams = start(&sidecar, "reloaded", "until=stdin");
    for number in 1..=RELOADS {
        let next = version(&key_hash, number);
        folder.put("p", &next);
        eventually("it decides", || deciding(&sidecar, "grpc-deciding") == digest(&next));
        // Records go through each version.
        let before: Vec<f64> = streams.iter().map(|(name, _)| acked(&sidecar, name)).collect();
        for ((name, _), before) in streams.iter().zip(before) {
            eventually("records flow", || acked(&sidecar, name) > before);
        }
    }
    for (topic, mut running) in streams {
        running.stop();
        let report = running.report();
        let count = check_report(&report, "REASON_COMPLETE");
        assert_eq!(report["sent"], count, "{report:#}");
        check_topic(&topic, count);
    }
}
