//! `pointsman run`: build everything, serve until a signal, drain with a deadline.

pub mod admin;
pub mod drain;
pub mod logging;
mod open_files;

use std::{
    process::ExitCode,
    sync::{Arc, atomic::Ordering, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::json;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinSet,
};

use self::{
    admin::Admin,
    drain::{Drain, LAST_WORDS, Report},
    logging::Log,
};
use crate::{
    admission::Admission,
    base::metrics::Metrics,
    config::{Config, Loaded, redacted},
    ingest::{
        api::Api,
        listen::{self, Listener},
        serve::Server,
        workers::Workers,
    },
    pipeline::{self, Pipeline},
    plugin::{CompileLimits, Compiler, Engine},
    produce::{
        Health, Producer,
        embedded::{self, EmbeddedBroker},
        kafka::{self, KafkaProducer},
    },
    reload::{self, ConfigFile, Mailbox, Reloader},
    routing::topics::{TopicLimits, Topics},
    topic::Rules,
};

/// Of `delivery.timeout.ms`.
const DEFAULT_DELIVERY_MS: u64 = 120_000;
/// A record has its outcome when its delivery times out, or shortly after; a request that waits longer waits for nothing.
const BEYOND_DELIVERY: Duration = Duration::from_secs(10);
/// librdkafka's default.
const DEFAULT_MAX_RECORD_BYTES: usize = 1_000_000;
/// Threads that may wait for metadata, or flush.
const BLOCKING_THREADS: usize = 16;
/// How long one metadata request may take.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a broker is looked for while none is known to be there.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// After a drain that was asked for: how long the signal that usually follows is waited for.
const AFTER_HOOK: Duration = Duration::from_secs(10);

/// Serves until SIGTERM or SIGINT. Success is a clean drain.
pub fn run(loaded: Loaded, config_file: ConfigFile, log: &Log) -> anyhow::Result<ExitCode> {
    for note in &loaded.kafka.notes {
        tracing::info!("kafka.properties: {note}");
    }
    open_files::raise(loaded.config.limits.max_connections);
    // It accepts and waits; requests have the workers' own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()?;
    let broker = start_broker(&loaded.config)?;
    let (sidecar, mailbox) = Sidecar::build(loaded, config_file, broker.as_ref(), log.clone())?;
    let workers = Workers::start().context("cannot start the worker threads")?;
    let code = runtime.block_on(sidecar.serve(mailbox, &workers))?;
    workers.stop(LAST_WORDS);
    runtime.shutdown_timeout(LAST_WORDS);
    end(sidecar, broker);
    Ok(code)
}

/// Ends the client library, but does not wait for it for long: with frozen brokers it may take its time.
fn end(sidecar: Sidecar, broker: Option<EmbeddedBroker>) {
    let (done, ended) = mpsc::sync_channel::<()>(1);
    let ending = thread::Builder::new().name("end".to_owned()).spawn(move || {
        drop(sidecar);
        drop(done);
    });
    if ending.is_ok() {
        let _ = ended.recv_timeout(LAST_WORDS);
    }
    // After its client.
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

/// Everything that lives as long as the process.
struct Sidecar {
    config: Config,
    pipeline: Arc<Pipeline>,
    reloader: Arc<Reloader>,
    admin: Arc<Admin>,
    api: Arc<Api>,
}

impl Sidecar {
    fn build(
        loaded: Loaded,
        config_file: ConfigFile,
        broker: Option<&EmbeddedBroker>,
        log: Log,
    ) -> anyhow::Result<(Self, Mailbox)> {
        let metrics = Arc::new(Metrics::new()?);
        let mut shown = loaded.redacted();
        shown["embedded"] = broker.map_or(
            serde_json::Value::Null,
            |broker| json!({"bootstrap_servers": broker.bootstrap_servers(), "partitions": embedded::PARTITIONS}),
        );
        let Loaded {
            config,
            kafka: mut translated,
            token,
            admin_token,
        } = loaded;
        let compiler = Compiler::new(
            Engine::new()?,
            CompileLimits::from(&config.plugins),
            reload::cache(config.plugins.cache_dir.as_deref())?,
        );
        let (reloader, mailbox) = Reloader::start(&config, config_file, compiler, Arc::clone(&metrics))?;
        if let Some(broker) = broker {
            translated
                .properties
                .insert("bootstrap.servers".to_owned(), broker.bootstrap_servers());
        }
        translated
            .properties
            .entry("topic.metadata.refresh.interval.ms".to_owned())
            .or_insert_with(|| config.kafka.metadata_refresh_ms.to_string());
        let max_record_bytes = translated
            .properties
            .get("message.max.bytes")
            .and_then(|bytes| bytes.parse().ok())
            .unwrap_or(DEFAULT_MAX_RECORD_BYTES);
        let limits = &config.limits;
        let delivery_ms = translated.properties.get("delivery.timeout.ms");
        let delivery_ms = delivery_ms
            .and_then(|ms| ms.parse().ok())
            .unwrap_or(DEFAULT_DELIVERY_MS);
        let client = kafka::client_config(
            &translated.properties,
            Admission::queue_records(limits),
            limits.max_buffered_bytes,
        );
        shown["kafka"]["effective_properties"] = redacted(json!(client.config_map()));
        let producer = KafkaProducer::new(&client, broker.is_some(), limits.max_topics)
            .context("cannot make the Kafka producer from [kafka.properties]")?;
        let producer: Arc<dyn Producer> = Arc::new(producer);
        let pipeline = Arc::new(Pipeline {
            topics: Topics::new(
                Arc::clone(&producer),
                Arc::clone(reloader.routes()),
                Arc::clone(&metrics),
                TopicLimits {
                    max_topics: limits.max_topics,
                    timeout: METADATA_TIMEOUT.min(limits.max_wait().max(Duration::from_millis(100))),
                    rules: Rules {
                        ahead_ms: i64::try_from(limits.max_timestamp_ahead_ms).unwrap_or(i64::MAX),
                        delivery_ms: i64::try_from(delivery_ms).unwrap_or(i64::MAX),
                        packing: producer.packing(),
                    },
                },
            ),
            producer,
            admission: Arc::new(Admission::new(limits)),
            metrics,
            max_record_bytes,
            max_plugin_ms: limits.max_plugin_ms,
            open: 0.into(),
            large: pipeline::large_hand_overs(),
            long_work: Default::default(),
        });
        let admin = Arc::new(Admin {
            pipeline: Arc::clone(&pipeline),
            loopback: config.listen.admin.ip().is_loopback(),
            token: admin_token,
            reloader: Arc::clone(&reloader),
            config: shown,
            log,
            ready_requires_kafka: config.kafka.ready_requires_kafka,
            serving: false.into(),
            draining: false.into(),
            drain: Drain::default(),
            longest_drain: Duration::from_millis(config.shutdown.accept_grace_ms + config.shutdown.drain_ms),
        });
        let api = Arc::new(Api::new(
            Arc::clone(&pipeline),
            limits.clone(),
            token,
            broker.is_some(),
            Duration::from_millis(delivery_ms) + BEYOND_DELIVERY,
        ));
        let sidecar = Self {
            config,
            pipeline,
            reloader,
            admin,
            api,
        };
        Ok((sidecar, mailbox))
    }

    async fn serve(&self, mailbox: Mailbox, workers: &Workers) -> anyhow::Result<ExitCode> {
        // Signals first: one that comes while the listeners are being bound must not kill the process.
        let mut signals = Signals::new()?;
        let (admin_listener, admin_address) = admin::bind(self.config.listen.admin)?;
        let _serving = admin::serve(Arc::clone(&self.admin), admin_listener)?;
        tracing::info!(address = %admin_address, "admin listens");
        let listeners = self.bind().await?;
        let server = Arc::new(Server::new(
            Arc::clone(&self.api),
            workers.share(),
            self.config.limits.clone(),
            self.config.listen.allow_uids.clone(),
        ));
        let (closing, draining) = watch::channel(false);
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(Arc::clone(&server).accept(listener, draining.clone()));
        }
        self.admin.serving.store(true, Ordering::Relaxed);
        let background = tokio::spawn(watch_brokers(
            Arc::clone(&self.pipeline),
            Duration::from_millis(self.config.kafka.metadata_refresh_ms.max(100)),
        ));
        let _reloading = self.reloader.spawn(mailbox)?;
        match self.reloader.readiness() {
            (true, _) => tracing::info!("ready"),
            (false, problems) => tracing::warn!(?problems, "serving, but not ready yet"),
        }

        let by_signal = tokio::select! {
            () = signals.next() => true,
            () = self.admin.drain.asked() => false,
        };
        let shutdown = &self.config.shutdown;
        let grace = Duration::from_millis(shutdown.accept_grace_ms);
        let deadline = Instant::now() + grace + Duration::from_millis(shutdown.drain_ms);
        self.admin.draining.store(true, Ordering::Relaxed);
        if !grace.is_zero() {
            tracing::info!(
                accept_grace_ms = shutdown.accept_grace_ms,
                "stopping soon: still accepting"
            );
            tokio::select! {
                () = tokio::time::sleep(grace) => {}
                () = signals.next() => tracing::info!("second signal: no longer accepting"),
            }
        }
        tracing::info!(
            drain_ms = shutdown.drain_ms,
            "stopping: no new connections, finishing what is open"
        );
        let _ = closing.send(true);
        background.abort();
        accepting.join_all().await;
        let finished = tokio::select! {
            finished = drain::finish(&self.pipeline, &server, deadline) => finished,
            () = signals.next() => {
                tracing::warn!("another signal: not waiting any longer");
                false
            }
        };
        let report = match finished {
            true => Report::clean(),
            false => drain::give_up(&self.pipeline, &server).await,
        };
        report.log();
        self.admin.drain.ended(report).await;
        if !by_signal {
            // A hook that has asked is itself a process of this container, and its end is not to look like a failure.
            let _ = tokio::time::timeout(AFTER_HOOK, signals.next()).await;
        }
        Ok(if finished { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn bind(&self) -> anyhow::Result<Vec<Listener>> {
        let mut listeners = Vec::new();
        if let Some(path) = &self.config.listen.unix {
            listeners.push(listen::unix(path)?);
            tracing::info!(path = %path.display(), "ingest listens");
        }
        if let Some(address) = self.config.listen.http {
            let (listener, bound) = listen::tcp(address).await?;
            listeners.push(listener);
            tracing::info!(address = %bound, "ingest listens");
        }
        Ok(listeners)
    }
}

/// Keeps the view of topics fresh, and looks for brokers while none is there.
async fn watch_brokers(pipeline: Arc<Pipeline>, refresh: Duration) {
    let mut refreshed = Instant::now();
    let mut looks = tokio::time::interval(PROBE_INTERVAL.min(refresh));
    loop {
        looks.tick().await;
        let due = refreshed.elapsed() >= refresh;
        let missing = pipeline.producer.health() != Health::Up;
        if !due && !missing {
            continue;
        }
        let asking = Arc::clone(&pipeline);
        let asked = tokio::task::spawn_blocking(move || {
            if missing {
                let topic = asking.topics.any_known();
                asking.producer.probe(topic.as_deref(), METADATA_TIMEOUT);
            }
            if due {
                asking.topics.refresh();
            }
        });
        let _ = asked.await;
        if due {
            refreshed = Instant::now();
        }
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
