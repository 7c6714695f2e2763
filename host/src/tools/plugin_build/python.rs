//! Python. componentize-py puts `app.py` and what it imports into a component together with the interpreter. What the
//! interpreter would ask of WASI is stubbed out: calling it traps.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

use super::component::{Component, check};
use super::tool::{componentize, need_source};
use super::{
    error::BuildError,
    interface,
    language::Language,
    programs::{Programs, checked_name},
};

const ENTRY: &str = "app.py";

pub(super) fn build(tools: &Programs, dir: &Path, progress: &mut dyn FnMut(&str)) -> anyhow::Result<Component> {
    let name = name(dir)?;
    need_source(dir.join(ENTRY), Language::Python)?;
    progress(&format!("making a component of {name} (componentize-py)"));
    let program = program(tools, dir);
    let component = componentize(
        "componentize-py",
        &program,
        dir,
        |command, wit, out| {
            command
                .arg("-d")
                .arg(wit)
                .args(["-w", interface::WORLD, "componentize"]);
            command.args([ENTRY.trim_end_matches(".py"), "-s", "-o"]).arg(out);
        },
        || BuildError::NoTool {
            program: super::programs::shown(&program),
            purpose: "puts Python into a component",
            cure: format!(
                "run `python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1` in {}, or `pip install \
                 componentize-py==0.25.1` in an environment that is active",
                dir.display()
            ),
        },
    )?;
    check(name, component, Language::Python)
}

/// The program to run. The one in the project's own environment comes first, so that the environment need not be
/// active.
fn program(tools: &Programs, dir: &Path) -> OsString {
    let own = dir.join(".venv/bin/componentize-py");
    match fs::canonicalize(own) {
        Ok(own) => own.into(),
        Err(_) => tools.componentize_py.clone(),
    }
}

#[derive(Deserialize)]
struct PyProject {
    project: Project,
}

#[derive(Deserialize)]
struct Project {
    name: String,
}

fn name(dir: &Path) -> anyhow::Result<String> {
    let file = dir.join("pyproject.toml");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let described: PyProject = toml::from_str(&text).map_err(|error| BuildError::NoName {
        file: file.clone(),
        message: error.message().to_owned(),
        cure: "write a line `name = \"my-plugin\"` there, under [project]",
    })?;
    Ok(checked_name(&described.project.name, &file)?)
}
