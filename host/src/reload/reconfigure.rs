//! Takes note of a changed configuration file.

use std::{fs, time::SystemTime};

use super::{config_file::digest_of, reloader::Reloader};
use crate::{config::Config, plugin::file::Signature, reload::events::ConfigInvalid};

impl Reloader {
    /// True if the file has new content, with other routes than those that decide.
    pub(super) fn look_at_config(&self) -> bool {
        let Some(path) = self.config_file.path() else {
            return false;
        };
        let signature = Signature::of(path).ok();
        let (known, known_digest) = {
            let state = self.state();
            (state.config.signature, state.config.digest.clone())
        };
        let is_same = signature.is_some() && signature == known;
        if is_same && signature.is_some_and(|signature| signature.is_settled(SystemTime::now())) {
            return false;
        }
        // A file may be gone for a moment, as in a swap of links. That is no reason to forget its content.
        let Ok(text) = fs::read(path) else {
            return false;
        };
        let digest = digest_of(&text);
        {
            let mut state = self.state();
            state.config.signature = signature;
            state.config.digest = Some(digest.clone());
        }
        if known_digest == Some(digest) {
            return false;
        }
        self.read_config()
    }

    fn read_config(&self) -> bool {
        match self.config_file.load() {
            Ok(loaded) => self.take_config(loaded.config),
            Err(error) => {
                let problem = error.to_string();
                ConfigInvalid { problem: &problem }.emit(&self.metrics);
                let mut state = self.state();
                state.config.problem = Some(problem);
                state.config.pending = None;
                false
            }
        }
    }

    fn take_config(&self, config: Config) -> bool {
        let mut state = self.state();
        let needs_restart = differing_parts(&state.config.current, &config);
        if !needs_restart.is_empty() && needs_restart != state.config.needs_restart {
            tracing::warn!(
                parts = ?needs_restart,
                "the configuration file changed in parts that take effect with a restart only; routes are taken now"
            );
        }
        state.config.needs_restart = needs_restart;
        state.config.problem = None;
        let has_new_routes = config.routes != state.config.current.routes;
        state.config.pending = has_new_routes.then_some(config.routes);
        has_new_routes
    }
}

/// The tables, other than the routes, in which two configurations differ.
fn differing_parts(old: &Config, new: &Config) -> Vec<&'static str> {
    let json = |config: &Config| serde_json::to_value(config).unwrap_or_default();
    let (old, new) = (json(old), json(new));
    [
        "listen",
        "limits",
        "kafka",
        "plugins",
        "routing",
        "schema_registry",
        "shutdown",
        "log",
    ]
    .into_iter()
    .filter(|part| old[part] != new[part])
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_a_restart_is_named() {
        let old = Config::default();
        let mut new = old.clone();
        assert!(differing_parts(&old, &new).is_empty());
        new.routes.clear();
        new.limits.max_records = 1;
        new.log.level = "debug".to_owned();
        assert_eq!(differing_parts(&old, &new), ["limits", "log"]);
    }
}
