//! Prometheus metrics, in base units and with the prefix `pointsman_`. Every set of labels is bounded: topics by
//! `limits.max_topics` (a topic's labels go when the topic does), plugins by the routes.

mod kafka;
mod load;
mod pause;
mod plugin;
mod registrar;
mod routing;
mod schemas;
mod topic;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus::{Encoder as _, Histogram, IntCounterVec, IntGauge, Registry, TextEncoder};

pub use self::{
    kafka::{KafkaClient, KafkaMetrics},
    load::LoadMetrics,
    pause::Pause,
    plugin::{PluginMetrics, ShadowMetrics},
    routing::RoutingMetrics,
    schemas::SchemaMetrics,
    topic::TopicCounters,
};
use self::{plugin::PluginVectors, registrar::Registrar, topic::TopicMetrics};
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
    /// How long the whole producer is drained after a topic was closed.
    pub pause: Pause,
    plugins: PluginVectors,
    /// The routing table of tenants.
    pub routing: RoutingMetrics,
    /// What tenants send, and what partitions get.
    pub load: LoadMetrics,
    /// The listener that speaks Kafka's protocol.
    pub kafka: KafkaMetrics,
    /// The schema registry.
    pub schemas: SchemaMetrics,
    config_reloads: IntCounterVec,
    sequence_conflicts: IntCounterVec,
    log_lines_dropped: IntCounterVec,
    /// Clients with numbered requests that are remembered.
    pub sequence_clients: IntGauge,
    /// Records handed over and not yet answered.
    pub queue_messages: IntGauge,
    /// Bytes of the records that were handed over and have no outcome yet.
    pub queue_bytes: IntGauge,
    /// Ingest connections open now.
    pub connections: IntGauge,
    /// Streams open now.
    pub streams: IntGauge,
    /// Bytes reserved by bodies and queued records.
    pub buffered_bytes: IntGauge,
    /// The producer's generation.
    pub generation: IntGauge,
    /// How many clients the producer has side by side.
    pub clients: IntGauge,
    /// 1 while a Kafka broker can be reached.
    pub kafka_up: IntGauge,
    /// Outcomes of records that were handed over, by kind: what a drain reports.
    handed_over: [AtomicU64; 4],
}

/// Something open that is counted until this value is dropped.
#[derive(Debug)]
pub struct GaugeGuard(IntGauge);

impl GaugeGuard {
    /// Counts one more.
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

/// From 50 µs to 50 s, since a request waits for brokers, sometimes for long.
const REQUEST_BUCKETS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 50.0,
];

impl Metrics {
    /// All metrics, at zero.
    pub fn new() -> prometheus::Result<Self> {
        let registrar = Registrar::default();
        Ok(Self {
            topics: Arc::new(TopicMetrics::new(&registrar)?),
            plugins: PluginVectors::new(&registrar)?,
            routing: RoutingMetrics::new(&registrar)?,
            load: LoadMetrics::new(&registrar)?,
            kafka: KafkaMetrics::new(&registrar)?,
            schemas: SchemaMetrics::new(&registrar)?,
            unwaited: registrar.counters(
                "pointsman_unwaited_records_total",
                "Records sent with ack=none, by the outcome that nobody waited for",
                &["outcome"],
            )?,
            requests: registrar.counters(
                "pointsman_requests_total",
                "Ingest requests by HTTP status",
                &["status"],
            )?,
            request_seconds: registrar.histogram(
                "pointsman_request_duration_seconds",
                "From a request's header to its reply",
                &REQUEST_BUCKETS,
            )?,
            ack_seconds: registrar.histogram(
                "pointsman_ack_duration_seconds",
                "From a record's hand-over to its outcome; a request's first record, and 1 in 16",
                &REQUEST_BUCKETS,
            )?,
            pause: Pause::new(registrar.histogram(
                "pointsman_producer_pause_seconds",
                "From a refusal that closed a topic, or taught what it does not take, to the next acknowledgement, where other \
                 records were queued",
                &REQUEST_BUCKETS,
            )?),
            config_reloads: registrar.counters(
                "pointsman_config_reloads_total",
                "New contents of the configuration file, by what became of them",
                &["result"],
            )?,
            sequence_conflicts: registrar.counters(
                "pointsman_sequence_conflicts_total",
                "Numbered requests that were not taken because of their number",
                &["code"],
            )?,
            log_lines_dropped: registrar.counters(
                "pointsman_log_lines_dropped_total",
                "Log lines that were not written: nobody read standard error, or one place logged too often",
                &["reason"],
            )?,
            sequence_clients: registrar.gauge(
                "pointsman_sequence_clients",
                "Clients with numbered requests that are remembered",
            )?,
            queue_messages: registrar.gauge(
                "pointsman_producer_queue_messages",
                "Records handed over and not yet answered",
            )?,
            queue_bytes: registrar.gauge("pointsman_producer_queue_bytes", "Their bytes")?,
            streams: registrar.gauge("pointsman_streams", "Streams open now")?,
            connections: registrar.gauge("pointsman_connections", "Ingest connections open now")?,
            buffered_bytes: registrar.gauge(
                "pointsman_buffered_bytes",
                "Bytes reserved by bodies and queued records",
            )?,
            generation: registrar.gauge("pointsman_generation", "Producer generation")?,
            clients: registrar.gauge("pointsman_producer_clients", "Client connections to each broker, side by side")?,
            kafka_up: registrar.gauge("pointsman_kafka_up", "1 while a Kafka broker can be reached")?,
            handed_over: Default::default(),
            registry: registrar.into_registry(),
        })
    }

    /// The metrics of a plugin.
    pub fn plugin(&self, name: &str) -> PluginMetrics {
        self.plugins.plugin(name)
    }

    /// The metrics of a shadow plugin.
    pub fn shadow(&self, name: &str) -> ShadowMetrics {
        self.plugins.shadow(name)
    }

    /// Each plugin with the number of calls that were timed, and their seconds together.
    pub fn plugin_calls(&self) -> Vec<(String, u64, f64)> {
        self.plugins.calls()
    }

    /// A version of a plugin decides from now on, in place of another.
    pub fn plugin_active(&self, name: &str, digest: Option<&str>, before: Option<&str>) {
        self.plugins.active(name, digest, before);
    }

    /// A plugin's file had new content, or the plugin was rolled back.
    pub fn plugin_reloaded(&self, name: &str, result: &str) {
        self.plugins.reloads.with_label_values(&[name, result]).inc();
    }

    /// The counters of a topic.
    pub fn topic(&self, topic: &Arc<str>) -> TopicCounters {
        self.topics.topic(Arc::clone(topic))
    }

    /// Counts an outcome of a record whose topic is not known.
    pub fn count_without_topic(&self, kind: Kind) {
        self.topics.records.with_label_values(&["", kind.as_str()]).inc();
    }

    /// Counts an outcome that no client waited for.
    pub fn unwaited(&self, kind: Kind) {
        self.unwaited.with_label_values(&[kind.as_str()]).inc();
    }

    /// Counts the outcome of a record that was handed over.
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

    /// Counts a request that was answered.
    pub fn request(&self, status: u16, after: Duration) {
        self.requests.with_label_values(&[status.to_string().as_str()]).inc();
        self.request_seconds.observe(after.as_secs_f64());
    }

    /// The configuration file had new content.
    pub fn config_reloaded(&self, result: &str) {
        self.config_reloads.with_label_values(&[result]).inc();
    }

    /// Counts a numbered request that was refused because of its number; `code` is from a closed list.
    pub fn sequence_conflict(&self, code: &'static str) {
        self.sequence_conflicts.with_label_values(&[code]).inc();
    }

    /// The log lines that were not written so far, by reason.
    pub fn log_lines_dropped(&self, unread: u64, repeated: u64) {
        for (reason, lines) in [("unread", unread), ("repeated", repeated)] {
            let counter = self.log_lines_dropped.with_label_values(&[reason]);
            counter.inc_by(lines.saturating_sub(counter.get()));
        }
    }

    /// All metrics as text for Prometheus.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::warn!(%error, "metrics could not be written");
        }
        text
    }
}
