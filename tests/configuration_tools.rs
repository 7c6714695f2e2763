//! What tools are told of the configuration: its schema, and everything that is wrong with a file.

use std::{
    collections::BTreeSet,
    process::{Command, Output},
};

use serde_json::{Value, json};

use crate::support::{
    files::files_below,
    sidecar::{BINARY, root, to_its_end},
};

fn schema() -> Value {
    let output = to_its_end(Command::new(BINARY).args(["config", "schema"]));
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// As far as the schema of the configuration goes: what of `value` it refuses.
fn refused(schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(choice) = schema.get("anyOf").or(schema.get("oneOf")) {
        let fits = choice.as_array().unwrap().iter().any(|one| {
            let mut wrong = Vec::new();
            refused(one, value, at, &mut wrong);
            wrong.is_empty()
        });
        if !fits {
            found.push(format!("{at}: {value} is none of {choice}"));
        }
    }
    let types = schema
        .get("type")
        .map(|given| given.as_array().cloned().unwrap_or_else(|| vec![given.clone()]));
    if types.is_some_and(|types| !types.iter().any(|kind| is(value, kind.as_str().unwrap()))) {
        found.push(format!("{at}: {value} is no {}", schema["type"]));
    }
    if schema.get("const").is_some_and(|only| only != value) {
        found.push(format!("{at}: {value} is not {}", schema["const"]));
    }
    if schema["minimum"]
        .as_f64()
        .zip(value.as_f64())
        .is_some_and(|(least, value)| value < least)
    {
        found.push(format!("{at}: {value} is below {}", schema["minimum"]));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        refused(&schema["items"], item, &format!("{at}.{index}"), found);
    }
    let Some(members) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten() {
        if !members.contains_key(name.as_str().unwrap()) {
            found.push(format!("{at}: there is no {name}"));
        }
    }
    for (name, member) in members {
        let of_others = &schema["additionalProperties"];
        match schema["properties"].get(name) {
            Some(schema) => refused(schema, member, &format!("{at}.{name}"), found),
            None if *of_others == false => found.push(format!("{at}: unknown key {name}")),
            None => refused(of_others, member, &format!("{at}.{name}"), found),
        }
    }
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        other => panic!("the check does not know {other}"),
    }
}

fn mistakes(schema: &Value, toml: &str) -> Vec<String> {
    let value: toml::Table = toml.parse().unwrap_or_else(|error| panic!("{error}\n{toml}"));
    let mut found = Vec::new();
    refused(schema, &json!(value), "", &mut found);
    found
}

/// The configurations in the documentation, with the page that each is on.
fn documented() -> Vec<(String, String)> {
    let mut pages = vec![root().join("README.md")];
    pages.extend(files_below(&root().join("docs"), ".md"));
    pages.extend(files_below(&root().join("examples"), ".md"));
    let mut found = Vec::new();
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            found.push((page.display().to_string(), block.to_owned()));
        }
    }
    found.retain(|(_, text)| is_configuration(text));
    found
}

/// Cases of plugins and manifests of crates are TOML, too.
fn is_configuration(toml: &str) -> bool {
    ["[listen]", "[limits]", "[kafka", "[plugins]", "[[route]]", "[log]"]
        .iter()
        .any(|table| toml.lines().any(|line| line.starts_with(table)))
}

/// The keys of a value, without those of a plugin's config and of Kafka.
fn keys(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    for (name, member) in value.as_object().into_iter().flatten() {
        let path = format!("{at}{name}");
        if !["kafka.properties", "route.config"].contains(&path.as_str()) {
            keys(member, &format!("{path}."), found);
            for item in member.as_array().into_iter().flatten() {
                keys(item, &format!("{path}."), found);
            }
        }
        found.insert(path);
    }
}

fn keys_of_schema(schema: &Value, at: &str, found: &mut BTreeSet<String>) {
    for (name, key) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{at}{name}");
        keys_of_schema(key, &format!("{path}."), found);
        keys_of_schema(&key["items"], &format!("{path}."), found);
        found.insert(path);
    }
}

#[test]
fn an_editor_completes_every_documented_key_and_marks_every_other() {
    let schema = schema();
    let (page, whole) = documented()
        .into_iter()
        .find(|(_, text)| text.contains("[listen]") && text.contains("[shutdown]") && text.contains("max_topics"))
        .expect("the block with every key");
    // A key whose default is "none" is commented out, and so is a table that is not there by default.
    let given: String = whole
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(key) if key.split_once(" = ").is_some_and(|(name, _)| !name.contains(' ')) => format!("{key}\n"),
            Some(table) if table.starts_with('[') => format!("{table}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    assert_eq!(mistakes(&schema, &given), [""; 0], "{page}");
    let (mut documented, mut known) = (BTreeSet::new(), BTreeSet::new());
    keys(&json!(given.parse::<toml::Table>().unwrap()), "", &mut documented);
    keys_of_schema(&schema, "", &mut known);
    known.remove("route.shadow.config");
    assert_eq!(documented, known, "{page}");
    for (text, says) in [
        ("[limit]\nx = 1", "unknown key limit"),
        ("[limits]\nmax_recrods = 1", ".limits: unknown key max_recrods"),
        ("[limits]\nmax_records = \"many\"", "is no \"integer\""),
        ("[limits]\nmax_records = -1", "is below 0"),
        ("[log]\nformat = \"xml\"", "is none of"),
        ("[[route]]\nplugin = \"p\"", "there is no \"topics\""),
        ("[kafka.properties]\nacks = [1]", ".kafka.properties"),
    ] {
        let found = mistakes(&schema, text);
        assert!(found.len() == 1 && found[0].contains(says), "{text}: {found:?}");
    }
}

#[test]
fn no_example_is_marked_as_wrong_by_an_editor() {
    let schema = schema();
    let paths = files_below(&root().join("examples"), ".toml");
    let mut examples = documented();
    examples.extend(
        paths
            .iter()
            .map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap())),
    );
    examples.retain(|(_, text)| is_configuration(text));
    assert!(examples.len() > 5, "{examples:?}");
    for (path, text) in examples {
        assert_eq!(mistakes(&schema, &text), [""; 0], "{path}\n{text}");
    }
}

/// Exit code and what is printed, without the folder, of `pointsman config check` and `pointsman run`.
fn both(text: &str, environment: &[(&str, &str)], arguments: &[&str]) -> [(Option<i32>, String); 2] {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pointsman.toml");
    std::fs::write(&file, text).unwrap();
    let start = folder.path().display().to_string();
    let shown = |output: Output| {
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8(text).unwrap().replace(&start, ""),
        )
    };
    let mut check = Command::new(BINARY);
    check.args(["config", "check"]).arg(&file).args(arguments);
    let mut run = Command::new(BINARY);
    run.args(["run", "--config"]).arg(&file);
    [check, run].map(|mut command| shown(to_its_end(command.envs(environment.iter().copied()))))
}

#[test]
fn all_mistakes_are_told_at_once_and_in_the_words_of_the_start() {
    let text = "[limits]\nmax_records = 0\nmax_body_bytes = \"8 MiB\"\n[kafka]\nbootstrap_server = \"x:1\"\n\
                [listen]\ntoken_file = \"/nowhere/token\"\n[kafka.properties]\nacks = \"1\"\n[[route]]\ntopics = []\n";
    let [(code, said), (run_code, run_said)] = both(text, &[("POINTSMAN_LOG__LEVLE", "debug")], &[]);
    assert_eq!((code, run_code), (Some(64), Some(64)), "{said}{run_said}");
    let lines: Vec<&str> = said.lines().collect();
    let expected = [
        "/pointsman.toml:2: limits.max_records: 0 would",
        "/pointsman.toml:3: limits.max_body_bytes: invalid type: string \"8 MiB\", expected usize",
        "/pointsman.toml:4: kafka.bootstrap_servers: missing",
        "/pointsman.toml:5: kafka.bootstrap_server: unknown field `bootstrap_server`",
        "/pointsman.toml:7: listen.token_file: cannot read /nowhere/token",
        "/pointsman.toml:9: kafka.properties.acks: `acks` must be all",
        "/pointsman.toml:11: route.0.topics: expected at least one",
        "environment variable POINTSMAN_LOG__LEVLE: log.levle: unknown field",
    ];
    assert_eq!(lines.len(), expected.len(), "{said}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}\n{expected}");
    }
    let first = run_said.trim_end().strip_prefix("pointsman: ").unwrap();
    assert!(lines.contains(&first), "{first}\n{said}");
}

#[test]
fn a_script_is_told_the_same_as_a_person() {
    let text = "[limits]\nmax_records = 0\n";
    let [(code, said), _] = both(text, &[], &["--json", "--embedded"]);
    assert_eq!(code, Some(64), "{said}");
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&told["fine"], &told["file"]),
        (&json!(false), &json!("/pointsman.toml"))
    );
    let mistake = &told["mistakes"][0];
    assert_eq!(
        (&mistake["line"], &mistake["key"]),
        (&json!(2), &json!("limits.max_records")),
        "{said}"
    );
    assert_eq!(told["mistakes"].as_array().unwrap().len(), 1, "{said}");
}

#[test]
fn what_would_start_is_called_fine_and_nothing_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pointsman.toml");
    let socket = folder.path().join("ingest.sock");
    std::fs::write(&file, format!("[listen]\nunix = {socket:?}\n")).unwrap();
    let check = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command
            .env("POINTSMAN_CONFIG", &file)
            .args(["config", "check"])
            .args(arguments);
        let output = to_its_end(&mut command);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(check(&["--embedded"]), (Some(0), format!("{}: fine\n", file.display())));
    assert_eq!(check(&[]).0, Some(64), "without brokers it would not start");
    let (code, said) = check(&["--embedded", "--json"]);
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (code, &told["fine"], &told["mistakes"]),
        (Some(0), &json!(true), &json!([]))
    );
    let (code, said) = check(&["/nowhere/pointsman.toml"]);
    assert!(
        code == Some(64) && said.starts_with("/nowhere/pointsman.toml: cannot read"),
        "{said}"
    );
    assert!(!socket.exists());
}
