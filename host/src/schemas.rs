//! What routes say of schemas, applied to records: a key or a value that is encoded already has to name a schema that its subject has,
//! and JSON becomes Avro, Protobuf, or JSON that a schema allows.
//!
//! A request asks for all that it needs before its first record is decided ([`Schemas::of_topic`]): that may wait for the registry. What
//! follows ([`TopicSchemas::apply`]) looks at one record and waits for nothing. Schemas that were seen are kept, so a registry that is
//! away holds up only what is new.

mod auto_register;
mod check;
mod encode;
mod error;
mod parts;
mod settings;
mod subject;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use pointsman_schemas::registry::{LookUp, Registry};
use serde_json::{Value, json};

use self::{auto_register::AutoRegister, check::Check, encode::Encode};
use crate::{
    base::{
        metrics::SchemaMetrics,
        outcome::RecordError,
        record::{Header, Record},
    },
    config::{self, PartSchema, SchemaMode},
};

pub use self::{
    auto_register::Incompatible,
    parts::{Applied, Encoded, Side, WrittenBy},
    settings::registry_of,
};

/// The schemas that records are checked and encoded by. Built once.
#[derive(Default)]
pub struct Schemas {
    registry: Option<Registry>,
    auto_register: AutoRegister,
}

/// The schemas of one topic, ready for the records of one request.
#[derive(Default)]
pub struct TopicSchemas {
    key: Option<Part>,
    value: Option<Part>,
}

enum Part {
    Check(Check),
    Encode(Encode),
    /// A header that names what the bytes hold.
    Name(Header),
}

impl Schemas {
    /// Schemas of this registry.
    pub fn new(registry: Registry) -> Self {
        Self {
            auto_register: AutoRegister::default(),
            registry: Some(registry),
        }
    }

    /// Registers the schemas of all routes that name their topics without globs, so that one which readers could not follow is found
    /// before the first record. A registry that is away is asked again by the first record.
    pub async fn register(&self, routes: &[config::Route]) -> Result<(), Incompatible> {
        for route in routes {
            let topics = route
                .topics
                .iter()
                .filter(|topic| !topic.contains(['*', '?', '[', '{']));
            for topic in topics {
                for (side, part) in [(Side::Key, &route.key), (Side::Value, &route.value)] {
                    if let Some(part) = part {
                        self.register_part(topic, side, part).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn register_part(&self, topic: &str, side: Side, part: &config::PartSchema) -> Result<(), Incompatible> {
        let (Some(file), true) = (&part.schema_file, part.auto_register) else {
            return Ok(());
        };
        // The configuration was checked: what is named by its record has a name.
        let Ok(subject) = subject::name(part.subject, topic, side, part.record.as_deref()) else {
            return Ok(());
        };
        let format = subject::format_of(part.format);
        let registered = match self.registry() {
            Ok(registry) => self.auto_register.version(registry, &subject, format, file).await,
            Err(error) => Err(error),
        };
        match registered {
            Err(LookUp::Incompatible(told)) => Err(Incompatible::new(file, subject, told)),
            Err(error) => {
                tracing::warn!(subject, %error, "the schema of a route is not registered yet; its records ask for it again");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    /// The registry.
    fn registry(&self) -> Result<&Registry, LookUp> {
        self.registry.as_ref().ok_or_else(|| {
            LookUp::Unavailable(
                "[schema_registry] is new in the configuration, and takes effect with a restart".to_owned(),
            )
        })
    }

    /// What `/ready` shows of the registry, if there is one.
    pub fn shown(&self) -> Option<Value> {
        let registry = self.registry.as_ref()?;
        Some(json!({
            "known": registry.schemas(),
            "seconds_since_answer": seconds_since_answer(registry),
            "errors": registry.counts().errors.load(Ordering::Relaxed),
            "problem": registry.problem().map(|problem| problem.to_string()),
        }))
    }

    /// Sets the registry's metrics.
    pub fn gauge(&self, metrics: &SchemaMetrics) {
        let Some(registry) = &self.registry else { return };
        let counts = registry.counts();
        let now = |count: &AtomicU64| count.load(Ordering::Relaxed);
        metrics.look_ups(&[
            ("hit", now(&counts.hits)),
            ("miss", now(&counts.misses)),
            ("error", now(&counts.errors)),
        ]);
        metrics.known.set(registry.schemas() as i64);
        if let Some(seconds) = seconds_since_answer(registry) {
            metrics.age_seconds.set(seconds.cast_signed());
        }
    }

    /// Gets what these records of a topic need, if its route has schemas. Waits for the registry for as long as it may take to answer.
    pub async fn of_topic(&self, topic: &str, route: &config::Route, records: &[&Record]) -> TopicSchemas {
        TopicSchemas {
            key: self.part(topic, Side::Key, route.key.as_ref(), records).await,
            value: self.part(topic, Side::Value, route.value.as_ref(), records).await,
        }
    }

    async fn part(&self, topic: &str, side: Side, config: Option<&PartSchema>, records: &[&Record]) -> Option<Part> {
        let config = config?;
        Some(match config.mode {
            SchemaMode::Check => Part::Check(Check::new(self.registry(), topic, side, config, records).await),
            SchemaMode::Encode => {
                Part::Encode(Encode::new(self.registry(), &self.auto_register, topic, side, config).await)
            }
            SchemaMode::Name => Part::Name(type_header(config)),
        })
    }
}

/// Since the registry last answered; `None` if it never did.
fn seconds_since_answer(registry: &Registry) -> Option<u64> {
    let last = registry.counts().last_success_ms.load(Ordering::Relaxed);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    (last > 0).then(|| u64::try_from(now).unwrap_or(u64::MAX).saturating_sub(last) / 1_000)
}

/// The header that names what a record's bytes hold. The configuration was checked: both are there.
fn type_header(config: &PartSchema) -> Header {
    Header {
        name: config.type_header.as_deref().unwrap_or_default().into(),
        value: config.record.clone().map(Bytes::from),
    }
}

impl TopicSchemas {
    /// Checks or encodes a record. What cannot pass is refused.
    pub fn apply(&self, record: &mut Record) -> Result<Applied, RecordError> {
        let mut encoded = Encoded::default();
        if let Some(key) = &self.key {
            key.apply(record, &mut encoded)?;
        }
        let written = match &self.value {
            Some(value) => value.apply(record, &mut encoded)?,
            None => None,
        };
        let is_same = encoded.key.is_none() && encoded.value.is_none() && encoded.headers.is_empty();
        Ok(match is_same {
            true => Applied {
                written,
                ..Applied::default()
            },
            false => Applied {
                bytes: encoded.bytes(),
                encoded: Some(Box::new(encoded)),
                written,
            },
        })
    }
}

impl Part {
    fn apply(&self, record: &mut Record, encoded: &mut Encoded) -> Result<Option<Arc<WrittenBy>>, RecordError> {
        match self {
            Self::Check(check) => check.apply(record),
            Self::Encode(encode) => encode.apply(record, encoded),
            Self::Name(header) => {
                encoded.headers.push(header.clone());
                Ok(None)
            }
        }
    }
}
