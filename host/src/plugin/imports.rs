//! What a plugin can call: the record being routed, its topic's partitions, the routing table, the log. Nothing else.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use bytes::Bytes;

use super::{
    bindings::pointsman::partitioner::{
        log::{self, Level},
        message, routes, topology,
        types::{self, RecordHeader},
    },
    limits::{CROSSING_BYTES, Memory, TEXT_BYTES, Time},
};
use crate::{
    base::{record::Record, text::shortened},
    topic::Partitions,
};

/// Lines a plugin may log in a second, all instances together (one that traps is followed by a fresh one); the rest is counted
/// in the next line that passes.
const LOG_LINES_PER_SECOND: u32 = 20;

/// And of one whose author is watching, who looks for a certain line among many: more, but not so many that the call takes longer
/// by them than in a sidecar.
const LOG_LINES_WATCHED: u32 = 200;

/// The state of one instance's store.
pub(super) struct State {
    plugin: Arc<str>,
    /// The record being routed; none outside of a `partition` call.
    pub(super) current: Option<Current>,
    pub(super) memory: Memory,
    pub(super) time: Time,
    /// What was handed to the host in this call, bytes.
    crossed: usize,
    log_window: Arc<Mutex<LogWindow>>,
}

/// What a plugin sees while it decides.
pub(super) struct Current {
    pub(super) records: Records,
    pub(super) partitions: Arc<Partitions>,
}

/// What is being decided about.
pub(super) enum Records {
    /// One, which is read from the start.
    One(Record),
    /// Many, of which the plugin selects one before it reads.
    Batch {
        records: Vec<Record>,
        selected: Option<usize>,
    },
}

/// How much a plugin has logged in the current second.
#[derive(Default)]
pub(super) struct LogWindow {
    begun: Option<Instant>,
    lines: u32,
    dropped: u64,
    /// Of a plugin whose author is watching.
    is_watched: bool,
}

impl State {
    pub(super) fn new(plugin: &Arc<str>, log_window: &Arc<Mutex<LogWindow>>, memory: Memory, time: Time) -> Self {
        Self {
            plugin: Arc::clone(plugin),
            current: None,
            memory,
            time,
            crossed: 0,
            log_window: Arc::clone(log_window),
        }
    }

    /// A call begins.
    pub(super) fn begin(&mut self, current: Current, time: Time) {
        self.current = Some(current);
        self.time = time;
        self.crossed = 0;
    }

    /// So many bytes were handed to the host; it has copied them, and does not go on copying.
    fn crossing(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.crossed = self.crossed.saturating_add(bytes);
        match self.crossed <= CROSSING_BYTES {
            true => Ok(()),
            false => Err(wasmtime::Error::new(TooMuch)),
        }
    }

    /// What is being decided. `configure` has no record, and asking for one there is the plugin's mistake.
    fn current(&self) -> wasmtime::Result<&Current> {
        self.current.as_ref().ok_or_else(outside)
    }

    /// The record that is read. In a batch none is until one is selected.
    fn record(&self) -> wasmtime::Result<&Record> {
        match &self.current()?.records {
            Records::One(record) => Ok(record),
            Records::Batch { records, selected } => selected
                .and_then(|selected| records.get(selected))
                .ok_or_else(|| wasmtime::format_err!("it asked for a record of a batch before it selected one")),
        }
    }

    /// Selects a record of the batch.
    pub(super) fn select(&mut self, index: u32) -> wasmtime::Result<()> {
        match &mut self.current.as_mut().ok_or_else(outside)?.records {
            Records::Batch { records, selected } if (index as usize) < records.len() => {
                *selected = Some(index as usize);
                Ok(())
            }
            Records::Batch { records, .. } => Err(wasmtime::format_err!(
                "it selected record {index} of a batch of {}",
                records.len()
            )),
            Records::One(_) => Err(wasmtime::format_err!(
                "it selected a record outside of a partition-batch call"
            )),
        }
    }
}

/// A call handed over too much.
#[derive(Debug, thiserror::Error)]
#[error(
    "it handed more than {CROSSING_BYTES} bytes to the host in one call; keep texts, hashed bytes and log lines short"
)]
pub(super) struct TooMuch;

fn outside() -> wasmtime::Error {
    wasmtime::format_err!("it asked for the record outside of a partition call")
}

fn bytes(value: Option<&Bytes>) -> Vec<u8> {
    value.map(|value| value.to_vec()).unwrap_or_default()
}

impl types::Host for State {}

impl message::Host for State {
    fn topic(&mut self) -> wasmtime::Result<String> {
        Ok(self.record()?.topic.to_string())
    }

    fn value(&mut self) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.record()?.value.as_ref().map(|value| value.to_vec()))
    }

    fn timestamp(&mut self) -> wasmtime::Result<Option<i64>> {
        Ok(self.record()?.timestamp)
    }

    fn header(&mut self, name: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.crossing(name.len())?;
        let headers = &self.record()?.headers;
        let last = headers.iter().rfind(|header| *header.name == *name);
        Ok(last.map(|header| bytes(header.value.as_ref())))
    }

    fn headers(&mut self) -> wasmtime::Result<Vec<RecordHeader>> {
        let headers = self.record()?.headers.iter();
        Ok(headers
            .map(|header| RecordHeader {
                name: header.name.to_string(),
                value: bytes(header.value.as_ref()),
            })
            .collect())
    }
}

impl topology::Host for State {
    fn leaderless(&mut self) -> wasmtime::Result<Vec<u32>> {
        Ok(self.current()?.partitions.leaderless.clone())
    }

    fn queued_bytes(&mut self) -> wasmtime::Result<Vec<u64>> {
        Ok(self.current()?.partitions.queued_bytes())
    }
}

impl routes::Host for State {
    /// There is no routing table in this version: no tenant is assigned.
    fn lookup(&mut self, tenant: String) -> wasmtime::Result<Option<routes::Assignment>> {
        self.crossing(tenant.len())?;
        self.current()?;
        Ok(None)
    }
}

impl log::Host for State {
    fn log(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        self.crossing(message.len())?;
        let admitted = self
            .log_window
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .admit(Instant::now());
        let Some(dropped) = admitted else {
            return Ok(());
        };
        let message = shortened(message, TEXT_BYTES);
        let plugin = &*self.plugin;
        match level {
            Level::Debug => tracing::debug!(target: "plugin", plugin, dropped, "{message}"),
            Level::Info => tracing::info!(target: "plugin", plugin, dropped, "{message}"),
            Level::Warn => tracing::warn!(target: "plugin", plugin, dropped, "{message}"),
            Level::Error => tracing::error!(target: "plugin", plugin, dropped, "{message}"),
        }
        Ok(())
    }
}

impl LogWindow {
    /// Begins anew, with more room, for somebody who wants to see all that a single call logs.
    pub(super) fn watch(&mut self) {
        *self = Self {
            is_watched: true,
            ..Self::default()
        };
    }

    /// Whether a line may pass, and how many were dropped before it.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.begun.is_none_or(|begun| (now - begun).as_secs() >= 1) {
            self.begun = Some(now);
            self.lines = 0;
        }
        self.lines += 1;
        let most = match self.is_watched {
            true => LOG_LINES_WATCHED,
            false => LOG_LINES_PER_SECOND,
        };
        if self.lines > most {
            self.dropped += 1;
            return None;
        }
        Some(std::mem::take(&mut self.dropped))
    }
}
