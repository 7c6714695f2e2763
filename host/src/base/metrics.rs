//! Prometheus metrics: base units, `pointsman_` prefix, every label set bounded (topics by `limits.max_topics`, whose labels go
//! with them, plugins by the routes).

mod pause;
mod topic;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder, core::Collector,
};

use self::topic::TopicMetrics;
pub use self::{pause::Pause, topic::TopicCounters};
use crate::base::outcome::Kind;

/// Every metric of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    topics: Arc<TopicMetrics>,
    unwaited: IntCounterVec,
    requests: IntCounterVec,
    /// From a request's header to its reply.
    pub request_seconds: Histogram,
    /// From a record's hand-over to its outcome; sampled.
    pub ack_seconds: Histogram,
    /// The drain of the whole producer after a topic was closed.
    pub pause: Pause,
    plugin_seconds: HistogramVec,
    plugin_errors: IntCounterVec,
    plugin_info: IntGaugeVec,
    plugin_instances: IntCounterVec,
    plugin_suspensions: IntCounterVec,
    plugin_suspended: IntGaugeVec,
    plugin_batch_failures: IntCounterVec,
    plugin_batch_paused: IntGaugeVec,
    plugin_reloads: IntCounterVec,
    config_reloads: IntCounterVec,
    shadow_records: IntCounterVec,
    shadow_seconds: HistogramVec,
    sequence_conflicts: IntCounterVec,
    log_lines_dropped: IntCounterVec,
    /// Clients with numbered requests that are remembered.
    pub sequence_clients: IntGauge,
    /// Records handed over and not yet answered.
    pub queue_messages: IntGauge,
    /// Their bytes.
    pub queue_bytes: IntGauge,
    /// Ingest connections open now.
    pub connections: IntGauge,
    /// Streams open now.
    pub streams: IntGauge,
    /// Bytes reserved by bodies and queued records.
    pub buffered_bytes: IntGauge,
    /// The producer's generation.
    pub generation: IntGauge,
    /// 1 while a Kafka broker can be reached.
    pub kafka_up: IntGauge,
    /// Outcomes of records that were handed over, by kind: what a drain reports.
    handed_over: [AtomicU64; 4],
}

/// Something that is open and counted, until this is dropped.
#[derive(Debug)]
pub struct GaugeGuard(IntGauge);

impl GaugeGuard {
    /// One more.
    pub fn begin(count: &IntGauge) -> Self {
        count.inc();
        Self(count.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

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
    /// Not called because it kept failing.
    pub while_suspended: IntCounter,
    /// Instances made.
    pub instances: IntCounter,
    /// Times it was suspended.
    pub suspensions: IntCounter,
    /// How many of its versions and configs are suspended now.
    pub suspended: IntGauge,
    /// Batch calls that failed.
    pub batch_failures: IntCounter,
    /// How many of its versions and configs are asked one by one for a while, because a batch failed.
    pub batch_paused: IntGauge,
}

/// The metrics of a candidate, looked up once.
#[derive(Debug, Clone)]
pub struct ShadowMetrics {
    /// It decided as the route did.
    pub same: IntCounter,
    /// It did not.
    pub different: IntCounter,
    /// It could not decide.
    pub error: IntCounter,
    /// Not compared, for lack of room.
    pub dropped: IntCounter,
    /// Time of a call.
    pub seconds: Histogram,
}

/// From 50 µs to 50 s: a request waits for brokers, sometimes for long.
const REQUEST_BUCKETS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 50.0,
];
/// From 100 ns to 100 ms: a call takes a fraction of a microsecond, or far too long.
const CALL_BUCKETS: [f64; 10] = [1e-7, 2.5e-7, 5e-7, 1e-6, 5e-6, 2.5e-5, 1e-4, 1e-3, 1e-2, 1e-1];

/// Registers a metric. A clash of names is a mistake in this file that every start and every test would meet.
fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<C>,
) -> prometheus::Result<C> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

impl Metrics {
    /// All at zero.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counters =
            |name, help, labels: &[&str]| register(&registry, IntCounterVec::new(Opts::new(name, help), labels));
        let gauge = |name, help| register(&registry, IntGauge::new(name, help));
        let histogram = |name, help, buckets: &[f64]| {
            let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            register(&registry, Histogram::with_opts(opts))
        };
        Ok(Self {
            topics: Arc::new(TopicMetrics::new(
                counters(
                    "pointsman_records_total",
                    "Records by topic and outcome",
                    &["topic", "outcome"],
                )?,
                counters(
                    "pointsman_topic_closures_total",
                    "Times a topic was closed for a while because the brokers refuse its records for good; each made the \
                     producer pause once",
                    &["topic"],
                )?,
                register(
                    &registry,
                    IntGaugeVec::new(
                        Opts::new("pointsman_topic_closed", "1 while a topic is closed"),
                        &["topic"],
                    ),
                )?,
            )),
            unwaited: counters(
                "pointsman_unwaited_records_total",
                "Records sent with ack=none, by the outcome that nobody waited for",
                &["outcome"],
            )?,
            requests: counters(
                "pointsman_requests_total",
                "Ingest requests by HTTP status",
                &["status"],
            )?,
            request_seconds: histogram(
                "pointsman_request_duration_seconds",
                "From a request's header to its reply",
                &REQUEST_BUCKETS,
            )?,
            ack_seconds: histogram(
                "pointsman_ack_duration_seconds",
                "From a record's hand-over to its outcome; a request's first record, and 1 in 16",
                &REQUEST_BUCKETS,
            )?,
            pause: Pause::new(histogram(
                "pointsman_producer_pause_seconds",
                "From a refusal that closed a topic, or taught what it does not take, to the next acknowledgement, where other \
                 records were queued",
                &REQUEST_BUCKETS,
            )?),
            plugin_seconds: register(
                &registry,
                HistogramVec::new(
                    HistogramOpts::new("pointsman_plugin_call_duration_seconds", "Plugin calls, 1 in 64 timed")
                        .buckets(CALL_BUCKETS.to_vec()),
                    &["plugin"],
                ),
            )?,
            plugin_errors: counters(
                "pointsman_plugin_errors_total",
                "Calls in which a plugin could not decide",
                &["plugin", "kind"],
            )?,
            plugin_info: register(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "pointsman_plugin_info",
                        "1 for each plugin that is loaded, with its SHA-256",
                    ),
                    &["plugin", "digest"],
                ),
            )?,
            plugin_instances: counters(
                "pointsman_plugin_instances_total",
                "Instances made of a plugin: one for each thread, and one after each trap",
                &["plugin"],
            )?,
            plugin_suspensions: counters(
                "pointsman_plugin_suspensions_total",
                "Times a plugin was suspended because it kept failing",
                &["plugin"],
            )?,
            plugin_suspended: register(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "pointsman_plugin_suspended",
                        "Versions and configs of a plugin that are suspended now",
                    ),
                    &["plugin"],
                ),
            )?,
            plugin_batch_failures: counters(
                "pointsman_plugin_batch_failures_total",
                "Calls about several records that failed; each counts among pointsman_plugin_errors_total, too",
                &["plugin"],
            )?,
            plugin_batch_paused: register(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "pointsman_plugin_batch_paused",
                        "Versions and configs of a plugin that are asked about one record at a time for a while, because a batch failed",
                    ),
                    &["plugin"],
                ),
            )?,
            plugin_reloads: counters(
                "pointsman_plugin_reloads_total",
                "New contents of a plugin's file, by what became of them",
                &["plugin", "result"],
            )?,
            config_reloads: counters(
                "pointsman_config_reloads_total",
                "New contents of the configuration file, by what became of them",
                &["result"],
            )?,
            shadow_records: counters(
                "pointsman_shadow_records_total",
                "Records that a shadow plugin was to decide too, by how its decision compares",
                &["plugin", "result"],
            )?,
            shadow_seconds: register(
                &registry,
                HistogramVec::new(
                    HistogramOpts::new("pointsman_shadow_call_duration_seconds", "Calls of shadow plugins")
                        .buckets(CALL_BUCKETS.to_vec()),
                    &["plugin"],
                ),
            )?,
            sequence_conflicts: counters(
                "pointsman_sequence_conflicts_total",
                "Numbered requests that were not taken because of their number",
                &["code"],
            )?,
            log_lines_dropped: counters(
                "pointsman_log_lines_dropped_total",
                "Log lines that were not written: nobody read standard error, or one place logged too often",
                &["reason"],
            )?,
            sequence_clients: gauge(
                "pointsman_sequence_clients",
                "Clients with numbered requests that are remembered",
            )?,
            queue_messages: gauge(
                "pointsman_producer_queue_messages",
                "Records handed over and not yet answered",
            )?,
            queue_bytes: gauge("pointsman_producer_queue_bytes", "Their bytes")?,
            streams: gauge("pointsman_streams", "Streams open now")?,
            connections: gauge("pointsman_connections", "Ingest connections open now")?,
            buffered_bytes: gauge(
                "pointsman_buffered_bytes",
                "Bytes reserved by bodies and queued records",
            )?,
            generation: gauge("pointsman_generation", "Producer generation")?,
            kafka_up: gauge("pointsman_kafka_up", "1 while a Kafka broker can be reached")?,
            handed_over: Default::default(),
            registry,
        })
    }

    /// The counters of a topic.
    pub fn topic(&self, topic: &Arc<str>) -> TopicCounters {
        self.topics.topic(Arc::clone(topic))
    }

    /// An outcome of a record whose topic is not known.
    pub fn count_without_topic(&self, kind: Kind) {
        self.topics.records.with_label_values(&["", kind.as_str()]).inc();
    }

    /// An outcome that nobody waited for.
    pub fn unwaited(&self, kind: Kind) {
        self.unwaited.with_label_values(&[kind.as_str()]).inc();
    }

    /// A record that was handed over got its outcome.
    pub fn delivered(&self, kind: Kind) {
        self.handed_over[kind as usize].fetch_add(1, Ordering::Relaxed);
        if kind == Kind::Acked {
            self.pause.end();
        }
    }

    /// Outcomes so far of records that were handed over, by kind.
    pub fn handed_over(&self) -> [u64; 4] {
        self.handed_over.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// A request was answered.
    pub fn request(&self, status: u16, after: Duration) {
        self.requests.with_label_values(&[status.to_string().as_str()]).inc();
        self.request_seconds.observe(after.as_secs_f64());
    }

    /// The metrics of a plugin.
    pub fn plugin(&self, name: &str) -> PluginMetrics {
        let errors = |kind| self.plugin_errors.with_label_values(&[name, kind]);
        PluginMetrics {
            seconds: self.plugin_seconds.with_label_values(&[name]),
            trapped: errors("trapped"),
            over_time: errors("over_time"),
            unavailable: errors("unavailable"),
            while_suspended: errors("suspended"),
            instances: self.plugin_instances.with_label_values(&[name]),
            suspensions: self.plugin_suspensions.with_label_values(&[name]),
            suspended: self.plugin_suspended.with_label_values(&[name]),
            batch_failures: self.plugin_batch_failures.with_label_values(&[name]),
            batch_paused: self.plugin_batch_paused.with_label_values(&[name]),
        }
    }

    /// The metrics of a shadow plugin.
    pub fn shadow(&self, name: &str) -> ShadowMetrics {
        let records = |result| self.shadow_records.with_label_values(&[name, result]);
        ShadowMetrics {
            same: records("same"),
            different: records("different"),
            error: records("error"),
            dropped: records("dropped"),
            seconds: self.shadow_seconds.with_label_values(&[name]),
        }
    }

    /// This version of a plugin decides now, in place of that one.
    pub fn plugin_active(&self, name: &str, digest: Option<&str>, before: Option<&str>) {
        if digest == before {
            return;
        }
        if let Some(before) = before {
            // A label that stayed would make the set of labels grow with each version.
            let _ = self.plugin_info.remove_label_values(&[name, before]);
        }
        if let Some(digest) = digest {
            self.plugin_info.with_label_values(&[name, digest]).set(1);
        }
    }

    /// A plugin's file had new content, or it was rolled back.
    pub fn plugin_reloaded(&self, name: &str, result: &str) {
        self.plugin_reloads.with_label_values(&[name, result]).inc();
    }

    /// The configuration file had new content.
    pub fn config_reloaded(&self, result: &str) {
        self.config_reloads.with_label_values(&[result]).inc();
    }

    /// A numbered request was not taken because of its number; `code` is one of a closed list.
    pub fn sequence_conflict(&self, code: &'static str) {
        self.sequence_conflicts.with_label_values(&[code]).inc();
    }

    /// Log lines that were not written so far, by reason.
    pub fn log_lines_dropped(&self, unread: u64, repeated: u64) {
        for (reason, lines) in [("unread", unread), ("repeated", repeated)] {
            let counter = self.log_lines_dropped.with_label_values(&[reason]);
            counter.inc_by(lines.saturating_sub(counter.get()));
        }
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::warn!(%error, "metrics could not be written");
        }
        text
    }
}
