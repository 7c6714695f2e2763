//! `pointsman plugin test` for a plugin that decides by a field inside an encoded value.

use std::fs;

use super::{path, plugin, said};
use crate::support::sidecar::plugin_dir;

const CASES: &str = r#"
config = { pointer = "/customer/id", missing = "reject" }

[[case]]
name = "an encoded value's field decides"
partitions = 12
schema_id = 7
value_base64 = "AAAAAAcGYy0x"
fields = { "/customer/id" = "c-1" }
expect = { key-hash = "c-1" }

[[case]]
name = "also if the schema has a GUID"
partitions = 12
schema_id = "89791762-2336-4186-9674-299b90a802e2"
value_base64 = "AAAAAAcGYy0x"
fields = { "/customer/id" = "c-1" }
expect = { key-hash = "c-1" }

[[case]]
name = "what is not stated is read as JSON"
partitions = 12
schema_id = 7
value = '{"customer":{"id":5}}'
fields = { "/other" = "c-1" }
expect = { key-hash = "5" }

[[case]]
name = "what one case states is gone in the next"
partitions = 12
value_base64 = "AAAAAAcGYy0x"
expect = { reject = "the record's value is not JSON, but the partition of a record for topic `test` comes from the field at `/customer/id` of its value; send JSON with a string, a number or a boolean there" }
"#;

#[test]
fn a_plugin_for_encoded_values_is_tested_without_a_registry() {
    let folder = tempfile::tempdir().unwrap();
    let cases = folder.path().join("cases.toml");
    fs::write(&cases, CASES).unwrap();
    let json_field = plugin_dir().join("json-field.wasm");
    let output = plugin(&["test", path(&json_field), path(&cases)]);
    assert_eq!(said(&output), "✓ all 4 cases decided as expected\n");
}

#[test]
fn a_case_that_states_what_no_value_can_have_is_refused_by_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let cases = folder.path().join("cases.toml");
    let json_field = plugin_dir().join("json-field.wasm");
    for (wrong, says) in [
        ("schema_id = \"seven\"", "schema_id \"seven\" is no GUID"),
        ("schema_id = -1", "expected a number from 0 to 4294967295, or a GUID"),
        ("fields = { \"/a\" = \"x\" }", "fields are inside a value"),
        ("value = \"v\"\nfields = { a = \"x\" }", "write `/a`"),
    ] {
        let table = format!("[[case]]\nname = \"x\"\npartitions = 3\nexpect = \"any\"\n{wrong}\n");
        fs::write(&cases, table).unwrap();
        let output = plugin(&["test", path(&json_field), path(&cases)]);
        assert_eq!(output.status.code(), Some(1), "{wrong}");
        let said = said(&output);
        assert!(
            said.contains(says) && said.contains("case 1, \"x\", line"),
            "{wrong}: {said}"
        );
    }
}
