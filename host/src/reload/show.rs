//! What `/plugins` and `/ready` show.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{
    Reloader,
    state::{Plugin, State},
};
use crate::{
    config::redacted,
    plugin::Code,
    routing::route::{Decider, Route},
};

impl Reloader {
    /// The routes in order, each plugin once, and the state of the configuration file.
    pub fn shown(&self) -> Value {
        let table = self.routes.table();
        let routes: Vec<Value> = table.routes().iter().map(|route| shown_route(route)).collect();
        let state = self.state();
        let plugins: Vec<Value> = state
            .plugins
            .iter()
            .map(|(name, plugin)| self.shown_plugin(&state, name, plugin))
            .collect();
        json!({
            "routes": routes,
            "plugins": plugins,
            "configuration": {
                "file": self.config_file.path(),
                "problem": state.config.problem,
                "needs_restart": state.config.needs_restart,
            },
        })
    }

    /// Whether each route has its plugin, and a list of all problems.
    pub fn readiness(&self) -> (bool, Vec<String>) {
        let table = self.routes.table();
        let complete = !table
            .routes()
            .iter()
            .any(|route| matches!(route.decider, Decider::Missing));
        let state = self.state();
        let mut problems: Vec<String> = state
            .plugins
            .keys()
            .filter_map(|name| Some(format!("plugin \"{name}\": {}", state.problem(name)?)))
            .collect();
        problems.extend(
            state
                .config
                .problem
                .iter()
                .map(|problem| format!("configuration: {problem}")),
        );
        let suspended = table
            .routes()
            .iter()
            .filter_map(|route| route.plugin())
            .filter(|pool| pool.is_suspended());
        problems.extend(suspended.map(|pool| format!("plugin \"{}\": suspended, it kept failing", pool.name())));
        problems.dedup();
        (complete, problems)
    }

    fn shown_plugin(&self, state: &State, name: &str, plugin: &Plugin) -> Value {
        let file = self.file(name);
        json!({
            "name": name,
            // A client such as `plugin dev` may run in another folder.
            "file": std::path::absolute(&file).unwrap_or(file),
            "active": plugin.active.as_deref().map(shown_code),
            "active_since": plugin.since.and_then(ms),
            "previous": plugin.previous.as_deref().map(shown_code),
            "ignored_digest": plugin.ignored,
            "file_digest": plugin.file.digest(),
            "compiling": plugin.compiling.is_some() || plugin.postponed.is_some(),
            "problem": state.problem(name),
        })
    }
}

fn shown_code(code: &Code) -> Value {
    json!({"digest": code.digest, "bytes": code.bytes})
}

fn shown_route(route: &Route) -> Value {
    let config = &route.config;
    let plugin = match &route.decider {
        Decider::KeyHash => Value::Null,
        Decider::Missing => json!({"name": config.plugin, "missing": true}),
        Decider::Plugin(pool) => json!({
            "name": pool.name(),
            "digest": pool.digest(),
            "bytes": pool.code().bytes,
            "suspended": pool.is_suspended(),
            "batch_paused": pool.is_batch_paused(),
            "instance": pool.footprint(),
        }),
    };
    let shadow = match (&route.shadow, &config.shadow) {
        (Some(shadow), _) => shadow.shown(),
        (None, Some(configured)) => json!({"name": configured.plugin, "missing": true}),
        (None, None) => Value::Null,
    };
    json!({
        "topics": config.topics,
        "plugin": plugin,
        "config": redacted(config.config.clone().into()),
        "on_error": config.on_error,
        "shadow": shadow,
    })
}

/// Milliseconds since 1970.
fn ms(time: SystemTime) -> Option<u64> {
    u64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}
