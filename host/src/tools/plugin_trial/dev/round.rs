//! One round: build, test, bring in, wait, compare.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Instant,
};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{
    changes::{self, Changes},
    ending::Ending,
    event::Event,
    sidecar::{ComponentState, Sidecar},
};
use crate::{
    base::record::Record,
    tools::{
        admin_client::Admin,
        cli::Dev,
        plugin_build,
        plugin_trial::{
            bench,
            cases::Cases,
            load,
            test::{self, Outcome},
        },
    },
};

/// Changes to cargo's release profile. They leave out the steps that take nine tenths of a second build and only make
/// the component smaller.
const QUICK: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_INCREMENTAL", "true"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
];
/// How much of a failed build's messages scripts get, bytes.
const MAX_SAID: usize = 64 << 10;

/// What lasts from round to round.
pub(super) struct Rounds<'a> {
    options: &'a Dev,
    admin: &'a Admin,
    ending: &'a Arc<Ending>,
    /// Where components are built: in their final place a sidecar would take them before they are tested.
    scratch: TempDir,
    /// The records of `--records`, with which two versions are compared.
    records: Option<Vec<Record>>,
    /// A copy of the version that decided before, for the comparison.
    before: Option<PathBuf>,
    /// How many rounds there were.
    rounds: u64,
}

/// The name of a routing table by which the cases beside it are tested.
const ROUTES: &str = "routes.json";

/// A component in the output of `pointsman plugin build --json`.
#[derive(Debug, Deserialize)]
struct Built {
    name: String,
    file: PathBuf,
    bytes: u64,
    sha256: String,
}

type Tell<'a> = dyn FnMut(&Event<'_>) + 'a;

impl<'a> Rounds<'a> {
    pub(super) fn new(options: &'a Dev, admin: &'a Admin, ending: &'a Arc<Ending>) -> anyhow::Result<Self> {
        let read = |file| bench::read(file, bench::TOPIC);
        let scratch = tempfile::Builder::new().prefix("pointsman-dev-").tempdir();
        Ok(Self {
            options,
            admin,
            ending,
            scratch: scratch.context("cannot make a folder for temporary files")?,
            records: options.records.as_deref().map(read).transpose()?,
            before: None,
            rounds: 0,
        })
    }

    /// Runs one round and returns whether all went well. `changed` is when the save was noticed.
    pub(super) fn round(&mut self, changed: Instant, tell: &mut Tell<'_>) -> bool {
        self.rounds += 1;
        match self.steps(changed, tell) {
            Ok(well) => well,
            // The user has ended it, and wants no reasons.
            Err(_) if self.ending.has_begun() => false,
            Err(error) => {
                let error = format!("{error:#}");
                tell(&Event::Failed { error: &error });
                false
            }
        }
    }

    fn steps(&mut self, changed: Instant, tell: &mut Tell<'_>) -> anyhow::Result<bool> {
        let Some(built) = self.build(tell)? else {
            return Ok(false);
        };
        let tables = tables(&self.options.dir)?;
        let is_good = tried(&built, &tables, self.routes().as_deref(), tell);
        if self.ending.has_begun() {
            return Ok(false);
        }
        if !is_good && !self.options.force {
            tell(&Event::Kept);
            return Ok(false);
        }
        let mut sidecar = Sidecar::find(self.admin)?;
        let folder = self.folder(sidecar.as_ref(), &built)?;
        let file = folder.join(format!("{}.wasm", built.name));
        if self.before.is_none() {
            self.before = self.keep(&file, &built.name)?;
        }
        if digest(&file)?.as_ref() != Some(&built.sha256) {
            plugin_build::put(&built.file, &built.name, &folder)?;
        }
        let is_taken = match &mut sidecar {
            Some(sidecar) => self.wait(sidecar, &built, &file, changed, tell)?,
            None => {
                let address = self.admin.address.to_string();
                tell(&Event::NoSidecar {
                    address: &address,
                    file: &file,
                });
                true
            }
        };
        if is_taken {
            self.compare(&built, &tables, tell)?;
            self.before = self.keep(&built.file, &built.name)?;
        }
        Ok(is_good && is_taken)
    }

    /// Builds in a process group of its own, so that Ctrl-C can end the build with all of its compilers.
    fn build(&self, tell: &mut Tell<'_>) -> anyhow::Result<Option<Built>> {
        let begun = Instant::now();
        let program = env::current_exe().context("cannot tell where this program is")?;
        let mut command = Command::new(program);
        command.args(["plugin", "build", "--json", "--out"]);
        command.arg(self.scratch.path().join("built")).arg(&self.options.dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.envs(QUICK.into_iter().filter(|(name, _)| env::var_os(name).is_none()));
        // The leftovers of a build that is ended half-way are removed with the folder.
        command.env("TMPDIR", self.scratch.path());
        // The first build takes long and shows what it does. Later builds only say what is wrong.
        if self.rounds > 1 {
            command.arg("--quiet").env("CARGO_TERM_QUIET", "true");
        }
        if self.options.json {
            command.stderr(Stdio::piped());
        }
        let output = self.ending.output(&mut command).context("cannot run the build")?;
        if self.ending.has_begun() {
            return Ok(None);
        }
        if !output.status.success() {
            let from = output.stderr.len().saturating_sub(MAX_SAID);
            let said = String::from_utf8_lossy(&output.stderr[from..]);
            tell(&Event::NotBuilt {
                said: self.options.json.then_some(said.trim()),
            });
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let built: Vec<Built> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let [built] = <[Built; 1]>::try_from(built).map_err(|built| {
            anyhow::anyhow!(
                "{} holds {} plugins; name the folder of one of them",
                self.options.dir.display(),
                built.len()
            )
        })?;
        tell(&Event::Built {
            name: &built.name,
            bytes: built.bytes,
            digest: &built.sha256,
            seconds: begun.elapsed().as_secs_f64(),
        });
        Ok(Some(built))
    }

    /// The folder that the component is put into.
    fn folder(&self, sidecar: Option<&Sidecar<'_>>, built: &Built) -> anyhow::Result<PathBuf> {
        match (&self.options.plugins, sidecar) {
            (Some(folder), _) => Ok(folder.clone()),
            (None, Some(sidecar)) => sidecar.folder(&built.name),
            (None, None) => Ok(self.options.dir.join("dist")),
        }
    }

    /// Copies a component. None: there is no such file.
    fn keep(&self, file: &Path, name: &str) -> anyhow::Result<Option<PathBuf>> {
        if !file.is_file() {
            return Ok(None);
        }
        let kept = plugin_build::put(file, name, &self.scratch.path().join("before"))?;
        Ok(Some(kept.file))
    }

    fn wait(
        &self,
        sidecar: &mut Sidecar<'_>,
        built: &Built,
        file: &Path,
        changed: Instant,
        tell: &mut Tell<'_>,
    ) -> anyhow::Result<bool> {
        let (name, address) = (&*built.name, &*self.admin.address.to_string());
        let verdict = sidecar.wait(name, &built.sha256, self.ending)?;
        let event = match &verdict {
            ComponentState::Decides { topics } => Event::Live {
                address,
                digest: &built.sha256,
                topics,
                seconds: changed.elapsed().as_secs_f64(),
                since: if self.rounds > 1 { "save" } else { "start" },
            },
            ComponentState::NoRoute => Event::NoRoute { address, name, file },
            ComponentState::Refused { problem } => Event::Refused { address, problem },
            ComponentState::RolledBack => Event::RolledBack { address, name },
            ComponentState::Pending if self.ending.has_begun() => return Ok(false),
            ComponentState::Pending => Event::Overlooked { address, file },
        };
        tell(&event);
        Ok(matches!(verdict, ComponentState::Decides { .. }))
    }

    /// The routing table in the plugin's folder, if there is one.
    fn routes(&self) -> Option<PathBuf> {
        let file = self.options.dir.join(ROUTES);
        file.is_file().then_some(file)
    }

    fn compare(&self, built: &Built, tables: &[PathBuf], tell: &mut Tell<'_>) -> anyhow::Result<()> {
        let Some(before) = &self.before else { return Ok(()) };
        let mut found = Changes {
            same_component: digest(before)?.as_ref() == Some(&built.sha256),
            ..Changes::default()
        };
        if !found.same_component {
            for table in tables {
                // The version before may refuse this table's config; then there is nothing to compare.
                let test = |file| test::test(file, table, self.routes().as_deref());
                if let (Ok(before), Ok(after)) = (test(before), test(&built.file)) {
                    found.cases.extend(changes::cases(&before, &after));
                }
            }
            if let Some(records) = &self.records {
                let config = config_of(tables)?;
                let places = |file| changes::places(file, &config, records, self.options.partitions);
                let after = places(&built.file)?;
                found.records = places(before)
                    .ok()
                    .map(|before| changes::moves(records, &before, &after));
            }
        }
        tell(&Event::Changed(&found));
        Ok(())
    }
}

/// Whether the component decides as all tables say. Without a table, whether a sidecar could load it.
fn tried(built: &Built, tables: &[PathBuf], routes: Option<&Path>, tell: &mut Tell<'_>) -> bool {
    if tables.is_empty() {
        tell(&Event::NoCases);
        return match load(&built.file) {
            Ok(_) => true,
            Err(error) => {
                let error = format!("{error:#}");
                tell(&Event::NotTested {
                    cases: None,
                    error: &error,
                });
                false
            }
        };
    }
    let mut all = true;
    for table in tables {
        let name = table.file_name().unwrap_or_default().to_string_lossy();
        match test::test(&built.file, table, routes) {
            Ok(outcomes) => {
                all &= outcomes.iter().all(|outcome: &Outcome| outcome.passed);
                tell(&Event::Tested {
                    cases: &name,
                    outcomes: &outcomes,
                });
            }
            Err(error) => {
                all = false;
                let error = format!("{error:#}");
                tell(&Event::NotTested {
                    cases: Some(&name),
                    error: &error,
                });
            }
        }
    }
    all
}

/// The tables of cases in the plugin's folder: `cases.toml` first, then `cases-….toml`.
fn tables(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut tables = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read the folder {}", dir.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name == "cases.toml" || (name.starts_with("cases-") && name.ends_with(".toml")) {
            tables.push(path);
        }
    }
    // `-` sorts before `.`, so `cases.toml` needs a rule to come first.
    tables.sort_by_key(|table| (table.file_name() != Some("cases.toml".as_ref()), table.clone()));
    Ok(tables)
}

/// The config of the first table of cases; it is also used to compare records.
fn config_of(tables: &[PathBuf]) -> anyhow::Result<Value> {
    match tables.first() {
        Some(table) => Ok(Value::Object(Cases::read(table)?.config)),
        None => Ok(Value::Object(serde_json::Map::new())),
    }
}

fn digest(file: &Path) -> anyhow::Result<Option<String>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(format!("{:x}", Sha256::digest(bytes)))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_of_cases_is_found_and_the_plain_one_comes_first() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in [
            "cases-configured.toml",
            "cases.toml",
            "Cargo.toml",
            "cases-a.toml",
            "cases.json",
        ] {
            fs::write(folder.path().join(name), "").expect("written");
        }
        let names: Vec<_> = tables(folder.path())
            .expect("tables")
            .iter()
            .map(|table| table.file_name().expect("a name").to_owned())
            .collect();
        assert_eq!(names, ["cases.toml", "cases-a.toml", "cases-configured.toml"]);
    }
}
