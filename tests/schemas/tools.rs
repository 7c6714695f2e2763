//! `pointsman schema`, for the terminal.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use super::{order, schema};
use crate::support::{registry::Registry, sidecar::BINARY};

fn pointsman(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(BINARY)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("pointsman");
    // A program that ends without reading breaks the pipe.
    let _ = child.stdin.take().expect("its input").write_all(input);
    child.wait_with_output().expect("its end")
}

/// What the sidecar would write.
pub(super) fn encoded(registry: &str, subject: &str, value: &Value) -> Vec<u8> {
    let arguments = ["schema", "encode", "-", "--registry", registry, "--subject", subject];
    let output = pointsman(&arguments, value.to_string().as_bytes());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn a_value_is_checked_encoded_and_shown_without_a_sidecar() {
    let registry = Registry::shared();
    let url = registry.url();
    for (kind, file) in [
        ("AVRO", "order.avsc"),
        ("PROTOBUF", "order.proto"),
        ("JSON", "order.json"),
    ] {
        // A registry may keep a subject to the format of its first version.
        let subject = format!("typed-{}-value", kind.to_lowercase());
        let id = registry.register(&subject, kind, &schema(file), &[]);
        let value = order(5);
        let bytes = encoded(&url, &subject, &value);
        assert_eq!(bytes[..5], [&[0][..], &id.to_be_bytes()].concat());
        let shown = pointsman(&["schema", "decode", "-", "--registry", &url, "--json"], &bytes);
        let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
        assert_eq!((&shown["id"], &shown["format"]), (&json!(id), &json!(kind)));
        assert_eq!(shown["value"]["customer"], value["customer"]);
        let mut wrong = value.clone();
        wrong["customer"]["id"] = json!({});
        let arguments = ["schema", "check", "-", "--registry", &url, "--subject", &subject];
        let fine = pointsman(&arguments, value.to_string().as_bytes());
        assert!(
            fine.status.success() && fine.stdout.starts_with(b"it fits version "),
            "{fine:?}"
        );
        let refused = pointsman(&arguments, wrong.to_string().as_bytes());
        assert_eq!(refused.status.code(), Some(1));
        let told = String::from_utf8_lossy(&refused.stdout).into_owned();
        assert!(told.contains("/customer/id: "), "{told}");
        let told = pointsman(&[&arguments[..], &["--json"]].concat(), wrong.to_string().as_bytes());
        let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
        assert_eq!((&told["valid"], &told["path"]), (&json!(false), &json!("/customer/id")));
    }
}

#[test]
fn a_registry_that_is_not_there_is_named_and_nothing_is_guessed() {
    let arguments = [
        "schema",
        "check",
        "-",
        "--registry",
        "http://127.0.0.1:1",
        "--subject",
        "orders-value",
    ];
    let output = pointsman(&arguments, b"{}");
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("127.0.0.1:1"), "{told}");
}
