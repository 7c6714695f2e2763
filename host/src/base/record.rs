//! A record on its way. It is plain data, and its bytes are shared with the request's body.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use bytes::Bytes;
use pointsman_schemas::{SchemaId, ValueSchema};

/// What an application wants to send.
#[derive(Debug, Clone)]
pub struct Record {
    /// The topic; checked by [`valid_topic`].
    pub topic: Arc<str>,
    /// None is Kafka's null key; empty is an empty key.
    pub key: Option<Bytes>,
    /// None is a tombstone.
    pub value: Option<Bytes>,
    /// In the given order; names may repeat.
    pub headers: Vec<Header>,
    /// An explicit partition, which wins over the plugin's decision.
    pub partition: Option<u32>,
    /// Milliseconds since 1970; none means that the producer's clock is used.
    pub timestamp: Option<i64>,
    /// The schema that the value was written by, if the route checks that. Two records with the same id here are equal.
    pub schema: Option<Arc<ValueSchema>>,
}

/// All that makes a record equal to another one.
type Compared<'r> = (
    (&'r str, Option<&'r Bytes>, Option<&'r Bytes>, &'r [Header]),
    (Option<u32>, Option<i64>, Option<SchemaId>),
);

impl Record {
    fn compared(&self) -> Compared<'_> {
        // Names all fields, so that a new one is not forgotten.
        let Self {
            topic,
            key,
            value,
            headers,
            partition,
            timestamp,
            schema,
        } = self;
        (
            (topic, key.as_ref(), value.as_ref(), headers),
            (*partition, *timestamp, schema.as_ref().map(|schema| schema.id())),
        )
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.compared() == other.compared()
    }
}

impl Eq for Record {}

impl Hash for Record {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.compared().hash(state);
    }
}

/// One header.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Header {
    /// UTF-8, as Kafka wants it.
    pub name: Box<str>,
    /// None is Kafka's null value.
    pub value: Option<Bytes>,
}

/// The most that a record takes beside its own bytes in Kafka's format. librdkafka uses this bound before it accepts a
/// record (`RD_KAFKAP_MESSAGE_V2_MAX_OVERHEAD`, rdkafka_proto.h).
const OVERHEAD: usize = 36;
/// The most that the length prefixes of one header take: two varints.
const HEADER_OVERHEAD: usize = 10;

/// The part of [`Record::wire_size`] of a header whose name and value have so many bytes.
pub const fn header_wire_size(name: usize, value: usize) -> usize {
    HEADER_OVERHEAD + name + value
}

impl Header {
    /// Its part of [`Record::wire_size`].
    pub fn wire_size(&self) -> usize {
        header_wire_size(self.name.len(), self.value.as_ref().map_or(0, Bytes::len))
    }
}

/// A batch's own header, in Kafka's format (`RecordBatch`, magic 2).
pub const BATCH_HEADER: usize = 61;

impl Record {
    /// The size that `message.max.bytes` bounds, bytes.
    pub fn wire_size(&self) -> usize {
        let headers: usize = self.headers.iter().map(Header::wire_size).sum();
        OVERHEAD + self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len) + headers
    }

    /// The size of a batch of this record alone, before compression, bytes. A topic's `max.message.bytes` bounds it.
    pub fn batch_size(&self) -> usize {
        let part = |bytes: Option<&Bytes>| bytes.map_or(1, |bytes| varint(bytes.len()) + bytes.len());
        let headers: usize = self
            .headers
            .iter()
            .map(|header| varint(header.name.len()) + header.name.len() + part(header.value.as_ref()))
            .sum();
        // The attributes, and the differences of time and offset to the first record of the batch, which is this
        // record.
        let fields = 3 + part(self.key.as_ref()) + part(self.value.as_ref()) + varint(self.headers.len()) + headers;
        BATCH_HEADER + varint(fields) + fields
    }
}

/// How many bytes Kafka takes for a length: a zigzag varint.
fn varint(length: usize) -> usize {
    let bits = usize::BITS - (length << 1).leading_zeros();
    bits.div_ceil(7).max(1) as usize
}

/// What the client library allocates for a header beside its bytes: an item in a list, and a description.
pub const HEADER_MEMORY: usize = 64;

impl Record {
    /// What the record takes in the producer's queue beyond what every record takes, bytes.
    pub fn queue_bytes(&self) -> usize {
        self.wire_size() + self.headers.len() * HEADER_MEMORY
    }
}

/// Checks Kafka's own rule (`org.apache.kafka.common.internals.Topic`): 1 to 249 of `[a-zA-Z0-9._-]`, and neither `.`
/// nor `..`. The error says what is wrong.
pub fn valid_topic(name: &str) -> Result<(), String> {
    let shown: String = name.chars().take(64).collect();
    if name.is_empty() || name.len() > 249 {
        return Err(format!("topic \"{shown}\" has {} bytes, expected 1 to 249", name.len()));
    }
    if name == "." || name == ".." {
        return Err(format!("topic \"{name}\" is a name that Kafka forbids"));
    }
    match name
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-'))
    {
        Some(c) => Err(format!(
            "topic \"{shown}\" has the character {c:?}, expected letters, digits, '.', '_' and '-'"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_takes_as_many_bytes_as_kafka_writes() {
        for (length, bytes) in [
            (0, 1),
            (63, 1),
            (64, 2),
            (8_191, 2),
            (8_192, 3),
            (1_048_575, 3),
            (1_048_576, 4),
        ] {
            assert_eq!(varint(length), bytes, "{length}");
        }
    }

    #[test]
    fn a_path_is_never_taken_for_a_topic() {
        for name in ["", ".", "..", "../etc", "a/b", "a b", "ä", "a\0", &"x".repeat(250)] {
            assert!(valid_topic(name).is_err(), "{name:?}");
        }
        for name in ["a", "orders", "billing.eu_1-x", "...", &"x".repeat(249)] {
            assert!(valid_topic(name).is_ok(), "{name:?}");
        }
    }
}
