//! A plugin asks the host for a field inside a value.

use super::{hostile, send};
use crate::support::sidecar::Sidecar;

/// What the plugin or the host says about each of these records.
fn says(sidecar: &Sidecar, records: &[String]) -> Vec<String> {
    let body = format!(r#"{{"records":[{}]}}"#, records.join(","));
    let reply = sidecar.tcp().json("/v1/topics/t/records", &body).json();
    let records = reply["records"].as_array().unwrap_or_else(|| panic!("{reply}"));
    let message = |record: &serde_json::Value| record["error"]["message"].as_str().unwrap_or("none").to_owned();
    records.iter().map(message).collect()
}

#[test]
fn each_record_has_its_own_fields_also_if_the_plugin_is_asked_about_many_at_once() {
    let sidecar = hostile("");
    let records: Vec<String> = (0..100)
        .map(|number| format!(r#"{{"key":"field","value":{{"customer":{{"id":"c-{number}"}}}}}}"#))
        .collect();
    let expected: Vec<String> = (0..100).map(|number| format!("c-{number}")).collect();
    assert_eq!(says(&sidecar, &records), expected);
    assert_eq!(
        sidecar.metric("pointsman_plugin_batch_failures_total{plugin=\"hostile\"}"),
        0.0
    );
    let without = [
        r#"{"key":"field"}"#,
        r#"{"key":"field","value":{"customer":7}}"#,
        r#"{"key":"field","value_base64":"AAAAAAcGYy0x"}"#,
    ];
    assert_eq!(says(&sidecar, &without.map(str::to_owned)), ["no such field"; 3]);
}

#[test]
fn a_malformed_pointer_is_the_plugins_own_fault_and_only_its_record_suffers() {
    let sidecar = hostile("");
    assert_eq!(
        send(&sidecar, &["a", "no pointer", "b"]),
        ["acked", "rejected plugin_trapped", "acked"]
    );
    let told = says(&sidecar, &[r#"{"key":"no pointer","value":{}}"#.to_owned()]);
    assert!(
        told[0].contains("it asked for a field") && told[0].contains("write `/customer`"),
        "{told:?}"
    );
}

#[test]
fn a_plugin_pays_for_the_time_that_the_host_takes_to_find_its_fields() {
    let sidecar = hostile("");
    let long = "x".repeat(200_000);
    let record = |key: &str| format!(r#"{{"key":"{key}","value":{{"rest":"{long}"}}}}"#);
    let told = says(&sidecar, &[record("many fields"), record("seen")]);
    assert!(told[0].contains("5 ms of CPU time"), "{}", told[0]);
    assert_eq!(told[1], "1");
}
