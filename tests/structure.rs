//! The sidecar's own source is a house with rooms in the order of a record's way: each folder of `host/src` uses only those below
//! it, and no two files use each other. What is read are the `use` lines and the paths in the code, tests aside.

mod arrows;

use std::{collections::BTreeSet, fs};

use self::arrows::Arrows;
use crate::support::{files::files_below, sidecar::root};

/// Each folder with those that it may use. They stand in the order of a record's way, so each may only name folders behind it. To let a
/// folder use one more, write it here; one that is used no more has to go.
const FOLDERS: [(&str, &[&str]); 17] = [
    (
        "run",
        &[
            "ingest",
            "reload",
            "follow",
            "pipeline",
            "schemas",
            "routing",
            "plugin",
            "produce",
            "observe",
            "tenants",
            "topic",
            "admission",
            "config",
            "base",
        ],
    ),
    (
        "tools",
        &[
            "ingest",
            "reload",
            "schemas",
            "plugin",
            "tenants",
            "topic",
            "admission",
            "config",
            "base",
        ],
    ),
    (
        "ingest",
        &[
            "ordering",
            "pipeline",
            "schemas",
            "routing",
            "plugin",
            "produce",
            "admission",
            "config",
            "base",
        ],
    ),
    ("ordering", &["pipeline", "produce", "admission", "config", "base"]),
    ("follow", &["pipeline", "tenants", "config", "base"]),
    (
        "pipeline",
        &[
            "schemas",
            "routing",
            "plugin",
            "produce",
            "observe",
            "tenants",
            "topic",
            "admission",
            "base",
        ],
    ),
    ("reload", &["routing", "plugin", "config", "base"]),
    ("schemas", &["config", "base"]),
    (
        "routing",
        &["plugin", "produce", "tenants", "topic", "admission", "config", "base"],
    ),
    ("plugin", &["tenants", "topic", "config", "base"]),
    ("produce", &["topic", "admission", "base"]),
    ("observe", &["topic", "base"]),
    ("topic", &["admission", "base"]),
    ("tenants", &[]),
    ("admission", &["config"]),
    ("config", &[]),
    ("base", &[]),
];

/// The simulation and what fuzzers call are tests: they use whatever they test.
const TESTS: [&str; 2] = ["simulation", "fuzzing"];

/// The most lines of a file that a reader can keep in mind.
const FILE_LINES: usize = 400;

fn sources() -> Arrows {
    Arrows::read(&root().join("host/src"), &TESTS)
}

#[test]
fn each_folder_uses_only_those_that_it_may_and_they_stand_below_it() {
    let used: BTreeSet<(String, String)> = sources()
        .all()
        .map(|(from, to)| (folder(&from), folder(&to)))
        .filter(|(from, to)| from != to)
        .collect();
    let mut allowed = BTreeSet::new();
    for (index, (from, below)) in FOLDERS.iter().enumerate() {
        for to in *below {
            let stands_behind = FOLDERS[index + 1..].iter().any(|(name, _)| name == to);
            assert!(
                stands_behind,
                "{from} may use {to} only where {to} stands behind it in FOLDERS"
            );
            allowed.insert(((*from).to_owned(), (*to).to_owned()));
        }
    }
    let forbidden: Vec<_> = used.difference(&allowed).collect();
    assert!(
        forbidden.is_empty(),
        "folders that use one that they may not: {forbidden:?}"
    );
    let idle: Vec<_> = allowed.difference(&used).collect();
    assert!(idle.is_empty(), "FOLDERS allows what nothing uses any more: {idle:?}");
}

#[test]
fn no_file_uses_one_that_uses_it() {
    let circles = sources().circles();
    assert!(circles.is_empty(), "files in circles:\n{}", circles.join("\n"));
}

#[test]
fn a_file_fits_a_reader_s_head() {
    let mut long = Vec::new();
    for file in files_below(&root().join("host/src"), ".rs") {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        if lines > FILE_LINES {
            long.push(format!("{}: {lines} lines", file.display()));
        }
    }
    assert!(long.is_empty(), "files over {FILE_LINES} lines: {long:#?}");
}

fn folder(module: &str) -> String {
    module.split("::").next().unwrap_or_default().to_owned()
}

/// A circle of two files behind a re-export, and an arrow that a nested `use` hides.
#[test]
fn a_planted_circle_is_found() {
    let planted = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = planted.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    };
    write("lib.rs", "pub mod a;\npub mod b;\n");
    write("a.rs", "mod inner;\npub use self::inner::Thing;\n");
    write(
        "a/inner.rs",
        "use crate::{\n    b::{self, Other},\n};\npub struct Thing;\n",
    );
    write("b.rs", "pub struct Other;\nfn f(_: &crate::a::Thing) {}\n");
    let arrows = Arrows::read(planted.path(), &[]);
    let all: Vec<_> = arrows.all().collect();
    let arrow = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    assert_eq!(all, [arrow("a::inner", "b"), arrow("b", "a::inner")]);
    assert_eq!(arrows.circles(), ["a::inner, b"]);
}

/// What the crate of the routing table may use. It is pure, so that a model checker and a simulation can use it as it is.
const OF_ROUTING: [&str; 5] = ["foldhash", "serde", "serde_json", "smol_str", "thiserror"];

#[test]
fn the_routing_table_uses_no_clock_no_thread_no_file_and_no_runtime() {
    let manifest = fs::read_to_string(root().join("routing/Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let dependencies: Vec<&str> = manifest["dependencies"]
        .as_table()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(dependencies, OF_ROUTING);
    for file in files_below(&root().join("routing/src"), ".rs") {
        let code = fs::read_to_string(&file).unwrap();
        for banned in [
            "std::time",
            "std::thread",
            "std::fs",
            "std::net",
            "std::env",
            "std::process",
            "async ",
        ] {
            assert!(!code.contains(banned), "{} has {banned}", file.display());
        }
    }
}
