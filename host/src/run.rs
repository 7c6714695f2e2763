//! `pointsman run`: build everything, serve until a signal, drain with a deadline.

pub mod admin;
mod brokers;
pub mod drain;
pub mod logging;
mod open_files;
mod serve;
mod sidecar;
mod signals;

use std::{process::ExitCode, sync::mpsc, thread};

use anyhow::Context as _;

use self::{drain::LAST_WORDS, logging::Log, sidecar::Sidecar};
use crate::{
    config::{Config, Loaded},
    ingest::workers::Workers,
    produce::embedded::{self, EmbeddedBroker},
    reload::ConfigFile,
};

/// Blocking calls at once: metadata requests and flushes.
const BLOCKING_THREADS: usize = 16;

/// Serves until SIGTERM or SIGINT. Success is a clean drain.
pub fn run(loaded: Loaded, config_file: ConfigFile, log: &Log) -> anyhow::Result<ExitCode> {
    for note in &loaded.kafka.notes {
        tracing::info!("kafka.properties: {note}");
    }
    open_files::raise(loaded.config.limits.max_connections);
    // This runtime accepts and waits; requests run on the runtimes of the workers.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()?;
    let broker = start_broker(&loaded.config)?;
    let (sidecar, mailbox) = Sidecar::build(loaded, config_file, broker.as_ref(), log.clone())?;
    runtime.block_on(sidecar.pipeline.schemas.register(&sidecar.config.routes))?;
    let workers = Workers::start().context("cannot start the worker threads")?;
    let code = runtime.block_on(sidecar.serve(mailbox, &workers))?;
    workers.stop(LAST_WORDS);
    runtime.shutdown_timeout(LAST_WORDS);
    end(sidecar, broker);
    Ok(code)
}

/// Ends the client library, but waits only shortly: with brokers that hang, the library may take long.
fn end(sidecar: Sidecar, broker: Option<EmbeddedBroker>) {
    let (done, ended) = mpsc::sync_channel::<()>(1);
    let ending = thread::Builder::new().name("end".to_owned()).spawn(move || {
        drop(sidecar);
        drop(done);
    });
    if ending.is_ok() {
        let _ = ended.recv_timeout(LAST_WORDS);
    }
    // The broker ends after its client.
    drop(broker);
}

fn start_broker(config: &Config) -> anyhow::Result<Option<EmbeddedBroker>> {
    if !config.kafka.is_embedded() {
        return Ok(None);
    }
    let broker = EmbeddedBroker::start().context("cannot start the embedded broker")?;
    tracing::warn!(
        bootstrap_servers = broker.bootstrap_servers(),
        partitions = embedded::PARTITIONS,
        "EMBEDDED broker: NOTHING IS KEPT, all records are gone when this process ends; any Kafka client can read them \
         back until then; a topic is made by its first record"
    );
    Ok(Some(broker))
}
