//! Dapr's own SDKs, with nothing but the address changed, to a real Kafka. README.md says what they publish.

use std::process::Command;

use pointsman_routing::murmur2::partition_for_key;
use serde_json::{Value, json};

use super::event;
use crate::support::{
    consumer::{Read, read},
    kafka::Kafka,
    kafka_client::need,
    sidecar::{Builder, root, to_its_end},
};

const PARTITIONS: u32 = 12;

/// Publishes by an SDK, and gives its report and what then stands in the topic.
fn published(sdk: &str, protocol: &str) -> (Value, Vec<Read>) {
    let kafka = Kafka::single();
    let topic = format!("dapr-{sdk}-{protocol}");
    kafka.create_topic(&topic, PARTITIONS, &[]).unwrap();
    let sidecar = Builder::kafka(&kafka.bootstrap()).listen("apis = [\"dapr\"]").start();
    let mut run = Command::new(root().join("tests/dapr/run"));
    run.args([sdk, protocol, &sidecar.http.to_string(), &topic]);
    let output = to_its_end(&mut run);
    let (told, said) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{told}\n{said}");
    let report = told.lines().last().and_then(|line| serde_json::from_str(line).ok());
    let report = report.unwrap_or_else(|| panic!("no report: {told}\n{said}"));
    (report, read(&kafka.bootstrap(), &topic, 9))
}

fn check(sdk: &str, protocol: &str, failed: &[&str]) {
    let (report, records) = published(sdk, protocol);
    assert_eq!(report["failed"], json!(failed), "{report}");
    assert_eq!(report["components"], json!(["pubsub.kafka"]), "{report}");
    let refused = report["refused"].as_str().unwrap_or_default();
    assert!(refused.contains("invalid_topic"), "{report}");

    let wrapped: Vec<Value> = records
        .iter()
        .filter(|record| record.key.is_none())
        .map(event)
        .collect();
    let of = |content_type: &str| {
        let found = wrapped.iter().find(|event| event["datacontenttype"] == content_type);
        found.unwrap_or_else(|| panic!("no {content_type} in {wrapped:#?}"))
    };
    assert_eq!(wrapped.len(), 4, "{wrapped:#?}");
    assert_eq!(of("application/json")["data"], json!({"n": 1}));
    assert_eq!(of("text/plain")["data"], "ü 2");
    assert_eq!(of("application/octet-stream")["data_base64"], "AP8=");
    let own = wrapped
        .iter()
        .find(|event| event["id"] == "own-4")
        .expect("the SDK's own event");
    assert_eq!(
        (own["source"].as_str(), own["data"]["n"].as_u64()),
        (Some("sdk"), Some(4))
    );
    assert!(wrapped.iter().all(|event| event["pubsubname"] == "kafka"));

    for (key, values) in [
        ("k5", &["raw 5"][..]),
        ("bulk", &["bulk 6", "bulk 7", "bulk 8", "bulk 9"]),
    ] {
        let of_key = records
            .iter()
            .filter(|record| record.key.as_deref() == Some(key.as_bytes()));
        let of_key: Vec<_> = of_key.map(|record| (record.partition as u32, record.text())).collect();
        let partition = partition_for_key(key.as_bytes(), PARTITIONS);
        let expected: Vec<_> = values.iter().map(|value| (partition, *value)).collect();
        assert_eq!(of_key, expected, "{sdk} {protocol}");
    }
}

#[test]
fn an_application_with_dapr_s_sdk_for_python_only_changes_the_address() {
    need(&["python", "dapr-sdk-python"]);
    check("python", "grpc", &["bad"]);
}

#[test]
fn an_application_with_dapr_s_sdk_for_javascript_only_changes_the_address() {
    need(&["node", "dapr-sdk-node"]);
    check("node", "http", &["bad"]);
    check("node", "grpc", &[]);
}
