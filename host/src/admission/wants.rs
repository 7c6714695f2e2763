//! How much room there is, and how much a request asks for.

use super::partition_quota::PartitionLoad;

/// A body up to this size is small: it has some room that large bodies cannot take.
pub const SMALL: usize = 64 << 10;
/// How many records of the producer's queue are reserved for requests of few records.
pub(super) const SPARE_RECORDS: usize = 2_000;

/// The limits. See the table in the documentation of [`admission`](super).
#[derive(Debug)]
pub(super) struct Bounds {
    /// All bytes.
    pub(super) bytes: usize,
    /// All bytes, when a large body needs more.
    pub(super) growing: usize,
    /// All bytes, when a complete request needs much more.
    pub(super) much: usize,
    /// Bytes of bodies that are being read.
    pub(super) reading: usize,
    /// Bytes that small bodies may have on top of `reading`.
    pub(super) small: usize,
    /// Records of the producer's queue.
    pub(super) records: usize,
    /// Records that requests of few records may have on top of `records`.
    pub(super) spare_records: usize,
    /// Bytes that requests hold while they wait for a partition.
    pub(super) waiting: usize,
}

impl Bounds {
    pub(super) fn of(bytes: usize, records: usize) -> Self {
        Self {
            bytes,
            growing: bytes - bytes / 8,
            much: bytes - bytes / 16,
            reading: bytes / 2,
            small: bytes / 8,
            records: records - SPARE_RECORDS,
            spare_records: SPARE_RECORDS,
            waiting: bytes / 4,
        }
    }
}

/// What the bytes are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// A body or a line of a stream that is being read.
    Body { small: bool },
    /// What a complete body becomes: parsed records, slots, the reply.
    Whole { little: bool },
    /// Records in the producer's queue.
    Queue,
}

/// What a request asks for.
#[derive(Debug, Clone)]
pub(super) struct Wants {
    pub(super) what: For,
    pub(super) bytes: usize,
    /// Bytes that the request already has and gives back in exchange.
    pub(super) held: usize,
    /// Number of records.
    pub(super) records: usize,
    /// What each partition gets.
    pub(super) loads: Vec<PartitionLoad>,
    /// The table of tenants that the partitions come from.
    pub(super) by_table: ByTable,
}

/// By which table the tenants of a request were resolved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ByTable {
    /// The table's version; `None` if the request has no tenants, or there are no tables.
    pub version: Option<u64>,
    /// Whether one of the request's records is in a slot that moves, so that the request has to wait for another table.
    pub held: bool,
}

impl Wants {
    pub(super) fn body(bytes: usize, small: bool) -> Self {
        Self::plain(For::Body { small }, bytes)
    }

    pub(super) fn whole(bytes: usize, little: bool) -> Self {
        Self::plain(For::Whole { little }, bytes)
    }

    fn plain(what: For, bytes: usize) -> Self {
        Self {
            what,
            bytes,
            held: 0,
            records: 0,
            loads: Vec::new(),
            by_table: ByTable::default(),
        }
    }

    pub(super) fn queue(loads: Vec<PartitionLoad>, held: usize, by_table: ByTable) -> Self {
        Self {
            what: For::Queue,
            bytes: loads.iter().map(|load| load.bytes).sum(),
            held,
            records: loads.iter().map(|load| load.records).sum(),
            loads,
            by_table,
        }
    }

    pub(super) fn into_loads(self) -> Vec<PartitionLoad> {
        self.loads
    }

    pub(super) fn reads(&self) -> bool {
        matches!(self.what, For::Body { .. })
    }
}
