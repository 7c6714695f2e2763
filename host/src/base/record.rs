//! A record on its way: plain data, its bytes shared with the request's body.

use std::sync::Arc;

use bytes::Bytes;

/// What an application asked to have sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// Where to; checked by [`valid_topic`].
    pub topic: Arc<str>,
    /// None is Kafka's null key; empty is an empty key.
    pub key: Option<Bytes>,
    /// None is a tombstone.
    pub value: Option<Bytes>,
    /// In the order given; names may repeat.
    pub headers: Vec<Header>,
    /// Wins over the plugin.
    pub partition: Option<u32>,
    /// Milliseconds since 1970; none: the producer's clock.
    pub timestamp: Option<i64>,
}

/// One header.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Header {
    /// UTF-8, as Kafka wants it.
    pub name: Box<str>,
    /// None is Kafka's null value.
    pub value: Option<Bytes>,
}

/// What a record takes beside its own bytes, at most, in Kafka's format: the bound that librdkafka uses before it
/// accepts a record (`RD_KAFKAP_MESSAGE_V2_MAX_OVERHEAD`, rdkafka_proto.h).
const OVERHEAD: usize = 36;
/// Length prefixes of one header, at most: two varints.
const HEADER_OVERHEAD: usize = 10;

/// A batch's own header, in Kafka's format (`RecordBatch`, magic 2).
pub const BATCH_HEADER: usize = 61;

impl Record {
    /// The size that `message.max.bytes` is held against, bytes.
    pub fn wire_size(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|header| HEADER_OVERHEAD + header.name.len() + header.value.as_ref().map_or(0, Bytes::len))
            .sum();
        OVERHEAD + self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len) + headers
    }

    /// The size of a batch of this record alone, before compression: what a topic's `max.message.bytes` is held against, bytes.
    pub fn batch_size(&self) -> usize {
        let part = |bytes: Option<&Bytes>| bytes.map_or(1, |bytes| varint(bytes.len()) + bytes.len());
        let headers: usize = self
            .headers
            .iter()
            .map(|header| varint(header.name.len()) + header.name.len() + part(header.value.as_ref()))
            .sum();
        // Attributes, and the differences of time and offset to the batch's first record, which it is.
        let fields = 3 + part(self.key.as_ref()) + part(self.value.as_ref()) + varint(self.headers.len()) + headers;
        BATCH_HEADER + varint(fields) + fields
    }
}

/// Bytes of a length as Kafka writes it: a zigzag varint.
fn varint(length: usize) -> usize {
    let bits = usize::BITS - (length << 1).leading_zeros();
    bits.div_ceil(7).max(1) as usize
}

/// What the client library allocates for a header beside its bytes: an item of its list, and what describes it.
const HEADER_MEMORY: usize = 64;

impl Record {
    /// What it takes in the producer's queue beside what every record takes, bytes.
    pub fn queue_bytes(&self) -> usize {
        self.wire_size() + self.headers.len() * HEADER_MEMORY
    }
}

/// Kafka's own rule (`org.apache.kafka.common.internals.Topic`): 1 to 249 of `[a-zA-Z0-9._-]`, and neither `.` nor `..`.
/// The text says what is wrong.
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
