//! JavaScript. componentize-qjs, which npm installs into the project, puts `plugin.js` and what it imports into a component
//! together with the engine QuickJS. What the engine would ask of WASI is stubbed out: calling it traps.

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

const ENTRY: &str = "plugin.js";
const COMPONENTIZE: &str = "node_modules/.bin/componentize-qjs";

pub(super) fn build(tools: &Programs, dir: &Path, progress: &mut dyn FnMut(&str)) -> anyhow::Result<Component> {
    let name = name(dir)?;
    need_source(dir.join(ENTRY), Language::Js)?;
    if !dir.join(COMPONENTIZE).exists() {
        return Err(BuildError::NoTool {
            program: dir.join(COMPONENTIZE).display().to_string(),
            purpose: "puts JavaScript into a component",
            cure: format!(
                "run `npm install` in {}, whose package.json needs \"componentize-qjs\": \"0.4.5\" under devDependencies",
                dir.display()
            ),
        }
        .into());
    }
    progress(&format!("making a component of {name} (componentize-qjs)"));
    let component = componentize(
        "componentize-qjs",
        &tools.node,
        dir,
        |command, wit, out| {
            // Runs the script with node by name, so that a missing node can be told from a missing script.
            command.arg(COMPONENTIZE).arg("--wit").arg(wit);
            command.args(["-n", interface::WORLD, "--js", ENTRY, "--sync", "--stub-wasi", "-o"]);
            command.arg(out);
        },
        || BuildError::NoTool {
            program: super::programs::shown(&tools.node),
            purpose: "runs componentize-qjs",
            cure:
                "install Node.js 18 or newer (https://nodejs.org); on Debian or Ubuntu: sudo apt-get install nodejs npm"
                    .to_owned(),
        },
    )?;
    check(name, component, Language::Js)
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

/// The package's name, without its scope.
fn name(dir: &Path) -> anyhow::Result<String> {
    let file = dir.join("package.json");
    let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let package: Package = serde_json::from_slice(&text).map_err(|error| BuildError::NoName {
        file: file.clone(),
        message: error.to_string(),
        cure: "write a line `\"name\": \"my-plugin\"` there",
    })?;
    let name = package.name.rsplit('/').next().unwrap_or(&package.name);
    Ok(checked_name(name, &file)?)
}
