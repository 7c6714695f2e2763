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
use pointsman_schemas::{
    framing::SchemaId,
    registry::{LookUp, Registry},
};
use serde_json::{Value, json};

use self::{auto_register::AutoRegister, check::Check, encode::Encode};
use crate::{
    base::{
        metrics::SchemaMetrics,
        outcome::RecordError,
        record::{HEADER_MEMORY, Header, Record},
    },
    config::{self, PartSchema, SchemaMode},
};

pub use self::{auto_register::Incompatible, settings::registry_of};

/// The schemas that records are checked and encoded by. Built once.
#[derive(Default)]
pub struct Schemas {
    registry: Option<Registry>,
    auto_register: AutoRegister,
}

/// Key or value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The record's key.
    Key,
    /// The record's value.
    Value,
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

/// What a record's value was written by, for a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenBy {
    /// The subject in the registry.
    pub subject: Arc<str>,
    /// The subject's version; none where only the id was looked at.
    pub version: Option<u32>,
    /// The schema's id.
    pub id: SchemaId,
}

/// What a record becomes once it is decided. Until then plugins see what the application sent.
#[derive(Debug, Default)]
pub struct Encoded {
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<Header>,
}

/// What was found of one record.
#[derive(Debug, Default)]
pub struct Applied {
    /// Its new bytes, if they have to be others.
    pub encoded: Option<Box<Encoded>>,
    /// What its value was written by.
    pub written: Option<Arc<WrittenBy>>,
    /// The memory of its new bytes.
    pub bytes: usize,
}

/// The bounds of what is made of records.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// The largest record, bytes.
    pub record_bytes: usize,
}

impl Schemas {
    /// Schemas of this registry.
    pub fn new(registry: Registry) -> Self {
        Self {
            auto_register: AutoRegister::default(),
            registry: Some(registry),
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
            SchemaMode::Check => Part::Check(Check::new(self, topic, side, config, records).await),
            SchemaMode::Encode => Part::Encode(Encode::new(self, topic, side, config).await),
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

impl Side {
    /// The side's bytes.
    fn of(self, record: &Record) -> Option<&Bytes> {
        match self {
            Self::Key => record.key.as_ref(),
            Self::Value => record.value.as_ref(),
        }
    }

    /// Its name in messages.
    const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
        }
    }

    /// The header that holds a schema's id, as Confluent's `HeaderSchemaIdSerializer` names it.
    const fn header(self) -> &'static str {
        match self {
            Self::Key => "__key_schema_id",
            Self::Value => "__value_schema_id",
        }
    }
}

impl TopicSchemas {
    /// Checks or encodes a record. What cannot pass is refused.
    pub fn apply(&self, record: &mut Record, most: Most) -> Result<Applied, RecordError> {
        let mut encoded = Encoded::default();
        if let Some(key) = &self.key {
            key.apply(record, most, &mut encoded)?;
        }
        let written = match &self.value {
            Some(value) => value.apply(record, most, &mut encoded)?,
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
    fn apply(
        &self,
        record: &mut Record,
        most: Most,
        encoded: &mut Encoded,
    ) -> Result<Option<Arc<WrittenBy>>, RecordError> {
        match self {
            Self::Check(check) => check.apply(record),
            Self::Encode(encode) => encode.apply(record, most, encoded),
            Self::Name(header) => {
                encoded.headers.push(header.clone());
                Ok(None)
            }
        }
    }
}

impl Applied {
    /// The record's size on the wire and in the producer's queue, with its new bytes.
    pub fn sizes(&self, record: &Record) -> (usize, usize) {
        let (wire, queue) = (record.wire_size(), record.queue_bytes());
        let Some(encoded) = &self.encoded else {
            return (wire, queue);
        };
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let mut sizes = [wire, queue + encoded.headers.len() * HEADER_MEMORY];
        for size in &mut sizes {
            *size += encoded.headers.iter().map(Header::wire_size).sum::<usize>();
            for (new, old) in [(&encoded.key, &record.key), (&encoded.value, &record.value)] {
                if new.is_some() {
                    *size = *size - length(old) + length(new);
                }
            }
        }
        (sizes[0], sizes[1])
    }

    /// Puts the new bytes into the record.
    pub fn put(&mut self, record: &mut Record) {
        if let Some(encoded) = self.encoded.take() {
            record.key = encoded.key.or(record.key.take());
            record.value = encoded.value.or(record.value.take());
            record.headers.extend(encoded.headers);
        }
    }
}

impl Encoded {
    /// The memory that it takes, bytes.
    fn bytes(&self) -> usize {
        let part = |new: &Option<Bytes>| new.as_ref().map_or(0, Bytes::len);
        size_of::<Self>() + part(&self.key) + part(&self.value) + self.headers.capacity() * size_of::<Header>()
    }
}
