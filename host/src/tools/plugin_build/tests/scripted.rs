//! JavaScript and Python, whose tools make the component by themselves.

use super::*;

const PACKAGE_JSON: &str = r#"{"name": "@team/mine"}"#;
const PYPROJECT: &str = "[project]\nname = \"mine\"\n";

/// Copies `made` to the file after `-o`, which is the last argument.
const COPIES: &str = r#"for last; do :; done; cp made "$last""#;

fn js() -> anyhow::Result<Bench> {
    let bench = Bench::with("package.json", PACKAGE_JSON)?;
    bench.write("plugin.js", b"")?;
    bench.write("node_modules/.bin/componentize-qjs", b"")?;
    Ok(bench)
}

fn python() -> anyhow::Result<Bench> {
    let bench = Bench::with("pyproject.toml", PYPROJECT)?;
    bench.write("app.py", b"")?;
    Ok(bench)
}

#[test]
fn each_missing_piece_is_named_with_the_command_that_brings_it() -> anyhow::Result<()> {
    let bench = Bench::with("package.json", PACKAGE_JSON)?;
    assert!(bench.refusal()?.contains("plugin.js is missing"));
    bench.write("plugin.js", b"")?;
    let refusal = bench.refusal()?;
    assert!(
        refusal.contains("node_modules/.bin/componentize-qjs") && refusal.contains("run `npm install` in"),
        "{refusal}"
    );
    let refusal = js()?.refusal()?;
    assert!(refusal.contains("runs componentize-qjs; install Node.js"), "{refusal}");

    let bench = Bench::with("pyproject.toml", PYPROJECT)?;
    assert!(bench.refusal()?.contains("app.py is missing"));
    let refusal = python()?.refusal()?;
    assert!(refusal.contains("pip install componentize-py==0.25.1"), "{refusal}");
    Ok(())
}

#[test]
fn what_a_failed_tool_said_is_told() -> anyhow::Result<()> {
    let fails = "echo 'SyntaxError: line 3'; exit 7";
    let mut bench = js()?;
    bench.tools.node = bench.program("node.sh", fails)?;
    let refusal = bench.refusal()?;
    assert!(
        refusal.contains("componentize-qjs could not build") && refusal.ends_with("it said:\nSyntaxError: line 3"),
        "{refusal}"
    );

    let mut bench = python()?;
    bench.tools.componentize_py = bench.program("componentize-py.sh", "exit 7")?;
    let refusal = bench.refusal()?;
    assert!(refusal.ends_with("and said nothing"), "{refusal}");
    Ok(())
}

#[test]
fn a_component_that_is_no_partitioner_is_refused_and_told_what_its_language_wants() -> anyhow::Result<()> {
    let mut bench = js()?;
    bench.tools.node = bench.program("node.sh", COPIES)?;
    bench.write("made", EMPTY_COMPONENT)?;
    let refusal = bench.refusal()?;
    assert!(
        refusal.contains("mine exports no partitioner") && refusal.contains("plugin.js"),
        "{refusal}"
    );
    bench.write("made", b"not wasm")?;
    assert!(bench.refusal()?.contains("what was built from mine is not a component"));
    assert!(!bench.left_in_dist());

    let bench = python()?;
    // The program of the project's own environment is used, though the environment is not active.
    bench.write(".venv/bin/.keep", b"")?;
    bench.program(".venv/bin/componentize-py", COPIES)?;
    bench.write("made", EMPTY_COMPONENT)?;
    let refusal = bench.refusal()?;
    assert!(
        refusal.contains("mine exports no partitioner") && refusal.contains("app.py"),
        "{refusal}"
    );
    Ok(())
}

#[test]
fn the_tools_get_the_projects_own_interface_and_else_the_hosts() -> anyhow::Result<()> {
    let shows_wit = r#"while [ "$1" != --wit ]; do shift; done; grep -h ^package "$2"/*.wit; exit 1"#;
    let mut bench = js()?;
    bench.tools.node = bench.program("node.sh", shows_wit)?;
    assert!(bench.refusal()?.contains("package pointsman:partitioner@1.1.0;"));
    bench.write("wit/old.wit", b"package pointsman:partitioner@0.9.0;")?;
    let refusal = bench.refusal()?;
    assert!(
        refusal.ends_with("it said:\npackage pointsman:partitioner@0.9.0;"),
        "{refusal}"
    );
    Ok(())
}

#[test]
fn a_name_that_would_leave_the_plugin_folder_is_refused() -> anyhow::Result<()> {
    let bench = js()?;
    for (text, expected) in [
        (r#"{"name": "a/.."}"#, "names the plugin `..`"),
        (r#"{"name": "a b"}"#, "names the plugin `a b`"),
        (r#"{"version": "1"}"#, "missing field `name`"),
        ("{", "package.json: "),
    ] {
        bench.write("package.json", text.as_bytes())?;
        let refusal = bench.refusal()?;
        assert!(refusal.contains(expected), "{refusal}");
    }
    let bench = python()?;
    bench.write("pyproject.toml", b"[build-system]\n")?;
    let refusal = bench.refusal()?;
    assert!(
        refusal.contains("missing field `project`") && refusal.contains("under [project]"),
        "{refusal}"
    );
    Ok(())
}
