//! The running sidecar: where it has its plugins, and whether it decides with the new version.

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use hyper::{Method, StatusCode};
use serde::Deserialize;

use super::ending::Ending;
use crate::tools::admin_client::{self, Admin};

/// How long to wait for an answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How often the sidecar is asked whether it decides with the new version.
const ASK_AGAIN: Duration = Duration::from_millis(10);
/// A sidecar that has not looked at a new file by then never will: it gets an event at once, or polls within seconds.
const DEADLINE: Duration = Duration::from_secs(60);

/// The parts of `GET /plugins` that matter here.
#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    routes: Vec<Route>,
    plugins: Vec<Plugin>,
}

#[derive(Debug, Deserialize)]
struct Route {
    topics: Vec<String>,
    plugin: Option<OfRoute>,
}

#[derive(Debug, Deserialize)]
struct OfRoute {
    name: String,
    digest: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Plugin {
    name: String,
    file: PathBuf,
    active: Option<Active>,
    /// The digest of the file as it is now.
    file_digest: Option<String>,
    /// The digest that was rolled back and is ignored.
    ignored_digest: Option<String>,
    /// Why the file was not taken.
    problem: Option<String>,
}

/// The version that decides.
#[derive(Debug, Deserialize)]
struct Active {
    digest: String,
}

/// What the sidecar does with a component.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ComponentState {
    /// It decides with the component, for these topics.
    Decides { topics: Vec<String> },
    /// No route names the plugin.
    NoRoute,
    /// It tried the component and did not take it.
    Refused { problem: String },
    /// It ignores the component, because somebody rolled it back.
    RolledBack,
    /// It has not looked at the component yet.
    Pending,
}

impl Shown {
    pub(super) fn verdict(&self, name: &str, digest: &str) -> ComponentState {
        let Some(plugin) = self.plugins.iter().find(|plugin| plugin.name == name) else {
            return ComponentState::NoRoute;
        };
        let routes = || {
            let named = |route: &&Route| route.plugin.as_ref().is_some_and(|plugin| plugin.name == name);
            self.routes.iter().filter(named)
        };
        let decides = |route: &Route| {
            let plugin = route.plugin.as_ref();
            plugin.is_some_and(|plugin| plugin.digest.as_deref() == Some(digest))
        };
        if plugin.active.as_ref().is_some_and(|active| active.digest == digest) && routes().all(decides) {
            let topics = routes().flat_map(|route| route.topics.clone()).collect();
            return ComponentState::Decides { topics };
        }
        if plugin.ignored_digest.as_deref() == Some(digest) {
            return ComponentState::RolledBack;
        }
        match &plugin.problem {
            Some(problem) if plugin.file_digest.as_deref() == Some(digest) => ComponentState::Refused {
                problem: problem.clone(),
            },
            _ => ComponentState::Pending,
        }
    }

    /// The folder that holds the plugin's file. If no route names the plugin, the folder that holds other plugins'
    /// files.
    fn folder(&self, name: &str) -> Option<PathBuf> {
        let named = self.plugins.iter().find(|plugin| plugin.name == name);
        let file = &named.or(self.plugins.first())?.file;
        file.parent().map(Path::to_owned)
    }
}

/// A sidecar that answers.
#[derive(Debug)]
pub(super) struct Sidecar<'a> {
    admin: &'a Admin,
    shown: Shown,
}

impl<'a> Sidecar<'a> {
    /// The sidecar at this address. None: nobody answers there.
    pub(super) fn find(admin: &'a Admin) -> anyhow::Result<Option<Self>> {
        let Ok((status, body)) = admin_client::ask(admin, Method::GET, "/plugins", ANSWER) else {
            return Ok(None);
        };
        let shown = read(admin, status, &body)?;
        Ok(Some(Self { admin, shown }))
    }

    /// The folder in which the sidecar looks for this plugin.
    pub(super) fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = match self.shown.folder(name) {
            Some(folder) => folder,
            None => self.configured_folder()?,
        };
        anyhow::ensure!(
            folder.is_dir(),
            "the sidecar at {} has its plugins in {}, which does not exist here (it may run in a container, or on \
             another machine); name the folder with --plugins",
            self.admin.address,
            folder.display()
        );
        Ok(folder)
    }

    /// The folder from the configuration, for when no route has a plugin yet.
    fn configured_folder(&self) -> anyhow::Result<PathBuf> {
        #[derive(Deserialize)]
        struct Config {
            plugins: Plugins,
        }
        #[derive(Deserialize)]
        struct Plugins {
            dir: PathBuf,
        }
        let (_, body) = admin_client::ask(self.admin, Method::GET, "/config", ANSWER)?;
        let config: Config = serde_json::from_str(&body).with_context(|| {
            format!(
                "the sidecar at {} does not say where its plugins are; name the folder with --plugins",
                self.admin.address
            )
        })?;
        Ok(config.plugins.dir)
    }

    /// Waits until the component decides, or it is clear that it will not.
    pub(super) fn wait(&mut self, name: &str, digest: &str, ending: &Ending) -> anyhow::Result<ComponentState> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let (status, body) = admin_client::ask(self.admin, Method::GET, "/plugins", ANSWER)?;
            self.shown = read(self.admin, status, &body)?;
            let verdict = self.shown.verdict(name, digest);
            if verdict != ComponentState::Pending || ending.has_begun() || Instant::now() > deadline {
                return Ok(verdict);
            }
            thread::sleep(ASK_AGAIN);
        }
    }
}

fn read(admin: &Admin, status: StatusCode, body: &str) -> anyhow::Result<Shown> {
    let address = admin.address;
    anyhow::ensure!(
        status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN,
        "the sidecar at {address} requires a token ({status}); name the token's file with --token-file, or its configuration \
         with --config"
    );
    anyhow::ensure!(
        status.is_success(),
        "what answers at {address} is not a sidecar: GET /plugins is {status}"
    );
    serde_json::from_str(body).with_context(|| {
        format!("what answers at {address} is not a sidecar, or is one of another version: GET /plugins")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(plugin: &serde_json::Value, route: &serde_json::Value) -> Shown {
        let of_plugin = json!({"name": "p", "file": "/plugins/p.wasm", "active": {"digest": "old", "bytes": 1},
            "active_since": 1, "previous": null, "ignored_digest": null, "file_digest": "old", "problem": null});
        let mut of_plugin = of_plugin.as_object().expect("an object").clone();
        of_plugin.extend(plugin.as_object().expect("an object").clone());
        let all = json!({
            "routes": [
                {"topics": ["x"], "plugin": null, "config": {}, "on_error": "reject", "shadow": null},
                {"topics": ["orders", "o.*"], "plugin": route},
            ],
            "plugins": [of_plugin],
            "configuration": {},
        });
        serde_json::from_value(all).expect("as the sidecar shows it")
    }

    #[test]
    fn it_is_live_only_when_every_route_decides_with_it_and_a_refusal_is_told_apart_from_waiting() {
        let decided_by = |digest: &str| json!({"name": "p", "digest": digest, "bytes": 1, "suspended": false});
        let missing = json!({"name": "p", "missing": true});
        let active = json!({"active": {"digest": "new"}, "file_digest": "new"});
        let pending = [
            shown(&json!({}), &decided_by("old")),
            // The problem is about the file's content before.
            shown(&json!({"problem": "bad"}), &decided_by("old")),
            shown(&json!({"file_digest": "new"}), &decided_by("old")),
            shown(&active, &decided_by("old")),
            shown(&active, &missing),
        ];
        for (number, shown) in pending.iter().enumerate() {
            assert_eq!(shown.verdict("p", "new"), ComponentState::Pending, "{number}");
        }
        let topics = vec!["orders".to_owned(), "o.*".to_owned()];
        let decides = shown(&active, &decided_by("new")).verdict("p", "new");
        assert_eq!(decides, ComponentState::Decides { topics });
        let refused = shown(&json!({"file_digest": "new", "problem": "bad"}), &decided_by("old"));
        assert_eq!(
            refused.verdict("p", "new"),
            ComponentState::Refused {
                problem: "bad".to_owned()
            }
        );
        let rolled_back = json!({"file_digest": "new", "ignored_digest": "new"});
        assert_eq!(
            shown(&rolled_back, &decided_by("old")).verdict("p", "new"),
            ComponentState::RolledBack
        );
        assert_eq!(refused.verdict("other", "new"), ComponentState::NoRoute);
    }

    #[test]
    fn a_plugin_without_a_route_goes_where_the_others_are() {
        let shown = shown(&json!({}), &json!(null));
        for name in ["p", "other"] {
            assert_eq!(shown.folder(name), Some(PathBuf::from("/plugins")));
        }
    }
}
