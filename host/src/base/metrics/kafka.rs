//! Metrics of the listener that speaks Kafka's protocol.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Result};

use super::registrar::Registrar;

/// Kinds of clients, by name and version, that are told apart at once.
const MOST_CLIENTS: usize = 50;
/// The longest name or version that is told.
const MOST_BYTES: usize = 64;
/// Stands for a name or version that is not told.
const OTHER: &str = "other";

/// See the [module](self).
#[derive(Debug)]
pub struct KafkaMetrics {
    requests: IntCounterVec,
    batches: IntCounterVec,
    clients: Arc<Clients>,
}

/// The open connections, by what their clients call themselves.
#[derive(Debug)]
struct Clients {
    connections: IntGaugeVec,
    /// How many connections each kind has: a kind without any gives its place to another.
    open: Mutex<HashMap<(String, String), usize>>,
}

/// A connection whose client has said what it is, until this is dropped.
#[derive(Debug)]
pub struct KafkaClient {
    clients: Arc<Clients>,
    kind: (String, String),
    connections: IntGauge,
}

impl KafkaMetrics {
    pub(super) fn new(registrar: &Registrar) -> Result<Self> {
        Ok(Self {
            requests: registrar.counters(
                "pointsman_kafka_requests_total",
                "Requests that came in by Kafka's protocol, by kind",
                &["api"],
            )?,
            batches: registrar.counters(
                "pointsman_kafka_batches_total",
                "Batches that came in by Kafka's protocol, by the error that their client was told",
                &["error"],
            )?,
            clients: Arc::new(Clients {
                connections: registrar.gauges(
                    "pointsman_kafka_clients",
                    "Open connections of Kafka clients, by what they call themselves",
                    &["software", "version"],
                )?,
                open: Mutex::default(),
            }),
        })
    }

    /// Counts a request of this kind, from a closed list.
    pub fn request(&self, api: &'static str) {
        self.requests.with_label_values(&[api]).inc();
    }

    /// Counts a batch with what its client was told; `error` is from a closed list.
    pub fn batch(&self, error: &str) {
        self.batches.with_label_values(&[error]).inc();
    }

    /// Counts a connection whose client calls itself so.
    pub fn client(&self, software: &str, version: &str) -> KafkaClient {
        let kind = (told(software).to_owned(), told(version).to_owned());
        let mut open = self.clients.open();
        let kind = match open.len() < MOST_CLIENTS || open.contains_key(&kind) {
            true => kind,
            false => (OTHER.to_owned(), OTHER.to_owned()),
        };
        *open.entry(kind.clone()).or_default() += 1;
        let connections = self.clients.connections.with_label_values(&[&kind.0, &kind.1]);
        connections.inc();
        drop(open);
        KafkaClient {
            clients: Arc::clone(&self.clients),
            kind,
            connections,
        }
    }
}

impl Clients {
    // A std mutex: it is held for a look at the list.
    fn open(&self) -> MutexGuard<'_, HashMap<(String, String), usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for KafkaClient {
    fn drop(&mut self) {
        let mut open = self.clients.open();
        self.connections.dec();
        let Some(count) = open.get_mut(&self.kind) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            open.remove(&self.kind);
            // Fails only if it is gone already.
            let _ = self
                .clients
                .connections
                .remove_label_values(&[&self.kind.0, &self.kind.1]);
        }
    }
}

/// A name as Kafka allows it (KIP-511): letters, digits, dots and dashes.
fn told(name: &str) -> &str {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    match !name.is_empty() && name.len() <= MOST_BYTES && name.bytes().all(is_plain) {
        true => name,
        false => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> (KafkaMetrics, prometheus::Registry) {
        let registrar = Registrar::default();
        let metrics = KafkaMetrics::new(&registrar).expect("metrics");
        (metrics, registrar.into_registry())
    }

    fn kinds(registry: &prometheus::Registry) -> usize {
        let families = registry.gather();
        let clients = families
            .iter()
            .find(|family| family.name() == "pointsman_kafka_clients");
        clients.map_or(0, |family| family.get_metric().len())
    }

    #[test]
    fn clients_cannot_fill_the_metrics_with_names() {
        let (metrics, registry) = metrics();
        let open: Vec<_> = (0..500).map(|n| metrics.client(&format!("client-{n}"), "1")).collect();
        assert_eq!(kinds(&registry), MOST_CLIENTS + 1);
        drop(open);
        assert_eq!(kinds(&registry), 0);
        let _again = metrics.client("client-499", "1");
        assert_eq!(kinds(&registry), 1);
    }

    #[test]
    fn a_name_that_is_none_is_not_told() {
        for name in ["", "a b", "ä", "a\n", "\"", &"x".repeat(65)] {
            assert_eq!(told(name), OTHER, "{name:?}");
        }
        assert_eq!(told("apache-kafka-java"), "apache-kafka-java");
    }
}
