//! Structured logs on standard error: text for people, JSON for collectors.
//!
//! Levels say what an operator must do. ERROR: records are lost or somebody must act. WARN: the sidecar works, but not
//! as configured or not for long. INFO: what a person wants to see at start, at stop and when something changes. DEBUG:
//! for finding out why.
//!
//! No caller waits for the log: a line goes into a bounded [queue], and one thread writes. A client that can make one
//! place in the code log cannot fill the log: the lines of a place are [limited](limit). What clients, plugins and
//! brokers say is cut and escaped where lines are [written](mod@line).

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

/// How long the process waits at its end for a standard error that nobody reads.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often the writing thread checks whether lines were dropped or left out, to report their number.
const LOOK: Duration = Duration::from_secs(1);

/// The log of the process, once logging has begun.
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
        // The process has a subscriber already.
        return Ok(log);
    }
    // Not through the standard library's handle: while nobody reads, its lock would be held, and a panic would wait for
    // the lock.
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
        // The process ends with this thread.
        if thread.name() == Some("main") {
            ending.flush();
        }
    }));
    Ok(log)
}

impl Log {
    /// Lines that were dropped because standard error is not read, or is read too slowly.
    pub fn unread(&self) -> u64 {
        self.queue.dropped()
    }

    /// Lines that were left out because the same place logged too often.
    pub fn repeated(&self) -> u64 {
        self.limit.left_out()
    }

    /// Waits until everything is written, but only for a short time.
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

/// Writes an error for people on standard error. Gives up after a moment if nobody reads.
pub fn last_words(text: String) {
    let (done, written) = mpsc::sync_channel::<()>(1);
    let writing = thread::Builder::new().name("last-words".to_owned()).spawn(move || {
        let _ = writeln!(stderr(), "{}", text::for_terminal(&text));
        drop(done);
    });
    if writing.is_ok() {
        // The sender is dropped when the text is written.
        let _ = written.recv_timeout(LAST_WORDS);
    }
}
