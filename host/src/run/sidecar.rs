//! From a configuration to the parts of a sidecar, each built once and handed down.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{admin::Admin, brokers::METADATA_TIMEOUT, drain::Drain, logging::Log};
use crate::{
    admission::Admission,
    base::metrics::Metrics,
    config::{Config, Loaded, redacted},
    follow,
    ingest::api::Api,
    observe::Observer,
    pipeline::{self, Pipeline},
    plugin::{CompileLimits, Compiler, Engine},
    produce::{
        Producer,
        embedded::{self, EmbeddedBroker},
        kafka::{self, KafkaProducer},
    },
    reload::{self, ConfigFile, Mailbox, Reloader},
    routing::{
        route::Routes,
        topics::{TopicLimits, Topics},
    },
    schemas::{self, Schemas},
    tenants::Tenants,
    topic::Rules,
};

/// librdkafka's default for `delivery.timeout.ms`.
const DEFAULT_DELIVERY_MS: u64 = 120_000;
/// A record has its outcome when its delivery times out, or shortly after. No request has to wait longer than that.
const BEYOND_DELIVERY: Duration = Duration::from_secs(10);
/// librdkafka's default for `message.max.bytes`.
const DEFAULT_MAX_RECORD_BYTES: usize = 1_000_000;

/// Everything that lives as long as the process.
pub(super) struct Sidecar {
    pub(super) config: Config,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) reloader: Arc<Reloader>,
    pub(super) admin: Arc<Admin>,
    pub(super) api: Arc<Api>,
}

/// The producer's properties, and what other parts need to know of them.
struct Properties {
    /// All properties, under librdkafka's names.
    all: BTreeMap<String, String>,
    /// `message.max.bytes`.
    max_record_bytes: usize,
    /// `delivery.timeout.ms`.
    delivery_ms: u64,
}

impl Sidecar {
    pub(super) fn build(
        loaded: Loaded,
        config_file: ConfigFile,
        broker: Option<&EmbeddedBroker>,
        log: Log,
    ) -> anyhow::Result<(Self, Mailbox)> {
        let metrics = Arc::new(Metrics::new()?);
        let mut shown = shown(&loaded, broker);
        let Loaded {
            config,
            kafka,
            token,
            admin_token,
        } = loaded;
        let follower = follow::follower(config.routing.as_ref(), &metrics)?;
        let (reloader, mailbox) = Reloader::start(
            &config,
            config_file,
            compiler(&config)?.with_tenants(follower.tenants()),
            Arc::clone(&metrics),
        )?;
        let properties = Properties::of(kafka.properties, &config, broker);
        let (producer, effective) = producer(&properties, &config, broker.is_some())?;
        shown["kafka"]["effective_properties"] = effective;
        let mut pipeline = pipeline(
            producer,
            reloader.routes(),
            metrics,
            &config,
            &properties,
            follower.tenants(),
        );
        if let Some(registry) = &config.schema_registry {
            pipeline.schemas = Schemas::new(schemas::registry_of(registry)?);
        }
        let pipeline = Arc::new(pipeline);
        if let Some(routing) = &config.routing {
            follow::start(&follower, routing, &properties.all, &pipeline)?;
        }
        let admin = Arc::new(Admin {
            pipeline: Arc::clone(&pipeline),
            loopback: config.listen.admin.ip().is_loopback(),
            token: admin_token,
            reloader: Arc::clone(&reloader),
            follower: Arc::clone(&follower),
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
            config.limits.clone(),
            (config.listen.apis.clone(), token),
            (broker.is_some(), admin.readiness()),
            Duration::from_millis(properties.delivery_ms) + BEYOND_DELIVERY,
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
}

/// The configuration as `/config` shows it, still without the producer's own properties.
fn shown(loaded: &Loaded, broker: Option<&EmbeddedBroker>) -> Value {
    let mut shown = loaded.redacted();
    shown["embedded"] = broker.map_or(
        Value::Null,
        |broker| json!({"bootstrap_servers": broker.bootstrap_servers(), "partitions": embedded::PARTITIONS}),
    );
    shown
}

fn compiler(config: &Config) -> anyhow::Result<Compiler> {
    Ok(Compiler::new(
        Engine::new()?,
        CompileLimits::from(&config.plugins),
        reload::cache(config.plugins.cache_dir.as_deref())?,
    ))
}

impl Properties {
    fn of(mut all: BTreeMap<String, String>, config: &Config, broker: Option<&EmbeddedBroker>) -> Self {
        if let Some(broker) = broker {
            all.insert("bootstrap.servers".to_owned(), broker.bootstrap_servers());
        }
        all.entry("topic.metadata.refresh.interval.ms".to_owned())
            .or_insert_with(|| config.kafka.metadata_refresh_ms.to_string());
        let number = |name: &str| all.get(name).and_then(|text| text.parse::<u64>().ok());
        Self {
            max_record_bytes: number("message.max.bytes")
                .and_then(|bytes| usize::try_from(bytes).ok())
                .unwrap_or(DEFAULT_MAX_RECORD_BYTES),
            delivery_ms: number("delivery.timeout.ms").unwrap_or(DEFAULT_DELIVERY_MS),
            all,
        }
    }
}

/// The producer, and its properties without secrets.
fn producer(properties: &Properties, config: &Config, embedded: bool) -> anyhow::Result<(Arc<dyn Producer>, Value)> {
    let limits = &config.limits;
    let client = kafka::client_config(
        &properties.all,
        Admission::queue_records(limits),
        limits.max_buffered_bytes,
    );
    let shown = redacted(json!(client.config_map()));
    let options = kafka::Options {
        embedded,
        most_topics: limits.max_topics,
        most_clients: config.kafka.broker_connections,
    };
    let producer =
        KafkaProducer::new(&client, options).context("cannot make the Kafka producer from [kafka.properties]")?;
    Ok((Arc::new(producer), shown))
}

fn pipeline(
    producer: Arc<dyn Producer>,
    routes: &Arc<Routes>,
    metrics: Arc<Metrics>,
    config: &Config,
    properties: &Properties,
    tenants: &Arc<Tenants>,
) -> Pipeline {
    let limits = &config.limits;
    let topic_limits = TopicLimits {
        max_topics: limits.max_topics,
        timeout: METADATA_TIMEOUT.min(limits.max_wait().max(Duration::from_millis(100))),
        rules: Rules {
            ahead_ms: i64::try_from(limits.max_timestamp_ahead_ms).unwrap_or(i64::MAX),
            delivery_ms: i64::try_from(properties.delivery_ms).unwrap_or(i64::MAX),
            packing: producer.packing(),
        },
    };
    Pipeline {
        topics: Topics::new(
            Arc::clone(&producer),
            Arc::clone(routes),
            Arc::clone(&metrics),
            topic_limits,
        ),
        producer,
        tenants: Arc::clone(tenants),
        observer: config.routing.as_ref().map(|routing| {
            let observer = Observer::new(tenants.hashing(), routing.metrics_tenants);
            Arc::new(observer)
        }),
        schemas: Default::default(),
        stamps: config.routing.as_ref().is_some_and(|routing| routing.stamp),
        admission: Arc::new(Admission::new(limits)),
        metrics,
        max_record_bytes: properties.max_record_bytes,
        max_plugin_ms: limits.max_plugin_ms,
        open: 0.into(),
        large: pipeline::large_hand_overs(),
        long_work: Default::default(),
    }
}
