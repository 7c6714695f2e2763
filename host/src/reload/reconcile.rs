//! Brings what the files hold into service: everything at once if that works, else the parts that work.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::SystemTime,
};

use anyhow::{anyhow, bail};

use super::{
    Reloader,
    build::{Builder, Failure},
    look::Look,
};
use crate::{
    config,
    plugin::Code,
    reload::{
        events::{PluginLoaded, PluginRefused, PluginUnloaded, RoutesRefused, RoutesTaken},
        found::Found,
    },
    routing::route::{Decider, Route, Table},
};

type Codes = BTreeMap<String, Arc<Code>>;

impl Reloader {
    /// Loads everything at the start. Any problem is an error, except a file that is not there yet.
    pub(super) fn load_all(&self, routes: &[config::Route]) -> anyhow::Result<()> {
        let names = self.state().names();
        for name in names {
            self.load(&name);
            let state = self.state();
            let decides = routes.iter().any(|route| route.plugin.as_ref() == Some(&name));
            if let Some(Found::Bad { reason, .. }) = state.plugins.get(&name).map(|plugin| &plugin.file)
                && decides
            {
                bail!("plugin file {}: {reason}", self.file(&name).display());
            }
        }
        let wants = self.state().wants();
        let table = self
            .build(routes, &wants, &|_| true, true)
            .map_err(|failure| anyhow!(failure.reason))?;
        let missing = |route: &Arc<Route>| matches!(route.decider, Decider::Missing);
        let names = table.routes().iter().filter(|route| missing(route));
        for plugin in names
            .filter_map(|route| route.config.plugin.as_deref())
            .collect::<BTreeSet<_>>()
        {
            tracing::warn!(
                plugin,
                file = %self.file(plugin).display(),
                "the plugin's file is not there; until it is, the records of its routes follow on_error and readiness waits"
            );
        }
        self.commit(table, routes.to_vec(), &wants);
        Ok(())
    }

    /// Looks at a plugin's file, and compiles its content at once on this thread.
    fn load(&self, name: &str) {
        let known = self.state().known(name);
        let looker = self.looker();
        let found = match looker.look(&self.file(name), &known, false) {
            Look::Same => return,
            Look::Found(found) => found,
            Look::New(signature, content) => looker.compile(&known, signature, &content),
        };
        self.found(name, found, false);
    }

    /// Tries what the files hold. A new configuration and a new plugin may only fit together, so everything is tried at
    /// once first. If that fails, each part is tried by itself.
    pub(super) fn reconcile(&self) {
        let _building = self.build_lock();
        let (pending, wants) = {
            let state = self.state();
            (state.config.pending.clone(), state.wants())
        };
        if let Some(routes) = pending {
            let tried = self
                .attempt(&routes, &wants)
                .or_else(|all| self.attempt(&routes, &self.kept(&wants)).map_err(|_| all));
            match tried {
                Ok(()) => self.config_taken(),
                Err(failure) => self.config_refused(&failure),
            }
        }
        let names: Vec<String> = wants.keys().cloned().collect();
        for name in names {
            let (routes, mut codes) = {
                let state = self.state();
                (state.config.current.routes.clone(), state.actives())
            };
            let want = &wants[&name];
            if codes.get(&name).is_some_and(|active| Arc::ptr_eq(active, want)) {
                continue;
            }
            codes.insert(name.clone(), Arc::clone(want));
            if let Err(failure) = self.attempt(&routes, &codes) {
                self.plugin_refused(&name, want, &failure);
            }
        }
    }

    /// The versions that decide now; for a plugin that has never decided, the version of its file.
    fn kept(&self, wants: &Codes) -> Codes {
        let mut kept = wants.clone();
        kept.extend(self.state().actives());
        kept
    }

    /// Builds a table and puts it in place.
    pub(super) fn attempt(&self, routes: &[config::Route], codes: &Codes) -> Result<(), Failure> {
        let current = self.routes.table();
        let without = |name: &str| {
            let waits = |route: &config::Route| route.plugin.as_deref() == Some(name);
            let mut missing = current
                .routes()
                .iter()
                .filter(|route| matches!(route.decider, Decider::Missing));
            missing.any(|route| waits(&route.config))
        };
        let table = self.build(routes, codes, &without, false)?;
        self.commit(table, routes.to_vec(), codes);
        Ok(())
    }

    fn build(
        &self,
        routes: &[config::Route],
        codes: &Codes,
        may_be_missing: &dyn Fn(&str) -> bool,
        without_bad_shadows: bool,
    ) -> Result<Table, Failure> {
        let current = self.routes.table();
        let builder = Builder {
            limits: self.limits,
            metrics: &self.metrics,
            current: &current,
            codes,
            may_be_missing,
            without_bad_shadows,
            shadow_worker: &self.shadow_worker,
        };
        builder.build(routes)
    }

    /// Puts the table in place: from here on it decides about new records. The state changes first, under a lock that
    /// is held to the end, so that a client that has seen a new version decide finds it everywhere.
    fn commit(&self, table: Table, routes: Vec<config::Route>, codes: &Codes) {
        let mut state = self.state();
        if state.config.pending.as_ref() == Some(&routes) {
            state.config.pending = None;
            state.config.problem = None;
        }
        state.config.current.routes = routes;
        let used = state.names();
        for (name, code) in codes.iter().filter(|(name, _)| used.contains(*name)) {
            let plugin = state.plugins.entry(name.clone()).or_default();
            let before = plugin.active.replace(Arc::clone(code));
            if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, code)) {
                continue;
            }
            let loaded = PluginLoaded {
                plugin: name,
                code,
                before: before.as_ref().map(|code| code.digest.as_str()),
            };
            loaded.emit(&self.metrics);
            plugin.since = Some(SystemTime::now());
            plugin.refused = None;
            if before.is_some() {
                plugin.previous = before;
            }
        }
        let unused: Vec<String> = state
            .plugins
            .keys()
            .filter(|name| !used.contains(*name))
            .cloned()
            .collect();
        for name in unused {
            if let Some(code) = state.plugins.remove(&name).and_then(|plugin| plugin.active) {
                let unloaded = PluginUnloaded {
                    plugin: &name,
                    code: &code,
                };
                unloaded.emit(&self.metrics);
            }
        }
        self.routes.replace(table);
    }

    fn config_taken(&self) {
        let routes = self.state().config.current.routes.len();
        RoutesTaken { routes }.emit(&self.metrics);
    }

    fn config_refused(&self, failure: &Failure) {
        let mut state = self.state();
        // The state may know why the plugin is missing, which says more than that it is missing.
        let cause = failure.plugin.as_deref().and_then(|name| state.problem(name));
        let reason = match cause {
            Some(cause) => format!("{}: {cause}", failure.reason),
            None => failure.reason.clone(),
        };
        if state.config.problem.as_ref() == Some(&reason) {
            return;
        }
        RoutesRefused { reason: &reason }.emit(&self.metrics);
        state.config.problem = Some(reason);
    }

    fn plugin_refused(&self, name: &str, code: &Code, failure: &Failure) {
        let mut state = self.state();
        let Some(plugin) = state.plugins.get_mut(name) else {
            return;
        };
        let reason = failure.reason.clone();
        if plugin.refused.as_ref() == Some(&reason) {
            return;
        }
        let refused = PluginRefused {
            plugin: name,
            code,
            reason: &reason,
        };
        refused.emit(&self.metrics);
        plugin.refused = Some(reason);
    }
}
