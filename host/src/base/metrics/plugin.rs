//! The metrics by plugin. Only plugins that a route names are counted, so the configuration bounds the number of
//! labels.

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, core::Collector as _};

use super::registrar::Registrar;

/// One plugin's metrics, looked up once.
#[derive(Debug, Clone)]
pub struct PluginMetrics {
    /// Time of a call; sampled.
    pub seconds: Histogram,
    /// The plugin panicked or broke its sandbox.
    pub trapped: IntCounter,
    /// A call ran over its time.
    pub over_time: IntCounter,
    /// No instance could be made.
    pub unavailable: IntCounter,
    /// Records for which the plugin was not called, because it kept failing.
    pub while_suspended: IntCounter,
    /// Instances made.
    pub instances: IntCounter,
    /// How often the plugin was suspended.
    pub suspensions: IntCounter,
    /// How many of the plugin's versions and configs are suspended now.
    pub suspended: IntGauge,
    /// Batch calls that failed.
    pub batch_failures: IntCounter,
    /// How many of the plugin's versions and configs get single records for a while, because a batch failed.
    pub batch_paused: IntGauge,
}

/// The metrics of a candidate, looked up once.
#[derive(Debug, Clone)]
pub struct ShadowMetrics {
    /// The candidate decided as the route did.
    pub same: IntCounter,
    /// The candidate decided otherwise.
    pub different: IntCounter,
    /// The candidate could not decide.
    pub error: IntCounter,
    /// Records that were not compared, for lack of room.
    pub dropped: IntCounter,
    /// Time of a call.
    pub seconds: Histogram,
}

/// From 100 ns to 100 ms: a call takes a fraction of a microsecond, or far too long.
const CALL_BUCKETS: [f64; 10] = [1e-7, 2.5e-7, 5e-7, 1e-6, 5e-6, 2.5e-5, 1e-4, 1e-3, 1e-2, 1e-1];

/// The metrics with a plugin's name.
#[derive(Debug)]
pub(super) struct PluginVectors {
    seconds: HistogramVec,
    errors: IntCounterVec,
    info: IntGaugeVec,
    instances: IntCounterVec,
    suspensions: IntCounterVec,
    suspended: IntGaugeVec,
    batch_failures: IntCounterVec,
    batch_paused: IntGaugeVec,
    pub(super) reloads: IntCounterVec,
    shadow_records: IntCounterVec,
    shadow_seconds: HistogramVec,
}

impl PluginVectors {
    pub(super) fn new(registrar: &Registrar) -> prometheus::Result<Self> {
        let by_plugin = &["plugin"];
        Ok(Self {
            seconds: registrar.histograms(
                "pointsman_plugin_call_duration_seconds",
                "Plugin calls, 1 in 64 timed",
                &CALL_BUCKETS,
                by_plugin,
            )?,
            errors: registrar.counters(
                "pointsman_plugin_errors_total",
                "Calls in which a plugin could not decide",
                &["plugin", "kind"],
            )?,
            info: registrar.gauges(
                "pointsman_plugin_info",
                "1 for each plugin that is loaded, with its SHA-256",
                &["plugin", "digest"],
            )?,
            instances: registrar.counters(
                "pointsman_plugin_instances_total",
                "Instances made of a plugin: one for each thread, and one after each trap",
                by_plugin,
            )?,
            suspensions: registrar.counters(
                "pointsman_plugin_suspensions_total",
                "Times a plugin was suspended because it kept failing",
                by_plugin,
            )?,
            suspended: registrar.gauges(
                "pointsman_plugin_suspended",
                "Versions and configs of a plugin that are suspended now",
                by_plugin,
            )?,
            batch_failures: registrar.counters(
                "pointsman_plugin_batch_failures_total",
                "Calls about several records that failed; each counts among pointsman_plugin_errors_total, too",
                by_plugin,
            )?,
            batch_paused: registrar.gauges(
                "pointsman_plugin_batch_paused",
                "Versions and configs of a plugin that are asked about one record at a time for a while, because a batch failed",
                by_plugin,
            )?,
            reloads: registrar.counters(
                "pointsman_plugin_reloads_total",
                "New contents of a plugin's file, by what became of them",
                &["plugin", "result"],
            )?,
            shadow_records: registrar.counters(
                "pointsman_shadow_records_total",
                "Records that a shadow plugin was to decide too, by how its decision compares",
                &["plugin", "result"],
            )?,
            shadow_seconds: registrar.histograms(
                "pointsman_shadow_call_duration_seconds",
                "Calls of shadow plugins",
                &CALL_BUCKETS,
                by_plugin,
            )?,
        })
    }

    /// The metrics of a plugin.
    pub(super) fn plugin(&self, name: &str) -> PluginMetrics {
        let errors = |kind| self.errors.with_label_values(&[name, kind]);
        PluginMetrics {
            seconds: self.seconds.with_label_values(&[name]),
            trapped: errors("trapped"),
            over_time: errors("over_time"),
            unavailable: errors("unavailable"),
            while_suspended: errors("suspended"),
            instances: self.instances.with_label_values(&[name]),
            suspensions: self.suspensions.with_label_values(&[name]),
            suspended: self.suspended.with_label_values(&[name]),
            batch_failures: self.batch_failures.with_label_values(&[name]),
            batch_paused: self.batch_paused.with_label_values(&[name]),
        }
    }

    /// The metrics of a shadow plugin.
    pub(super) fn shadow(&self, name: &str) -> ShadowMetrics {
        let records = |result| self.shadow_records.with_label_values(&[name, result]);
        ShadowMetrics {
            same: records("same"),
            different: records("different"),
            error: records("error"),
            dropped: records("dropped"),
            seconds: self.shadow_seconds.with_label_values(&[name]),
        }
    }

    /// Each plugin with the number of calls that were timed, and their seconds together.
    pub(super) fn calls(&self) -> Vec<(String, u64, f64)> {
        let families = self.seconds.collect();
        let plugins = families.iter().flat_map(|family| family.get_metric());
        let calls = plugins.map(|metric| {
            let name = metric.get_label().first().map(|label| label.value().to_owned());
            let calls = metric.get_histogram();
            (
                name.unwrap_or_default(),
                calls.get_sample_count(),
                calls.get_sample_sum(),
            )
        });
        calls.collect()
    }

    /// A version of a plugin decides from now on, in place of another.
    pub(super) fn active(&self, name: &str, digest: Option<&str>, before: Option<&str>) {
        if digest == before {
            return;
        }
        if let Some(before) = before {
            // Without this, each version would add a label.
            let _ = self.info.remove_label_values(&[name, before]);
        }
        if let Some(digest) = digest {
            self.info.with_label_values(&[name, digest]).set(1);
        }
    }
}
