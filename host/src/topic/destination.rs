//! Where a record goes, and what it needs there.

/// Where a record goes, and the room that it has in the producer's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// Of the request's topics.
    pub topic: u32,
    /// Of the topic, as the request saw it.
    pub partition: u32,
    /// As `message.max.bytes` counts them.
    pub bytes: u32,
    /// What it takes in the producer's queue.
    pub held: u32,
    /// Whether the record has a key.
    pub keyed: bool,
    /// The record's own, ms since 1970.
    pub timestamp: Option<i64>,
}
