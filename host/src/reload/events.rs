//! What an operator hears of reloads. Each event writes its log line and its metric together, so that they never
//! disagree.

use crate::{base::metrics::Metrics, plugin::Code};

/// A plugin's file is gone.
pub(super) struct FileGone<'a> {
    pub(super) plugin: &'a str,
}

impl FileGone<'_> {
    pub(super) fn emit(self) {
        tracing::warn!(
            plugin = self.plugin,
            "the plugin's file is gone; the version that is loaded goes on deciding"
        );
    }
}

/// A plugin's file holds nothing that can decide.
pub(super) struct FileRefused<'a> {
    pub(super) plugin: &'a str,
    pub(super) reason: &'a str,
}

impl FileRefused<'_> {
    pub(super) fn emit(self, metrics: &Metrics) {
        metrics.plugin_reloaded(self.plugin, "failed");
        tracing::error!(
            plugin = self.plugin,
            reason = %self.reason,
            "the plugin's file cannot be used; nothing has changed"
        );
    }
}

/// A version of a plugin decides from now on.
pub(super) struct PluginLoaded<'a> {
    pub(super) plugin: &'a str,
    pub(super) code: &'a Code,
    /// The digest of the version that decided before.
    pub(super) before: Option<&'a str>,
}

impl PluginLoaded<'_> {
    pub(super) fn emit(self, metrics: &Metrics) {
        let Self { plugin, code, before } = self;
        metrics.plugin_active(plugin, Some(&code.digest), before);
        metrics.plugin_reloaded(plugin, "loaded");
        tracing::info!(plugin, digest = %code.digest, before, bytes = code.bytes, "plugin loaded");
    }
}

/// No route names a plugin any more.
pub(super) struct PluginUnloaded<'a> {
    pub(super) plugin: &'a str,
    pub(super) code: &'a Code,
}

impl PluginUnloaded<'_> {
    pub(super) fn emit(self, metrics: &Metrics) {
        metrics.plugin_active(self.plugin, None, Some(&self.code.digest));
        tracing::info!(plugin = self.plugin, "plugin unloaded: no route names it any more");
    }
}

/// A new version of a plugin was tried and does not decide.
pub(super) struct PluginRefused<'a> {
    pub(super) plugin: &'a str,
    pub(super) code: &'a Code,
    pub(super) reason: &'a str,
}

impl PluginRefused<'_> {
    pub(super) fn emit(self, metrics: &Metrics) {
        metrics.plugin_reloaded(self.plugin, "failed");
        tracing::error!(
            plugin = self.plugin,
            digest = %self.code.digest,
            reason = %self.reason,
            "the plugin's new version does not come into service; nothing has changed"
        );
    }
}

/// An operator has gone back to the previous version.
pub(super) struct PluginRolledBack<'a> {
    pub(super) plugin: &'a str,
    pub(super) to: &'a Code,
    /// The digest that its file holds.
    pub(super) ignored: Option<&'a str>,
}

impl PluginRolledBack<'_> {
    pub(super) fn emit(self, metrics: &Metrics) {
        metrics.plugin_reloaded(self.plugin, "rolled_back");
        tracing::warn!(
            plugin = self.plugin,
            digest = %self.to.digest,
            ignored = self.ignored,
            "plugin rolled back; what its file holds is ignored until the file changes, but a restart takes it again"
        );
    }
}

/// The routes of a changed configuration file decide from now on.
pub(super) struct RoutesTaken {
    pub(super) routes: usize,
}

impl RoutesTaken {
    pub(super) fn emit(self, metrics: &Metrics) {
        metrics.config_reloaded("loaded");
        tracing::info!(routes = self.routes, "the routes of the configuration file were taken");
    }
}

/// The routes of a changed configuration file cannot decide.
pub(super) struct RoutesRefused<'a> {
    pub(super) reason: &'a str,
}

impl RoutesRefused<'_> {
    pub(super) fn emit(self, metrics: &Metrics) {
        metrics.config_reloaded("failed");
        tracing::error!(
            reason = %self.reason,
            "the routes of the configuration file cannot be taken; nothing has changed"
        );
    }
}

/// A changed configuration file cannot be read.
pub(super) struct ConfigInvalid<'a> {
    pub(super) problem: &'a str,
}

impl ConfigInvalid<'_> {
    pub(super) fn emit(self, metrics: &Metrics) {
        metrics.config_reloaded("failed");
        tracing::error!(
            problem = %self.problem,
            "the configuration file is invalid; nothing has changed"
        );
    }
}
