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
    /// The longest time from a connection's start, or a request's first byte, to the end of its header, ms.
    /// Default 10 000.
    pub header_timeout_ms: u64,
    /// The longest time from the end of the header to the end of the body, ms. Default 30 000.
    pub body_timeout_ms: u64,
    /// How long a connection without a request is kept, ms. Default 75 000.
    pub idle_timeout_ms: u64,
    /// How long a client may take no byte of a reply that waits for it, ms. After that, its connection ends (with
    /// HTTP/2, its request). Default 30 000.
    pub write_timeout_ms: u64,
    /// Most requests at once, over all connections; one more gets 503 at once. Half of them may be streams. Default: twice `max_connections`.
    pub max_requests: Option<usize>,
    /// All memory that requests take at once, from bodies and queued records to replies, bytes. Default 64 MiB.
    pub max_buffered_bytes: usize,
    /// How long a request waits for room before it gets 503, ms. Default 5 000.
    pub max_wait_ms: u64,
    /// Plugin time of one request, ms. Records after that are treated as `on_error` says. Default 1 000.
    pub max_plugin_ms: u64,
    /// Most topics that are known at once. Default 1 000.
    pub max_topics: usize,
    /// How far ahead of now a record's timestamp may be if the topic's settings cannot be read, ms. Default 3 600 000.
    pub max_timestamp_ahead_ms: u64,
    /// Deepest nesting of arrays and objects in a record's JSON value. Default 128.
    pub json_depth: usize,
    /// Clients with numbered requests that are remembered at once. Default 1 000.
    pub max_clients: usize,
    /// Numbered requests of one client that are remembered. Default 128.
    pub client_window: usize,
    /// Outcomes that are remembered for all clients together, bytes; one client gets a quarter at most. Default 8 MiB.
    pub client_memory_bytes: usize,
    /// How long a client that sends no numbered request is remembered, ms. Default 600 000.
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

    /// How many of the requests at once may be streams: half, so that streams never have all places.
    pub fn streams(&self) -> usize {
        (self.requests() / 2).max(1)
    }

    /// `max_requests`, or its default.
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
