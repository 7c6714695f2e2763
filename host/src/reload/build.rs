//! Builds a table of routes from configured routes and compiled plugins. Parts of the current table that still fit are
//! used again, with their instances and their record of failures.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    base::metrics::Metrics,
    config,
    plugin::{Code, Limits, Pool, Shadow, ShadowWorker},
    routing::route::{Decider, Route, Table},
};

/// What a table is built with.
pub(super) struct Builder<'a> {
    pub(super) limits: Limits,
    pub(super) metrics: &'a Metrics,
    pub(super) current: &'a Table,
    pub(super) codes: &'a BTreeMap<String, Arc<Code>>,
    /// Whether a route may be without its plugin: at the start, and for as long as the plugin has never been there.
    pub(super) may_be_missing: &'a dyn Fn(&str) -> bool,
    /// Whether a candidate that cannot be configured is left out. True at the start: it must not stop the routes.
    pub(super) without_bad_shadows: bool,
    pub(super) shadow_worker: &'a Arc<ShadowWorker>,
}

/// Why no table could be built.
#[derive(Debug)]
pub(super) struct Failure {
    /// The plugin that cannot be used.
    pub(super) plugin: Option<String>,
    pub(super) reason: String,
}

impl Builder<'_> {
    pub(super) fn build(&self, routes: &[config::Route]) -> Result<Table, Failure> {
        let mut built: Vec<Arc<Route>> = Vec::with_capacity(routes.len());
        for (index, config) in routes.iter().enumerate() {
            let decider = self.decider(config, &built)?;
            let shadow = self.shadow(config)?;
            let is_same = |route: &&Arc<Route>| {
                route.config == *config && same(&route.decider, &decider) && same_shadow(&route.shadow, &shadow)
            };
            let route = match self.current.routes().get(index).filter(is_same) {
                Some(route) => Arc::clone(route),
                None => {
                    let route = Route::new(config, decider, shadow).map_err(|error| Failure {
                        plugin: None,
                        reason: format!("route for {:?}: {error:#}", config.topics),
                    })?;
                    Arc::new(route)
                }
            };
            built.push(route);
        }
        Ok(Table::new(self.shape(routes), built))
    }

    fn shape(&self, routes: &[config::Route]) -> u64 {
        let topics = |route: &Arc<Route>| route.config.topics.clone();
        let before: Vec<_> = self.current.routes().iter().map(topics).collect();
        let is_same = before.iter().eq(routes.iter().map(|route| &route.topics));
        self.current.shape() + u64::from(!is_same)
    }

    fn decider(&self, config: &config::Route, built: &[Arc<Route>]) -> Result<Decider, Failure> {
        let Some(name) = &config.plugin else {
            return Ok(Decider::KeyHash);
        };
        let Some(code) = self.codes.get(name) else {
            if (self.may_be_missing)(name) {
                return Ok(Decider::Missing);
            }
            return Err(Failure {
                plugin: Some(name.clone()),
                reason: format!("plugin \"{name}\" of the route for {:?} is not there", config.topics),
            });
        };
        self.pool(name, code, config, built).map(Decider::Plugin)
    }

    fn pool(
        &self,
        name: &str,
        code: &Arc<Code>,
        config: &config::Route,
        built: &[Arc<Route>],
    ) -> Result<Arc<Pool>, Failure> {
        let failure = |reason: String| Failure {
            plugin: Some(name.to_owned()),
            reason: format!("route for {:?}: {reason}", config.topics),
        };
        if let Some(pin) = config
            .sha256
            .as_ref()
            .filter(|pin| !pin.eq_ignore_ascii_case(&code.digest))
        {
            return Err(failure(format!(
                "the SHA-256 of plugin \"{name}\" is {}, the route pins {pin}",
                code.digest
            )));
        }
        let json = serde_json::Value::Object(config.config.clone()).to_string();
        let fits = |pool: &&Arc<Pool>| Arc::ptr_eq(pool.code(), code) && pool.config() == json;
        let existing = built
            .iter()
            .chain(self.current.routes())
            .filter_map(|route| route.plugin());
        if let Some(pool) = existing.into_iter().find(fits) {
            return Ok(Arc::clone(pool));
        }
        let pool =
            Pool::new(Arc::clone(code), json, self.limits, self.metrics).map_err(|error| failure(error.to_string()))?;
        Ok(Arc::new(pool))
    }

    /// A candidate has instances of its own, so that its traps and its suspension are its own too. A candidate whose
    /// file is not there is left out until it is.
    fn shadow(&self, config: &config::Route) -> Result<Option<Arc<Shadow>>, Failure> {
        let Some(shadow) = &config.shadow else {
            return Ok(None);
        };
        let name = &shadow.plugin;
        let Some(code) = self.codes.get(name) else {
            return Ok(None);
        };
        let json = serde_json::Value::Object(shadow.config.as_ref().unwrap_or(&config.config).clone()).to_string();
        let fits = |existing: &&Arc<Shadow>| {
            let pool = existing.pool();
            Arc::ptr_eq(pool.code(), code) && pool.config() == json && existing.share() == shadow.share
        };
        let in_use = |route: &&Arc<Route>| route.config.topics == config.topics;
        let existing = self
            .current
            .routes()
            .iter()
            .filter(in_use)
            .filter_map(|route| route.shadow.as_ref());
        if let Some(existing) = existing.into_iter().find(fits) {
            return Ok(Some(Arc::clone(existing)));
        }
        match Pool::new(Arc::clone(code), json, self.limits, self.metrics) {
            Ok(pool) => {
                let metrics = self.metrics.shadow(name);
                Ok(Some(Arc::new(Shadow::new(
                    Arc::new(pool),
                    shadow.share,
                    self.shadow_worker,
                    metrics,
                ))))
            }
            Err(error) if self.without_bad_shadows => {
                tracing::error!(plugin = name, %error, "the shadow plugin cannot be used; its route goes on without it");
                Ok(None)
            }
            Err(error) => Err(Failure {
                plugin: Some(name.clone()),
                reason: format!("shadow of the route for {:?}: {error}", config.topics),
            }),
        }
    }
}

fn same_shadow(a: &Option<Arc<Shadow>>, b: &Option<Arc<Shadow>>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        _ => false,
    }
}

fn same(a: &Decider, b: &Decider) -> bool {
    match (a, b) {
        (Decider::KeyHash, Decider::KeyHash) | (Decider::Missing, Decider::Missing) => true,
        (Decider::Plugin(a), Decider::Plugin(b)) => Arc::ptr_eq(a, b),
        _ => false,
    }
}
