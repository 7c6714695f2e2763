//! Configuration: one TOML file, the environment over it, and nothing unknown in either.
//!
//! [`Config::load`] reads the file, lays the environment over it ([`mod@env`]), resolves `<secret>_file` keys, and
//! checks what the types alone cannot say. Any mistake becomes one [`ConfigError`]: the file, the line, the key and
//! what was expected. [`kafka_properties`] translates and checks the raw Kafka block.

mod all_mistakes;
mod apis;
mod check;
pub mod env;
mod findings;
pub mod java_properties;
pub mod kafka_properties;
mod limits;
mod load;
pub(crate) mod log_level;
mod raw_properties;
mod route;
mod routing;
mod schema;
mod schemas;
mod shown;
mod source;

use std::{net::SocketAddr, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    apis::{Apis, ListenApi},
    limits::Limits,
    raw_properties::RawProperties,
    route::{OnError, Route, Shadow},
    routing::{Routing, password},
    schema::schema,
    schemas::{IdPlace, PartSchema, SchemaFormat, SchemaMode, SchemaRegistry, SchemaVersion, SubjectName, Urls},
    shown::{REDACTED, redacted},
    source::{ConfigError, Source},
};

/// All settings of `pointsman run`.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the sidecar listens.
    pub listen: Listen,
    /// The bounds on everything that clients can make the sidecar hold or wait for.
    pub limits: Limits,
    /// The brokers and the producer.
    pub kafka: Kafka,
    /// Where plugins come from and what they may use.
    pub plugins: Plugins,
    /// Which plugin decides for which topics; the first match wins.
    #[serde(rename = "route")]
    pub routes: Vec<Route>,
    /// The routing table of tenants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing: Option<Routing>,
    /// Where schemas come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_registry: Option<SchemaRegistry>,
    /// How the sidecar ends.
    pub shutdown: Shutdown,
    /// What the sidecar logs.
    pub log: Log,
}

/// `[listen]`: the sockets. Port 0 takes a free port, which is logged.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Path of the ingest Unix socket. Its folder is made with mode 0700 if it does not exist; the socket gets mode
    /// 0660. Default: none.
    pub unix: Option<PathBuf>,
    /// User ids that may connect to the Unix socket. The kernel tells the user id of each connection.
    /// Default: all users that the file's mode admits.
    pub allow_uids: Option<Vec<u32>>,
    /// Address of the ingest TCP listener; `""` turns it off. Default `127.0.0.1:8644`.
    #[serde(with = "optional_address")]
    #[schemars(with = "String")]
    pub http: Option<SocketAddr>,
    /// The protocols that are spoken at `unix` and `http`: any of `native`, `grpc`, `cloudevents`, `dapr`, `confluent-v2`. The
    /// paths of the others are 404. Default `["native", "grpc", "cloudevents"]`.
    pub apis: Apis,
    /// File that holds the bearer token which TCP clients must send; Kafka's clients send it as the password of SASL PLAIN. Required if
    /// `http` or `kafka` is not a loopback address.
    pub token_file: Option<PathBuf>,
    /// Address of the listener that speaks Kafka's own protocol to producers; off unless it is given, for instance as
    /// `127.0.0.1:9092`. If it is not a loopback address, `token_file` is required. Default: none.
    #[serde(with = "optional_address", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub kafka: Option<SocketAddr>,
    /// How many partitions each topic shows at `kafka`, 1 to 1 000. More than one let a client have several batches of a topic in the
    /// making; order then holds for each of them. Default 1.
    pub kafka_partitions: u16,
    /// Address of the admin listener. Default `127.0.0.1:8645`.
    pub admin: SocketAddr,
    /// File that holds the bearer token of the admin listener. If the listener is not on loopback and has no token,
    /// only `/live`, `/ready` and `/metrics` are served.
    pub admin_token_file: Option<PathBuf>,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            unix: None,
            allow_uids: None,
            http: Some(SocketAddr::from(([127, 0, 0, 1], 8644))),
            apis: Apis::default(),
            token_file: None,
            kafka: None,
            kafka_partitions: 1,
            admin: SocketAddr::from(([127, 0, 0, 1], 8645)),
            admin_token_file: None,
        }
    }
}

/// `[kafka]`: the brokers and the producer.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// `host:port,…`, or `embedded` for a broker inside this process that keeps nothing. Required.
    pub bootstrap_servers: Option<String>,
    /// Whether settings that would break the ordering guarantee are refused. Default `strict`.
    pub ordering: kafka_properties::Ordering,
    /// How old the knowledge of a topic's partitions may become, ms. Default 30 000.
    pub metadata_refresh_ms: u64,
    /// Whether `/ready` waits for Kafka. Default false: pods should not become unready because the cluster is down.
    pub ready_requires_kafka: bool,
    /// The most connections that records take to each broker, 1 to 16. More than one are opened only to brokers that are far,
    /// while partitions wait for each other. Default 8.
    pub broker_connections: usize,
    /// librdkafka's properties, or the Java producer's: a table, or the text of a `producer.properties`.
    pub properties: RawProperties,
    /// A `producer.properties` file to read; keys in `properties` win over it.
    pub properties_file: Option<PathBuf>,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            bootstrap_servers: None,
            ordering: kafka_properties::Ordering::Strict,
            metadata_refresh_ms: 30_000,
            ready_requires_kafka: false,
            broker_connections: 8,
            properties: RawProperties::default(),
            properties_file: None,
        }
    }
}

impl Kafka {
    /// Whether the broker is the one inside this process.
    pub fn is_embedded(&self) -> bool {
        self.bootstrap_servers.as_deref() == Some("embedded")
    }
}

/// `[plugins]`: where plugins come from and what each plugin may use.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Plugins {
    /// Folder of the `<name>.wasm` files. Default `plugins/dist`.
    pub dir: PathBuf,
    /// Memory of one instance, bytes: all its memories and tables, and what the engine holds for it. The same
    /// limit holds for loading compiled code. Default 32 MiB.
    pub memory_bytes: usize,
    /// CPU time of one call, ms. Default 5.
    pub call_cpu_ms: u64,
    /// Wall time of one call, ms. It is longer than the CPU time because the machine may be busy. Default 100.
    pub call_wall_ms: u64,
    /// Time of one `configure`, ms. Default 1 000.
    pub configure_ms: u64,
    /// Largest component file, bytes. Default 32 MiB.
    pub component_bytes: u64,
    /// Whether a link in `dir` may lead out of it to another file system or to another user's file. Default false.
    pub foreign_links: bool,
    /// How often the plugins' files and the configuration file are looked at, ms. Changes that the file system reports
    /// are seen at once. Default 2 000.
    pub poll_ms: u64,
    /// Folder for compiled code, with mode 0700 and owned by this user. Default: `pointsman` in `$XDG_CACHE_HOME` or
    /// `$HOME/.cache`; if neither can be used, compiled code is not kept.
    pub cache_dir: Option<PathBuf>,
    /// Memory that compiling one component may take, bytes of address space. Default 1 GiB.
    pub compile_memory_bytes: u64,
    /// CPU time that compiling one component may take, ms, in whole seconds. Default 30 000.
    pub compile_cpu_ms: u64,
    /// Failed calls within `trap_window_ms` that suspend a plugin. A failed call that costs more than 50 ms of CPU
    /// time, its new instance included, counts once more for each 50 ms. Default 20.
    pub max_traps: usize,
    /// The time in which failed calls are counted for `max_traps`, ms. Default 10 000.
    pub trap_window_ms: u64,
    /// How long a plugin is suspended at first, ms. Doubles as long as the plugin fails again. Default 1 000.
    pub suspend_ms: u64,
    /// How long a plugin is suspended at most, ms. Default 60 000.
    pub max_suspend_ms: u64,
}

impl Default for Plugins {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("plugins/dist"),
            memory_bytes: 32 << 20,
            call_cpu_ms: 5,
            call_wall_ms: 100,
            configure_ms: 1_000,
            component_bytes: 32 << 20,
            foreign_links: false,
            poll_ms: 2_000,
            cache_dir: None,
            compile_memory_bytes: 1 << 30,
            compile_cpu_ms: 30_000,
            max_traps: 20,
            trap_window_ms: 10_000,
            suspend_ms: 1_000,
            max_suspend_ms: 60_000,
        }
    }
}

/// `[shutdown]`: how the sidecar ends.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Shutdown {
    /// The longest time from the signal, or from the end of its grace, to the exit, ms. Default 25 000.
    pub drain_ms: u64,
    /// The grace: how long connections are still accepted after the signal, ms. For an application that gets the signal
    /// at the same time and still has records to send. Default 0.
    pub accept_grace_ms: u64,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            drain_ms: 25_000,
            accept_grace_ms: 0,
        }
    }
}

/// `[log]`: what is written to standard error.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `text` for people, `json` for collectors. Default `text`.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or `target=level` pairs after commas. Default `info`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
        }
    }
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object on each line.
    Json,
}

/// What the command line adds to the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--embedded`: the broker inside this process, whatever the file says.
    pub embedded: bool,
}

/// A checked configuration, with what was derived from it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration with its secrets: show it through [`Loaded::redacted`] only.
    pub config: Config,
    /// The producer's properties, under librdkafka's names.
    pub kafka: kafka_properties::Translated,
    /// The bearer token of the ingest TCP listener.
    pub token: Option<String>,
    /// The bearer token of the admin listener.
    pub admin_token: Option<String>,
}

impl Loaded {
    /// The configuration as `/config` shows it, without secrets.
    pub fn redacted(&self) -> serde_json::Value {
        redacted(serde_json::to_value(&self.config).unwrap_or_default())
    }
}

/// An address, or the empty string for none: TOML has no null.
mod optional_address {
    use std::net::SocketAddr;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(de: D) -> Result<Option<SocketAddr>, D::Error> {
        let text = String::deserialize(de)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| {
            D::Error::custom(format!(
                "invalid address \"{text}\", expected ip:port such as 127.0.0.1:8644, or \"\" for none"
            ))
        })
    }

    pub(super) fn serialize<S: Serializer>(address: &Option<SocketAddr>, ser: S) -> Result<S::Ok, S::Error> {
        address
            .map(|address| address.to_string())
            .unwrap_or_default()
            .serialize(ser)
    }
}
