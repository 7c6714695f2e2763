//! Where a record goes, and what of the record matters there.

/// The topic and partition of a record, and its properties that decide whether the topic takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// Index of the topic among those of the request.
    pub topic: u32,
    /// The partition's number.
    pub partition: u32,
    /// The record's size as `message.max.bytes` counts it.
    pub bytes: u32,
    /// The bytes that the record takes in the producer's queue.
    pub held: u32,
    /// Whether the record has a key.
    pub keyed: bool,
    /// The record's own time, ms since 1970, if it has one.
    pub timestamp: Option<i64>,
}
