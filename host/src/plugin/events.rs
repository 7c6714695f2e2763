//! What an operator hears of a plugin at work. Each event writes its log line and its metric together, so that the two never disagree.

use std::time::Duration;

use super::call_error::CallError;
use crate::base::metrics::PluginMetrics;

/// Which version of which plugin an event is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Version<'a> {
    pub(super) plugin: &'a str,
    pub(super) digest: &'a str,
}

/// The plugin failed too often and is left alone for a while.
pub(super) struct Suspended<'a> {
    pub(super) version: Version<'a>,
    pub(super) pause: Duration,
    /// Whether it was in use until now; else a call after a pause has failed again.
    pub(super) was_open: bool,
    pub(super) last_error: &'a CallError,
}

impl Suspended<'_> {
    pub(super) fn emit(self, metrics: &PluginMetrics) {
        metrics.suspensions.inc();
        if self.was_open {
            metrics.suspended.inc();
        }
        tracing::error!(
            plugin = self.version.plugin,
            digest = self.version.digest,
            pause_ms = self.pause.as_millis() as u64,
            last_error = %self.last_error,
            "plugin suspended: it failed too often; its records follow on_error until a call after the pause succeeds"
        );
    }
}

/// A call after the pause succeeded: the plugin is in use again.
pub(super) struct Resumed<'a> {
    pub(super) version: Version<'a>,
}

impl Resumed<'_> {
    pub(super) fn emit(self, metrics: &PluginMetrics) {
        metrics.suspended.dec();
        tracing::info!(
            plugin = self.version.plugin,
            digest = self.version.digest,
            "plugin resumed: a call succeeded after the pause"
        );
    }
}

/// A call about several records failed, so the plugin is asked about one record at a time for a while.
pub(super) struct BatchesPaused<'a> {
    pub(super) version: Version<'a>,
    pub(super) pause: Duration,
    /// Whether it was asked in batches until now.
    pub(super) was_open: bool,
    pub(super) error: &'a CallError,
}

impl BatchesPaused<'_> {
    pub(super) fn emit(self, metrics: &PluginMetrics) {
        if self.was_open {
            metrics.batch_paused.inc();
        }
        tracing::warn!(
            plugin = self.version.plugin,
            digest = self.version.digest,
            pause_ms = self.pause.as_millis() as u64,
            error = %self.error,
            trace = self.error.trace(),
            "a batch call of the plugin failed; the plugin is asked about these records one by one, and for a while about all"
        );
    }
}

/// The plugin is asked in batches again.
pub(super) struct BatchesResumed<'a> {
    pub(super) version: Version<'a>,
}

impl BatchesResumed<'_> {
    pub(super) fn emit(self, metrics: &PluginMetrics) {
        metrics.batch_paused.dec();
        tracing::info!(
            plugin = self.version.plugin,
            digest = self.version.digest,
            "plugin is asked in batches again"
        );
    }
}
