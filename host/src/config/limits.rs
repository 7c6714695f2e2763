//! `[limits]`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[limits]`: every bound that a client can run into.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest request body, bytes. Default 8 MiB.
    pub max_body_bytes: usize,
    /// Most records in one request. Default 10 000.
    pub max_records: usize,
    /// Largest header block, bytes. Default 16 KiB.
    pub max_header_bytes: usize,
    /// Most connections at once, over all ingest listeners. Default 1 024.
    pub max_connections: usize,
    /// From a connection's start, or a request's first byte, to the end of its header, ms. Default 10 000.
    pub header_timeout_ms: u64,
    /// From the end of the header to the end of the body, ms. Default 30 000.
    pub body_timeout_ms: u64,
    /// How long a connection without a request is kept, ms. Default 75 000.
    pub idle_timeout_ms: u64,
    /// How long a client may take nothing of an answer that waits for it, ms; then its connection, or with HTTP/2 its request, ends.
    /// Default 30 000.
    pub write_timeout_ms: u64,
    /// Most requests at once, over all connections; one more is told 503 at once. Default: twice `max_connections`.
    pub max_requests: Option<usize>,
    /// Bytes of all bodies and queued records together. Default 64 MiB.
    pub max_buffered_bytes: usize,
    /// How long a request waits for room before it is told 503, ms. Default 5 000.
    pub max_wait_ms: u64,
    /// Plugin time of one request, ms; the records after that follow `on_error`. Default 1 000.
    pub max_plugin_ms: u64,
    /// Most topics that are known at once. Default 1 000.
    pub max_topics: usize,
    /// How far ahead of now a record's own time may be where the topic's settings cannot be read, ms. Default 3 600 000.
    pub max_timestamp_ahead_ms: u64,
    /// Deepest nesting of arrays and objects in a record's JSON value. Default 128.
    pub json_depth: usize,
    /// Clients with numbered requests that are remembered at once. Default 1 000.
    pub max_clients: usize,
    /// Numbered requests of one client that are remembered. Default 128.
    pub client_window: usize,
    /// Outcomes that are remembered, of all clients together, bytes; one client has a quarter at most. Default 8 MiB.
    pub client_memory_bytes: usize,
    /// How long a client without a numbered request is remembered, ms. Default 600 000.
    pub client_idle_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 8 << 20,
            max_records: 10_000,
            max_header_bytes: 16 << 10,
            max_connections: 1_024,
            header_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            idle_timeout_ms: 75_000,
            write_timeout_ms: 30_000,
            max_requests: None,
            max_buffered_bytes: 64 << 20,
            max_wait_ms: 5_000,
            max_plugin_ms: 1_000,
            max_topics: 1_000,
            max_timestamp_ahead_ms: 3_600_000,
            json_depth: 128,
            max_clients: 1_000,
            client_window: 128,
            client_memory_bytes: 8 << 20,
            client_idle_ms: 600_000,
        }
    }
}

impl Limits {
    /// `header_timeout_ms` as a duration.
    pub fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }

    /// `body_timeout_ms` as a duration.
    pub fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }

    /// `idle_timeout_ms` as a duration.
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    /// `max_requests`, or what it is by default.
    pub fn requests(&self) -> usize {
        let twice = self.max_connections.saturating_mul(2);
        self.max_requests.unwrap_or(twice)
    }

    /// `write_timeout_ms` as a duration.
    pub fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout_ms)
    }

    /// `max_wait_ms` as a duration.
    pub fn max_wait(&self) -> Duration {
        Duration::from_millis(self.max_wait_ms)
    }
}
