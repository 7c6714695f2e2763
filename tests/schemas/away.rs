//! The registry goes away, refuses, and comes back.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{builder, encode, order, schema, send, sidecar, within};
use crate::support::{
    registry::Registry,
    sidecar::{eventually, root, to_its_end},
};

#[test]
fn a_registry_that_is_killed_or_frozen_holds_up_only_what_was_not_seen_and_is_found_again() {
    let mut registry = Registry::start();
    registry.register("orders-value", "AVRO", &schema("order.avsc"), &[]);
    registry.register("later-value", "AVRO", &schema("order.avsc"), &[]);
    let sidecar = within(1_000, "embedded", &registry.url(), &encode("avro")).start();
    let record = [json!({"value": order(1)})];
    eventually("a first record passes", || {
        send(&sidecar, "orders", &record).outcomes() == ["acked"]
    });
    for harm in ["frozen", "killed"] {
        match harm {
            "frozen" => registry.server.freeze(),
            _ => registry.server.kill(),
        }
        let topic = format!("{harm}-topic");
        let begun = Instant::now();
        let reply = send(&sidecar, &topic, &record);
        assert_eq!(reply.outcomes(), ["failed schema_unavailable"], "{harm}: {reply:?}");
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{harm}: {:?}",
            begun.elapsed()
        );
        for _ in 0..50 {
            assert_eq!(send(&sidecar, "orders", &record).outcomes(), ["acked"], "{harm}");
        }
        let ready = sidecar.admin("/ready");
        assert_eq!(ready.status, 200, "{harm}");
        assert!(
            ready.json()["schemas"]["problem"].is_string(),
            "{harm}: {}",
            ready.text()
        );
        match harm {
            "frozen" => registry.server.thaw(),
            _ => registry.server.start_again(),
        }
        eventually("a new topic's schema is found again", || {
            send(&sidecar, "later", &record).outcomes() == ["acked"]
        });
    }
}

#[test]
fn a_sidecar_that_starts_without_its_registry_begins_to_work_when_that_comes() {
    let mut registry = Registry::start();
    registry.register("orders-value", "AVRO", &schema("order.avsc"), &[]);
    registry.server.kill();
    let sidecar = sidecar("embedded", &registry.url(), &encode("avro"));
    let record = [json!({"value": order(1)})];
    assert_eq!(
        send(&sidecar, "orders", &record).outcomes(),
        ["failed schema_unavailable"]
    );
    registry.server.start_again();
    eventually("its records pass", || {
        send(&sidecar, "orders", &record).outcomes() == ["acked"]
    });
}

#[test]
fn a_file_that_readers_could_not_follow_stops_the_start_and_says_why() {
    let registry = Registry::shared();
    registry.set_compatibility("filed-value", "BACKWARD");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("order.avsc");
    let route =
        format!("value = {{ mode = \"encode\", format = \"avro\", auto_register = true, schema_file = {file:?} }}");
    let named = |route: &str| builder("embedded", &registry.url(), route);
    std::fs::write(&file, schema("order.avsc")).expect("written");
    let sidecar = named(&route).start();
    let reply = send(&sidecar, "filed", &[json!({"value": order(1)})]);
    assert_eq!(reply.outcomes(), ["acked"], "{reply:?}");
    assert_eq!(reply.json()["records"][0]["schema"]["version"], 1);
    // A field without a default: what was written before could not be read.
    std::fs::write(
        &file,
        r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"colour","type":"string"}]}"#,
    )
    .expect("written");
    let config = folder.path().join("pointsman.toml");
    let text = format!(
        "[listen]\nhttp = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[schema_registry]\nurl = \"{}\"\n[[route]]\ntopics = \
         [\"filed\"]\n{route}",
        registry.url()
    );
    std::fs::write(&config, text).expect("written");
    let output = to_its_end(
        std::process::Command::new(crate::support::sidecar::BINARY)
            .args(["run", "--embedded", "--config"])
            .arg(&config)
            .current_dir(root()),
    );
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{told}");
    assert!(
        told.contains("schema_incompatible") && told.contains("filed-value"),
        "{told}"
    );
}
