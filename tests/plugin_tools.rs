//! What the author of a plugin sees of `pointsman plugin check`, `test` and `bench`.

mod by_schema;
mod by_table;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{
    components,
    plugin_folder::{built, digest},
    sidecar::{BINARY, plugin_dir, to_its_end},
};

fn plugin(arguments: &[&str]) -> Output {
    to_its_end(Command::new(BINARY).arg("plugin").args(arguments))
}

fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(both).expect("text")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path of a test")
}

#[test]
fn a_plugin_that_check_likes_is_one_that_the_sidecar_takes_and_the_others_are_told_why_not() {
    let key_hash = built("key-hash");
    let good = plugin(&["check", path(&plugin_dir().join("key-hash.wasm"))]);
    let text = said(&good);
    assert!(good.status.success(), "{text}");
    for part in [
        &*digest(&key_hash),
        "partitioner@1.1.0, batch@1.1.0\n",
        "log@1.1.0, and no WASI",
        "KiB an instance: memories ",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert!(!text.contains('\u{1b}'), "colours where there is no terminal");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.wasm");
    for (bytes, says) in [
        (
            components::wrong_world(),
            "does not export pointsman:partitioner/partitioner@1.1.0",
        ),
        (
            components::of_version("2.0.0"),
            "this host has versions 1.0.0 and 1.1.0",
        ),
        // The engine would take it for the same as 1.1.0.
        (
            components::of_version("1.2.0"),
            "imports pointsman:partitioner/types@1.2.0",
        ),
        (components::with_sockets(), "it imports wasi:sockets/tcp@0.2.0"),
        (
            components::truncated(&key_hash).into_owned(),
            "not a valid wasm component",
        ),
        (b"\0asm\x01\0\0\0".to_vec(), "build it with `pointsman plugin build`"),
        (Vec::new(), "it is empty"),
        (built("header"), "missing field `name`"),
        (built("header"), "--config"),
    ] {
        fs::write(&file, bytes).unwrap();
        let output = plugin(&["check", path(&file)]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{says}");
        assert!(said(&output).contains(says), "{says}: {}", said(&output));
        let json: Value = serde_json::from_slice(&plugin(&["check", "--json", path(&file)]).stdout).unwrap();
        assert_eq!(json["ok"], false);
    }
    let configured = plugin(&["check", "--json", path(&file), "--config", r#"{"name":"tier"}"#]);
    let json: Value = serde_json::from_slice(&configured.stdout).unwrap();
    assert_eq!(
        (json["ok"].as_bool(), json["sha256"].as_str()),
        (Some(true), Some(&*digest(&built("header"))))
    );
    assert_eq!(json["exports"][1], "pointsman:partitioner/batch@1.1.0", "{json}");
    let parts = ["memory_bytes", "table_bytes", "engine_bytes"].map(|part| json["instance"][part].as_u64().unwrap());
    assert!(parts.iter().all(|part| *part > 0), "{json}");
    assert_eq!(json["memory_bytes"], parts.iter().sum::<u64>());
    let missing = plugin(&["check", path(&folder.path().join("none.wasm"))]);
    assert!(said(&missing).contains("not found"), "{}", said(&missing));
}

#[test]
fn a_case_that_is_decided_otherwise_fails_and_shows_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let cases = folder.path().join("cases.toml");
    let hostile = plugin_dir().join("hostile.wasm");
    let table = r#"
        [[case]]
        name = "hashed"
        partitions = 4
        key = "a"
        expect = { key-hash = "a" }

        [[case]]
        name = "refused"
        partitions = 4
        key = "reject"
        expect = { reject = "not today" }

        [[case]]
        name = "the tenant decides"
        partitions = 4
        key = "tenant"
        expect = { tenant = "acme" }
    "#;
    fs::write(&cases, table).unwrap();
    let output = plugin(&["test", path(&hostile), path(&cases)]);
    assert_eq!(
        (output.status.code(), &*said(&output)),
        (Some(0), "✓ all 3 cases decided as expected\n")
    );

    let wrong = r#"
        [[case]]
        name = "it traps"
        partitions = 4
        key = "panic"
        expect = "any"

        [[case]]
        name = "off the end"
        partitions = 4
        key = "beyond"
        expect = { partition = 3 }
    "#;
    fs::write(&cases, format!("{table}{wrong}")).unwrap();
    let output = plugin(&["test", path(&hostile), path(&cases)]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in [
        "✗ it traps\n    - expected any\n    + decided  plugin \"hostile\" trapped",
        "✗ off the end\n    - expected partition 3\n    + decided  partition 4, and there are 0 to 3",
        "✗ 2 of 5 cases decided differently",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    let lines = plugin(&["test", "--json", path(&hostile), path(&cases)]).stdout;
    let passed: Vec<bool> = String::from_utf8(lines)
        .unwrap()
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["passed"]
                .as_bool()
                .unwrap()
        })
        .collect();
    assert_eq!(passed, [true, true, true, false, false]);

    fs::write(
        &cases,
        format!("{table}\n[[case]]\nname = \"x\"\npartitions = 1\nexpct = \"any\""),
    )
    .unwrap();
    let output = said(&plugin(&["test", path(&hostile), path(&cases)]));
    assert!(
        output.contains("cases.toml is not a table of cases: case 4, \"x\", line 23: unknown field `expct`"),
        "{output}"
    );
    assert!(said(&plugin(&["test", "--help"])).contains("expect = { key-hash = \"eu\" }"));
}

#[test]
fn the_author_of_a_plugin_that_panics_sees_what_it_said_and_the_record_that_it_met() {
    let folder = tempfile::tempdir().unwrap();
    let cases = folder.path().join("cases.toml");
    let hostile = plugin_dir().join("hostile.wasm");
    let table = r#"
        [[case]]
        name = "it panics"
        partitions = 4
        key = "panic"
        value = "\u001b[2J"
        headers = { tier = "vip" }
        expect = "any"

        [[case]]
        name = "it talks"
        partitions = 4
        key = "flood"
        expect = "any"
    "#;
    fs::write(&cases, table).unwrap();
    let output = plugin(&["test", path(&hostile), path(&cases)]);
    let text = said(&output);
    for part in [
        "      record   topic \"test\" of 4 partitions, key \"panic\", headers { \"tier\" = \"vip\" }, value \"\\u{1b}[2J\"\n",
        "      log      ERROR panicked at src/lib.rs:",
        ": as told\n      trace    ",
        " it talks\n",
        "      log      … after 180 more lines\n      log      INFO  yyy",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert!(text.len() < 40_000 && !text.contains('\u{1b}'), "{} bytes", text.len());

    let lines = plugin(&["test", "--json", path(&hostile), path(&cases)]).stdout;
    let lines: Vec<Value> = String::from_utf8(lines)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let panicked = &lines[0];
    assert_eq!(
        (
            &panicked["line"],
            &panicked["record"]["key"],
            &panicked["log"][0]["level"]
        ),
        (&Value::from(2), &Value::from("panic"), &Value::from("error"))
    );
    assert!(
        panicked["log"][0]["message"].as_str().unwrap().ends_with(": as told"),
        "{panicked}"
    );
    assert_eq!(lines[1]["log"].as_array().unwrap().len(), 20);

    let records = folder.path().join("records.ndjson");
    fs::write(&records, "{\"key\":\"a\"}\n{\"key\":\"panic\",\"value\":7}\n").unwrap();
    let bench = ["bench", path(&hostile), "--records", path(&records)];
    let output = plugin(&bench);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in [
        "      call     record 2 of 2\n",
        "      record   topic \"bench\" of 12 partitions, key \"panic\", value \"7\"\n",
        ": as told",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    let output = plugin(&[&bench[..], &["--json"]].concat()).stdout;
    let json: Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(
        (&json["ok"], &json["record"]["value"]),
        (&Value::from(false), &Value::from("7"))
    );
}

#[test]
fn a_plugin_that_check_refuses_is_told_which_call_it_failed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.wasm");
    for (bytes, calls) in [
        (components::endless_start(), "      call     configure"),
        (built("header"), "it refused its config: "),
        (
            components::needs_a_key(),
            "      call     the second of the two records that a sidecar asks about before it takes a plugin\n      record   \
             topic \"pointsman-smoke\" of 3 partitions, no key, no value",
        ),
    ] {
        fs::write(&file, bytes).unwrap();
        let text = said(&plugin(&["check", path(&file)]));
        assert!(text.contains(calls), "no {calls} in {text}");
    }
    let output = plugin(&["check", "--json", path(&file)]).stdout;
    let json: Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(
        (&json["ok"], &json["record"]["key"]),
        (&Value::from(false), &Value::Null)
    );
    assert!(json["call"].as_str().unwrap().starts_with("the second"), "{json}");
    // `test` and `bench` need these files, too.
    let cases = folder.path().join("cases.toml");
    fs::write(&cases, "[[case]]\nname = \"x\"\npartitions = 1\nexpect = \"any\"\n").unwrap();
    for output in [
        plugin(&["test", path(&file), path(&cases)]),
        plugin(&["bench", path(&file)]),
    ] {
        assert!(
            said(&output).contains("the second of the two records"),
            "{}",
            said(&output)
        );
    }
}

#[test]
fn bench_counts_every_record_and_takes_those_of_the_user() {
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path().join("records.ndjson");
    let lines: String = (0..300)
        .map(|number| format!("{{\"key\":\"k-{number}\",\"value\":{number}}}\n"))
        .collect();
    fs::write(&records, lines + "{\"value\":\"no key\"}\n").unwrap();
    let file = plugin_dir().join("key-hash.wasm");
    let bench = |more: &[&str]| plugin(&[&["bench", path(&file), "--seconds", "1"], more].concat());
    let output = bench(&["--json", "--partitions", "5", "--records", path(&records)]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    let counts: Vec<u64> = json["records_by_partition"]
        .as_array()
        .unwrap()
        .iter()
        .map(|count| count.as_u64().unwrap())
        .collect();
    assert_eq!(
        (counts.len(), counts.iter().sum::<u64>(), json["any"].as_u64()),
        (5, 300, Some(1))
    );
    assert!(json["ns_per_call"].as_f64().unwrap() > 0.0 && json["calls"].as_u64().unwrap() > 0);

    let drawn = said(&bench(&[]));
    assert!(
        drawn.contains("ns a call") && drawn.contains('█') && drawn.contains("times the mean"),
        "{drawn}"
    );
    fs::write(&records, "{\"key\":1}\n").unwrap();
    let refused = bench(&["--records", path(&records)]);
    assert!(
        !refused.status.success() && said(&refused).contains("record 1"),
        "{}",
        said(&refused)
    );
}
