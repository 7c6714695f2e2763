//! `pointsman plugin test` and `bench` with a routing table.

use std::{fs, path::PathBuf};

use serde_json::Value;

use super::{path, plugin, said};
use crate::support::sidecar::{plugin_dir, root};

/// A table in which acme is alone on a partition of topic `t`, and big has two.
const TABLE: &str = r#"{"format":1,"incarnation":"x","epoch":1,"version":9,"rows":[
 {"topic":"t","tenant":"*","version":1,"status":"shared","ordering":"tenant","slots":[0,1]},
 {"topic":"t","tenant":"acme","version":9,"status":"dedicated","ordering":"tenant","slots":[5]},
 {"topic":"t","tenant":"big","version":3,"status":"sharded","ordering":"none","slots":[2,3]}]}"#;

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        fs::write(&file, text).unwrap();
        file
    }
}

#[test]
fn a_case_can_expect_where_the_table_has_a_tenant_and_what_the_plugin_looks_up_there() {
    let files = Files::new();
    let routes = files.file("routes.json", TABLE);
    let case = |name: &str, key: &str, topic: &str, partitions: u32, expect: &str| {
        format!(
            "[[case]]\nname = \"{name}\"\nkey = \"{key}\"\ntopic = \"{topic}\"\npartitions = {partitions}\nexpect = {expect}\n"
        )
    };
    let good = [
        case("both", "tenant", "t", 6, "{ tenant = \"acme\", partition = 5 }"),
        case("the partition", "tenant", "t", 6, "{ partition = 5 }"),
        case("the tenant", "tenant", "t", 6, "{ tenant = \"acme\" }"),
        case("what was looked up", "look up", "t", 6, "{ partition = 5 }"),
        case("nothing to look up", "look up", "u", 6, "\"any\""),
    ]
    .concat();
    let hostile = plugin_dir().join("hostile.wasm");
    let cases = files.file("good.toml", &good);
    let output = plugin(&["test", path(&hostile), path(&cases), "--routes", path(&routes)]);
    assert_eq!(said(&output), "✓ all 5 cases decided as expected\n");
    // Without the table they are another matter.
    let output = plugin(&["test", path(&hostile), path(&cases)]);
    assert!(said(&output).contains("✗ 3 of 5 cases"), "{}", said(&output));
    let bad = [
        case("elsewhere", "tenant", "t", 6, "{ tenant = \"acme\", partition = 4 }"),
        case("too few", "tenant", "t", 4, "{ tenant = \"acme\", partition = 1 }"),
        case("another", "tenant", "t", 6, "{ tenant = \"big\", partition = 5 }"),
    ]
    .concat();
    let cases = files.file("bad.toml", &bad);
    let output = plugin(&["test", path(&hostile), path(&cases), "--routes", path(&routes)]);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    for part in [
        "    - expected tenant \"acme\" (partition 4)\n    + decided  tenant \"acme\" (partition 5)\n",
        "    + decided  tenant \"acme\" (partition 5, and there are 0 to 3)\n",
        "✗ 3 of 3 cases",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

#[test]
fn the_cases_of_the_tenant_plugin_hold_for_each_place_of_a_name() {
    let folder = root().join("plugins/tenant/cases");
    let routes = folder.join("routes.json");
    let mut tables = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let table = entry.unwrap().path();
        if table.extension().is_some_and(|extension| extension == "toml") {
            let tenant = plugin_dir().join("tenant.wasm");
            let output = plugin(&["test", path(&tenant), path(&table), "--routes", path(&routes)]);
            assert!(output.status.success(), "{}: {}", table.display(), said(&output));
            tables += 1;
        }
    }
    assert_eq!(tables, 5);
}

#[test]
fn bench_draws_where_the_table_sends_tenants() {
    let files = Files::new();
    let routes = files.file("routes.json", TABLE);
    let lines: String = (0..40)
        .map(|number| {
            let tenant = if number < 10 { "acme" } else { "big" };
            format!("{{\"headers\":{{\"tenant-id\":\"{tenant}\"}},\"value\":{number}}}\n")
        })
        .collect();
    let records = files.file("records.ndjson", &lines);
    let tenant = plugin_dir().join("tenant.wasm");
    let bench = |more: &[&str]| {
        let fixed = ["bench", path(&tenant), "--seconds", "1", "--partitions", "6", "--json"];
        let config = [
            "--config",
            r#"{"tenant":"header:tenant-id"}"#,
            "--records",
            path(&records),
        ];
        let output = plugin(&[&fixed[..], &config, more].concat());
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)))
    };
    let found = bench(&["--routes", path(&routes), "--topic", "t"]);
    assert_eq!(
        found["records_by_partition"],
        serde_json::json!([0, 0, 15, 15, 0, 10]),
        "{found}"
    );
    // The table has no rows of this topic.
    let found = bench(&["--routes", path(&routes)]);
    assert_eq!(found["records_by_partition"], bench(&[])["records_by_partition"]);
}

#[test]
fn a_file_that_is_no_routing_table_is_told_by_its_name_and_nothing_is_tested() {
    let files = Files::new();
    let cases = files.file("c.toml", "[[case]]\nname = \"x\"\npartitions = 1\nexpect = \"any\"\n");
    let hostile = plugin_dir().join("hostile.wasm");
    for (text, says) in [
        (Some(""), "it is empty"),
        (Some("{"), "cannot be read as a routing table"),
        (Some("{\"format\":2}"), "it has format 2"),
        (
            Some(&*TABLE.replace("\"slots\":[5]", "\"slots\":[1]")),
            "is dedicated, but its partition 1",
        ),
        (None, "No such file"),
    ] {
        let routes = match text {
            Some(text) => files.file("routes.json", text),
            None => files.folder.path().join("none.json"),
        };
        for command in [
            vec!["test", path(&hostile), path(&cases)],
            vec!["bench", path(&hostile)],
        ] {
            let output = plugin(&[&command[..], &["--routes", path(&routes)]].concat());
            let text = said(&output);
            assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{text}");
            assert!(text.contains(says) && text.contains(path(&routes)), "{text}");
        }
        let json = plugin(&[
            "test",
            "--json",
            path(&hostile),
            path(&cases),
            "--routes",
            path(&routes),
        ]);
        let json: Value = serde_json::from_slice(&json.stdout).unwrap();
        assert!(json["error"].as_str().unwrap().contains(says), "{json}");
    }
}
