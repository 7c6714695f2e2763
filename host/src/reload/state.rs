//! What is known of each plugin and of the configuration file. Plain data: nothing here looks at a file or runs a
//! plugin.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    base::metrics::Metrics,
    config::{self, Config},
    plugin::{Code, file::Signature},
    reload::{
        events::{FileGone, FileRefused},
        found::{Cause, Found, Known},
    },
};

/// All that is known.
#[derive(Default)]
pub(super) struct State {
    pub(super) plugins: BTreeMap<String, Plugin>,
    pub(super) config: ConfigState,
}

/// What is known of the configuration file.
#[derive(Default)]
pub(super) struct ConfigState {
    pub(super) signature: Option<Signature>,
    pub(super) digest: Option<String>,
    /// The whole configuration as it was at the start, but with the routes that decide now.
    pub(super) current: Config,
    /// Routes that the file holds and that do not decide, or not yet.
    pub(super) pending: Option<Vec<config::Route>>,
    /// Why the file's routes do not decide.
    pub(super) problem: Option<String>,
    /// Parts of the file that differ from the configuration at the start.
    pub(super) needs_restart: Vec<&'static str>,
}

/// One plugin, by the name of its file.
#[derive(Default)]
pub(super) struct Plugin {
    /// The version that decides.
    pub(super) active: Option<Arc<Code>>,
    /// When that version began to decide.
    pub(super) since: Option<SystemTime>,
    /// The version that decided before, for a rollback.
    pub(super) previous: Option<Arc<Code>>,
    /// The digest that was rolled back. It is ignored until the file changes.
    pub(super) ignored: Option<String>,
    /// What the file holds.
    pub(super) file: Found,
    /// Why a good file does not decide: its config was refused, or its smoke call failed.
    pub(super) refused: Option<String>,
    /// The compilation of what the file held, while it is under way.
    pub(super) compiling: Option<Compiling>,
    /// Set after a look that found no place to compile: whether the look was ordered.
    pub(super) postponed: Option<bool>,
    /// A file that is bad again and again is still being written, so it is left alone for a while.
    pub(super) calm: Calm,
}

/// A compilation that is under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Compiling {
    pub(super) since: Instant,
    /// Whether an operator has asked for it.
    pub(super) ordered: bool,
}

/// Until when a file is left alone.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Calm {
    pub(super) until: Option<Instant>,
    pause: Duration,
}

/// How long a file that was bad is left alone at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl Calm {
    /// The file was bad once more, in another way than before. A file that is still being written is bad again at once;
    /// somebody who tries one version after another takes longer.
    fn bad(&mut self, now: Instant) {
        let at_once = self.until.is_some_and(|until| now < until + 3 * self.pause);
        self.pause = match at_once {
            true => (self.pause * 2).min(LONGEST_PAUSE),
            false => FIRST_PAUSE,
        };
        self.until = Some(now + self.pause);
    }

    pub(super) fn holds(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

/// A change of a plugin's file that an operator should hear of.
pub(super) struct News {
    name: String,
    what: What,
}

enum What {
    Gone,
    Bad(String),
    New,
}

impl News {
    pub(super) fn tell(&self, metrics: &Metrics) {
        let plugin = &*self.name;
        match &self.what {
            What::Gone => FileGone { plugin }.emit(),
            What::Bad(reason) => FileRefused { plugin, reason }.emit(metrics),
            What::New => tracing::debug!(plugin, "the plugin's file has new content"),
        }
    }
}

impl State {
    pub(super) fn new(config: &Config, digest: Option<String>) -> Self {
        Self {
            plugins: BTreeMap::new(),
            config: ConfigState {
                digest,
                current: Config {
                    routes: Vec::new(),
                    ..config.clone()
                },
                pending: Some(config.routes.clone()),
                ..ConfigState::default()
            },
        }
    }

    /// The routes that decide, and the routes of the file that do not decide yet.
    fn all_routes(&self) -> impl Iterator<Item = &config::Route> {
        self.config
            .current
            .routes
            .iter()
            .chain(self.config.pending.iter().flatten())
    }

    /// The compilations under way.
    pub(super) fn compiling(&self) -> impl Iterator<Item = Compiling> {
        self.plugins.values().filter_map(|plugin| plugin.compiling)
    }

    /// Every plugin that a route names.
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.all_routes()
            .flat_map(config::Route::plugins)
            .map(str::to_owned)
            .collect()
    }

    pub(super) fn known(&self, name: &str) -> Known {
        let plugin = self.plugins.get(name);
        let pins: Option<Vec<String>> = self
            .all_routes()
            .filter(|route| route.plugin.as_deref() == Some(name))
            .map(|route| route.sha256.as_ref().map(|pin| pin.to_ascii_lowercase()))
            .collect();
        Known {
            name: name.to_owned(),
            file: plugin.map(|plugin| plugin.file.clone()).unwrap_or_default(),
            codes: plugin
                .into_iter()
                .flat_map(|plugin| plugin.active.iter().chain(&plugin.previous).cloned())
                .collect(),
            pins: pins.unwrap_or_default(),
        }
    }

    /// Takes note of what a look found. It is news if the content is new, or if the look was ordered.
    pub(super) fn found(&mut self, name: &str, found: Found, forced: bool) -> Option<News> {
        let plugin = self.plugins.entry(name.to_owned()).or_default();
        let was_missing = matches!(plugin.file, Found::Missing);
        let is_same = match &found {
            Found::Missing => was_missing,
            Found::Unseen => true,
            Found::Bad { reason, .. } => {
                matches!(&plugin.file, Found::Bad { reason: before, .. } if before == reason)
                    && plugin.file.digest() == found.digest()
            }
            Found::Good { code, .. } => {
                matches!(&plugin.file, Found::Good { code: before, .. } if Arc::ptr_eq(before, code))
            }
        };
        if plugin.ignored.is_some() && (forced || plugin.ignored.as_deref() != found.digest()) {
            plugin.ignored = None;
        }
        plugin.file = found;
        if is_same && !forced {
            return None;
        }
        match &plugin.file {
            Found::Bad { cause: Cause::File, .. } if !forced => plugin.calm.bad(Instant::now()),
            _ => plugin.calm = Calm::default(),
        }
        plugin.refused = None;
        let what = match &plugin.file {
            Found::Missing => What::Gone,
            Found::Bad { reason, .. } => What::Bad(reason.clone()),
            Found::Good { .. } | Found::Unseen => What::New,
        };
        // A file that was never there is reported once, where its route was found without a plugin.
        let never_there = matches!(plugin.file, Found::Missing) && plugin.active.is_none();
        (!never_there).then(|| News {
            name: name.to_owned(),
            what,
        })
    }

    /// The version that each plugin should decide with: the file's if it can be used, else the version that decides
    /// now.
    pub(super) fn wants(&self) -> BTreeMap<String, Arc<Code>> {
        let want = |(name, plugin): (&String, &Plugin)| {
            let from_file = match &plugin.file {
                Found::Good { code, .. } if plugin.ignored.as_deref() != Some(&code.digest) => Some(code),
                _ => None,
            };
            from_file
                .or(plugin.active.as_ref())
                .map(|code| (name.clone(), Arc::clone(code)))
        };
        self.plugins.iter().filter_map(want).collect()
    }

    /// The version that each plugin decides with.
    pub(super) fn actives(&self) -> BTreeMap<String, Arc<Code>> {
        let active = |(name, plugin): (&String, &Plugin)| Some((name.clone(), Arc::clone(plugin.active.as_ref()?)));
        self.plugins.iter().filter_map(active).collect()
    }

    /// Why the version in a plugin's file does not decide; none if it does.
    pub(super) fn problem(&self, name: &str) -> Option<String> {
        let plugin = self.plugins.get(name)?;
        match &plugin.file {
            Found::Missing if plugin.active.is_none() => Some("its file has not been there yet".to_owned()),
            Found::Missing => Some("its file is gone; a restart would not find it".to_owned()),
            Found::Bad { reason, .. } => Some(reason.clone()),
            Found::Good { code, .. } if plugin.ignored.as_deref() == Some(&code.digest) => Some(format!(
                "what its file holds ({}) was rolled back; a restart would take it again",
                code.digest
            )),
            Found::Good { .. } | Found::Unseen => plugin.refused.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(digest: &str, reason: &str) -> Found {
        Found::Bad {
            signature: None,
            digest: Some(digest.to_owned()),
            reason: reason.to_owned(),
            cause: Cause::File,
        }
    }

    #[test]
    fn the_same_trouble_is_told_once_and_again_when_it_is_asked_for() {
        let mut state = State::default();
        assert!(state.found("p", bad("1", "odd"), false).is_some());
        assert!(state.found("p", bad("1", "odd"), false).is_none());
        assert!(state.found("p", bad("1", "odd"), true).is_some());
        assert!(state.found("p", bad("2", "odd"), false).is_some());
        assert!(state.found("p", bad("2", "odder"), false).is_some());
    }

    #[test]
    fn a_rolled_back_digest_is_ignored_only_until_the_file_has_another() {
        let mut state = State::default();
        state.plugins.entry("p".to_owned()).or_default().ignored = Some("1".to_owned());
        let ignored = |state: &State| state.plugins["p"].ignored.clone();
        state.found("p", bad("1", "odd"), false);
        assert_eq!(ignored(&state).as_deref(), Some("1"));
        state.found("p", bad("2", "odd"), false);
        assert_eq!(ignored(&state), None);
        // The file went away and came back, so it counts as changed.
        state.plugins.entry("p".to_owned()).or_default().ignored = Some("1".to_owned());
        state.found("p", Found::Missing, false);
        assert_eq!(ignored(&state), None);
    }

    #[test]
    fn a_file_that_is_being_written_is_looked_at_less_and_less_and_one_that_is_tried_out_is_not() {
        let begun = Instant::now();
        let mut calm = Calm::default();
        let (mut now, mut looks) = (begun, 0);
        while now < begun + Duration::from_secs(60) {
            if !calm.holds(now) {
                looks += 1;
                calm.bad(now);
            }
            now += Duration::from_millis(10);
        }
        assert!((8..20).contains(&looks), "{looks} looks in a minute");
        for _ in 0..10 {
            now += Duration::from_secs(60);
            assert!(!calm.holds(now));
            calm.bad(now);
            assert!(!calm.holds(now + FIRST_PAUSE), "left alone for {:?}", calm.pause);
        }
    }

    #[test]
    fn the_same_bytes_are_tried_again_later_each_time() {
        let now = Instant::now();
        let mut found = Found::Unseen;
        let mut waits = Vec::new();
        for _ in 0..12 {
            let cause = Cause::environment(&found, "1", now);
            let Cause::Environment { at, .. } = cause else {
                unreachable!("it was asked for")
            };
            waits.push((at - now).as_secs());
            found = Found::Bad {
                signature: None,
                digest: Some("1".to_owned()),
                reason: "busy".to_owned(),
                cause,
            };
        }
        assert_eq!(waits[..4], [30, 60, 120, 240]);
        assert_eq!(waits[11], 1_800);
        let other = Cause::environment(&found, "2", now);
        assert!(
            matches!(other, Cause::Environment { tries: 0, .. }),
            "other bytes are a new reason"
        );
    }

    #[test]
    fn a_file_that_was_never_there_is_no_loss() {
        let mut state = State::default();
        assert!(state.found("p", Found::Missing, false).is_none());
        assert!(
            state
                .problem("p")
                .is_some_and(|problem| problem.contains("not been there yet"))
        );
    }
}
