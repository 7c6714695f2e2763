//! The functions that a plugin can import: about the record being routed, its topic's partitions, the routing table, and the
//! log. There are no others.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use json_pointer::Pointer;
use pointsman_routing::{Status, Table};
use pointsman_schemas::SchemaId;

use super::{
    Engine, StatedValue,
    bindings::pointsman::partitioner::{
        log::{self, Level},
        message, routes, topology,
        types::{self, RecordHeader},
    },
    field::{self, Decoded},
    limits::{CROSSING_BYTES, Memory, TEXT_BYTES, Time},
};
use crate::{
    base::{record::Record, text::shortened},
    tenants::Tenants,
    topic::Partitions,
};

/// Lines that a plugin may log in a second. All its instances share this limit, because a fresh instance follows each one that
/// traps. Lines beyond it are dropped; the next line that passes says how many.
const LOG_LINES_PER_SECOND: u32 = 20;

/// The same limit while the plugin's author watches the log for a certain line. It is higher, but still so low that logging
/// does not make the call take longer than in a sidecar.
const LOG_LINES_WATCHED: u32 = 200;

/// The host's state of one instance.
pub(super) struct State {
    /// The plugin's name, for its log lines.
    plugin: Arc<str>,
    /// The records being routed; `None` outside of a call that decides.
    pub(super) current: Option<Current>,
    /// What the instance takes.
    pub(super) memory: Memory,
    /// How long the current call may take.
    pub(super) time: Time,
    /// Has the clock that time is measured with.
    engine: Engine,
    /// The routing table of tenants.
    tenants: Arc<Tenants>,
    /// The table that this call has looked into: all its look-ups are answered from one.
    table: Option<Arc<Table>>,
    /// How much the plugin has handed to the host in this call, bytes.
    crossed: usize,
    /// Shared by all instances of the plugin.
    log_window: Arc<Mutex<LogWindow>>,
}

/// What a plugin can read while it decides.
pub(super) struct Current {
    pub(super) records: Records,
    pub(super) partitions: Arc<Partitions>,
    /// What a test says about the value of the one record.
    pub(super) stated: Option<StatedValue>,
    /// The value of the record that is read, once a field of it has been asked for.
    pub(super) decoded: Decoded,
}

/// The records that a call decides about.
pub(super) enum Records {
    /// One record, which can be read at once.
    One(Record),
    /// Many records. The plugin must select one before it can read it.
    Batch {
        records: Vec<Record>,
        /// Index of the record that is read.
        selected: Option<usize>,
    },
}

impl Records {
    /// The record that is read. In a batch the plugin must have selected one.
    fn read(&self) -> wasmtime::Result<&Record> {
        match self {
            Self::One(record) => Ok(record),
            Self::Batch { records, selected } => selected
                .and_then(|selected| records.get(selected))
                .ok_or_else(|| wasmtime::format_err!("it asked for a record of a batch before it selected one")),
        }
    }
}

/// How much a plugin has logged in the current second.
#[derive(Default)]
pub(super) struct LogWindow {
    /// When the current second began.
    begun: Option<Instant>,
    /// Lines in the current second.
    lines: u32,
    /// Lines dropped since the last one that passed.
    dropped: u64,
    /// Whether the plugin's author watches the log.
    is_watched: bool,
}

impl State {
    pub(super) fn new(
        plugin: &Arc<str>,
        engine: &Engine,
        tenants: &Arc<Tenants>,
        log_window: &Arc<Mutex<LogWindow>>,
        memory: Memory,
        time: Time,
    ) -> Self {
        Self {
            plugin: Arc::clone(plugin),
            engine: engine.clone(),
            tenants: Arc::clone(tenants),
            table: None,
            current: None,
            memory,
            time,
            crossed: 0,
            log_window: Arc::clone(log_window),
        }
    }

    /// Prepares for a call.
    pub(super) fn begin(&mut self, current: Current, time: Time) {
        self.current = Some(current);
        self.table = None;
        self.time = time;
        self.crossed = 0;
    }

    /// Counts bytes that the plugin handed to the host, which copies them: too many in one call are an error.
    fn crossing(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.crossed = self.crossed.saturating_add(bytes);
        match self.crossed <= CROSSING_BYTES {
            true => Ok(()),
            false => Err(wasmtime::Error::new(TooMuch)),
        }
    }

    /// What the plugin can read now. `configure` has no record, so reading one there is an error of the plugin.
    fn current(&self) -> wasmtime::Result<&Current> {
        self.current.as_ref().ok_or_else(outside)
    }

    /// The record that the plugin reads.
    fn record(&self) -> wasmtime::Result<&Record> {
        self.current()?.records.read()
    }

    /// The text of a field of the record's value. What takes long is measured as the plugin's own time.
    fn field_text(&mut self, pointer: &Pointer) -> wasmtime::Result<Option<String>> {
        let current = self.current.as_mut().ok_or_else(outside)?;
        let record = current.records.read()?;
        if field::is_quick(record, &current.decoded) {
            return Ok(field::text_of(record, &mut current.decoded, pointer));
        }
        self.time.check(self.engine.coarse_ms())?;
        let text = field::text_of(record, &mut current.decoded, pointer);
        self.time.check(self.engine.coarse_ms())?;
        Ok(text)
    }

    /// Selects a record of the batch for reading.
    pub(super) fn select(&mut self, index: u32) -> wasmtime::Result<()> {
        let current = self.current.as_mut().ok_or_else(outside)?;
        match &mut current.records {
            Records::Batch { records, selected } if (index as usize) < records.len() => {
                if *selected != Some(index as usize) {
                    *selected = Some(index as usize);
                    current.decoded = Decoded::default();
                }
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

/// The plugin handed too many bytes to the host in one call.
#[derive(Debug, thiserror::Error)]
#[error(
    "it handed more than {CROSSING_BYTES} bytes to the host in one call; keep texts, hashed bytes, fields and log lines short"
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

    fn schema_id(&mut self) -> wasmtime::Result<Option<types::RegisteredId>> {
        let stated = self.current()?.stated.as_ref().and_then(|stated| stated.schema_id);
        let id = match &self.record()?.schema {
            Some(schema) => Some(schema.id()),
            None => stated,
        };
        Ok(id.map(|id| match id {
            SchemaId::Number(number) => types::RegisteredId::Number(number),
            guid @ SchemaId::Guid(_) => types::RegisteredId::Guid(guid.to_string()),
        }))
    }

    fn field(&mut self, pointer: String) -> wasmtime::Result<Option<String>> {
        self.crossing(pointer.len())?;
        let read = Pointer::parse(&pointer).map_err(|wrong| wasmtime::format_err!("it asked for a field: {wrong}"))?;
        let stated = self.current()?.stated.as_ref();
        let text = match stated.and_then(|stated| stated.fields.get(&pointer)) {
            Some(text) => Some(text.clone()),
            None => self.field_text(&read)?,
        };
        self.crossing(text.as_ref().map_or(0, String::len))?;
        Ok(text)
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
    fn lookup(&mut self, tenant: String) -> wasmtime::Result<Option<routes::Assignment>> {
        self.crossing(tenant.len())?;
        let topic = match &self.current()?.records {
            Records::One(record) => Some(&record.topic),
            // They are of one topic.
            Records::Batch { records, .. } => records.first().map(|record| &record.topic),
        };
        let Some(topic) = topic.map(Arc::clone) else {
            return Ok(None);
        };
        if self.table.is_none() {
            self.table = self.tenants.table();
        }
        let found = self.table.as_deref().and_then(|table| {
            let rows = table.topic(&topic)?;
            Some(rows.find(&tenant, table.hashing().of(&tenant)))
        });
        Ok(found.map(|row| routes::Assignment {
            status: match row.status() {
                Status::Shared => routes::Status::Shared,
                Status::Dedicated => routes::Status::Dedicated,
                Status::Sharded => routes::Status::Sharded,
            },
            partitions: row.partitions(&tenant),
            version: row.version(),
        }))
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
    /// Resets the window and raises its limit, for a user who wants to see all that a single call logs.
    pub(super) fn watch(&mut self) {
        *self = Self {
            is_watched: true,
            ..Self::default()
        };
    }

    /// Counts a line. If it may pass, returns how many lines were dropped before it.
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
