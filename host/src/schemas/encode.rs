//! Makes of JSON what a schema says.

use std::sync::Arc;

use bytes::Bytes;
use pointsman_schemas::{
    Invalid, Writer,
    framing::{self, SchemaId},
    registry::{LookUp, Registry, Version, Wanted},
};

use super::{
    auto_register::AutoRegister,
    error,
    parts::{Encoded, Side, WrittenBy},
    subject::{self, format_of},
};
use crate::{
    base::{
        outcome::RecordError,
        record::{Header, Record},
    },
    config::{IdPlace, PartSchema, SchemaVersion},
};

/// Encodes the keys or values of a topic.
pub(super) struct Encode {
    side: Side,
    place: IdPlace,
    by: Result<By, RecordError>,
}

/// What the bytes are written by.
struct By {
    writer: Writer,
    /// What stands before the bytes, or in the header: the id, and for Protobuf which message it is.
    head: Bytes,
    written: Arc<WrittenBy>,
}

impl Encode {
    pub(super) async fn new(
        registry: Result<&Registry, LookUp>,
        auto_register: &AutoRegister,
        topic: &str,
        side: Side,
        config: &PartSchema,
    ) -> Self {
        let version = match registry {
            Ok(registry) => version(registry, auto_register, topic, side, config).await,
            Err(error) => Err(error),
        };
        let by = match version {
            Ok(version) => By::new(&version, config).map_err(LookUp::Bad),
            Err(error) => Err(error),
        };
        Self {
            side,
            place: config.id,
            by: by.map_err(|error| error::of_look_up(error, topic, side)),
        }
    }

    pub(super) fn apply(&self, record: &Record, encoded: &mut Encoded) -> Result<Option<Arc<WrittenBy>>, RecordError> {
        // A tombstone stays one, and so does an absent key: neither has anything that a schema could describe.
        let Some(json) = self.side.of(record) else {
            return Ok(None);
        };
        let by = self.by.as_ref().map_err(RecordError::clone)?;
        let mut bytes = Vec::new();
        match self.place {
            IdPlace::Prefix => {
                bytes.reserve(by.head.len() + json.len());
                bytes.extend_from_slice(&by.head);
            }
            IdPlace::Header => encoded.headers.push(Header {
                name: self.side.header().into(),
                value: Some(by.head.clone()),
            }),
        }
        let written = match self.side {
            Side::Value => by.writer.encode(json, &mut bytes),
            Side::Key => by.key(json, &mut bytes),
        };
        written.map_err(|invalid| error::of_invalid(&invalid, self.side))?;
        let part = match self.side {
            Side::Key => &mut encoded.key,
            Side::Value => &mut encoded.value,
        };
        *part = Some(bytes.into());
        Ok(Some(Arc::clone(&by.written)))
    }
}

/// The version that a topic's keys or values are written by.
async fn version(
    registry: &Registry,
    auto_register: &AutoRegister,
    topic: &str,
    side: Side,
    config: &PartSchema,
) -> Result<Arc<Version>, LookUp> {
    let subject = subject::name(config.subject, topic, side, config.record.as_deref())
        .map_err(|subject::NoName| LookUp::Bad("its route names no `record`".to_owned()))?;
    let version = match (&config.schema_file, config.version) {
        (Some(file), _) if config.auto_register => {
            let format = format_of(config.format);
            auto_register.version(registry, &subject, format, file).await
        }
        (_, SchemaVersion::Latest) => registry.version(&subject, Wanted::Latest).await,
        (_, SchemaVersion::Number(number)) => registry.version(&subject, Wanted::Number(number)).await,
    }?;
    let format = version.schema.format;
    if config.format.is_some() && format != format_of(config.format) {
        let wanted = format_of(config.format);
        return Err(LookUp::Bad(format!(
            "subject \"{subject}\" has one in {format}, the route says {wanted}; correct `format`, or register one in {wanted}"
        )));
    }
    Ok(version)
}

impl By {
    /// The error says why nothing can be written by this version.
    fn new(version: &Version, config: &PartSchema) -> Result<Self, String> {
        let writer =
            Writer::new(Arc::clone(&version.schema), config.record.as_deref()).map_err(|bad| bad.to_string())?;
        let number = SchemaId::Number(version.id);
        let id = match config.id {
            IdPlace::Prefix => number,
            IdPlace::Header => version.schema.guid.unwrap_or(number),
        };
        // The prefix is the same bytes.
        let mut head = framing::header_value(id);
        head.extend_from_slice(writer.index());
        Ok(Self {
            writer,
            head: head.into(),
            written: Arc::new(WrittenBy {
                subject: Arc::from(version.subject.as_str()),
                version: Some(version.version),
                id,
            }),
        })
    }

    /// Encodes a key, which need not be JSON: most keys are plain text. What is no JSON, or JSON of another kind than the schema wants, is
    /// taken as a string.
    fn key(&self, key: &[u8], bytes: &mut Vec<u8>) -> Result<(), Invalid> {
        let Err(invalid) = self.writer.encode(key, bytes) else {
            return Ok(());
        };
        let text = std::str::from_utf8(key).map_err(|_| invalid.clone())?;
        let quoted = serde_json::to_vec(text).map_err(|_| invalid.clone())?;
        self.writer.encode(&quoted, bytes).map_err(|_| invalid)
    }
}
