//! Structured logs on standard error: text for people, JSON for collectors.
//!
//! Levels say what an operator must do. ERROR: records are lost or somebody must act. WARN: it works, but not as
//! configured or not for long. INFO: what a person wants to see at start, at stop and when something changes. DEBUG: for
//! finding out why.
//!
//! Nobody waits for the log: a line goes into a bounded [queue], and one thread writes. Whoever can make one place log cannot fill
//! it: its lines are [limited](limit). What clients, plugins and brokers say is cut and escaped where lines are [written](mod@line).

mod limit;
mod line;
mod queue;

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    panic,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use self::{
    limit::{Limit, Limited},
    line::Line,
    queue::{Lines, Queue},
};
use crate::{
    base::text,
    config::{self, LogFormat, log_level::targets},
};

/// How long the end waits for a standard error that nobody reads.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often the writing thread looks whether there is something to tell about lines that it does not have.
const LOOK: Duration = Duration::from_secs(1);

/// The process' log, once it has begun.
#[derive(Debug, Clone, Default)]
pub struct Log {
    queue: Arc<Queue>,
    limit: Arc<Limit>,
}

/// Starts logging for the process, panics included. A second call changes nothing.
pub fn init(config: &config::Log) -> anyhow::Result<Log> {
    let log = Log::default();
    let filter = targets(&config.level).unwrap_or_else(|| Targets::new().with_default(tracing::Level::INFO));
    let line = match config.format {
        LogFormat::Json => Line::Json,
        LogFormat::Text if stderr().is_terminal() => Line::Coloured,
        LogFormat::Text => Line::Text,
    };
    let layer = tracing_subscriber::fmt::layer()
        .event_format(line)
        .with_writer(Lines(Arc::clone(&log.queue)));
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(Limited(Arc::clone(&log.limit)));
    if registry.with(layer).try_init().is_err() {
        // A subscriber is there already.
        return Ok(log);
    }
    // Not by way of the standard library's handle: its lock would be held while nobody reads, and a panic waits for it.
    let out = queue::standard_error().context("standard error cannot be written to")?;
    let writing = log.clone();
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || writing.write(&out))
        .context("cannot start the thread that writes the log")?;
    let ending = log.clone();
    panic::set_hook(Box::new(move |panic| {
        let location = panic.location().map(ToString::to_string);
        let said = panic.payload_as_str().unwrap_or_default();
        let thread = thread::current();
        tracing::error!(location, thread = thread.name(), "a thread panicked: {said}");
        // The process ends with this one.
        if thread.name() == Some("main") {
            ending.flush();
        }
    }));
    Ok(log)
}

impl Log {
    /// Lines that were dropped because nobody reads standard error, or not fast enough.
    pub fn unread(&self) -> u64 {
        self.queue.dropped()
    }

    /// Lines that were left out because the same place logged too often.
    pub fn repeated(&self) -> u64 {
        self.limit.left_out()
    }

    /// Waits until everything is written, but not for long.
    pub fn flush(&self) {
        self.limit.tell(true);
        self.queue.flush(LAST_WORDS);
    }

    /// The writing thread. It ends with the process.
    fn write(&self, out: &std::fs::File) {
        loop {
            self.queue.write_next(out, LOOK);
            self.queue.tell();
            self.limit.tell(false);
        }
    }
}

/// Writes an error on standard error, for people; gives up after a moment where nobody reads that.
pub fn last_words(text: String) {
    let (done, written) = mpsc::sync_channel::<()>(1);
    let writing = thread::Builder::new().name("last-words".to_owned()).spawn(move || {
        let _ = writeln!(stderr(), "{}", text::for_terminal(&text));
        drop(done);
    });
    if writing.is_ok() {
        // The sender is dropped when it is written.
        let _ = written.recv_timeout(LAST_WORDS);
    }
}
