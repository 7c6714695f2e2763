//! What there is, and what is asked for.

use super::partition_quota::PartitionLoad;

/// A body up to this size is small: it has room that large ones cannot take.
pub const SMALL: usize = 64 << 10;
/// Places in the producer's queue that are kept for requests of few records.
pub(super) const SPARE_RECORDS: usize = 2_000;

/// What there is in all.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) bytes: usize,
    /// Of `bytes`, for all that is held when a large body asks for more, or one that is whole for much.
    pub(super) growing: usize,
    pub(super) much: usize,
    /// Of `bytes`, for what is being read, and what small bodies may have beyond that.
    pub(super) reading: usize,
    pub(super) small: usize,
    pub(super) records: usize,
    /// Beyond `records`, for requests of few.
    pub(super) spare_records: usize,
    /// Of `bytes`, for those who wait for a partition.
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

/// What bytes are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// A body being read, or a line; small or not.
    Body { small: bool },
    /// What is made of a whole one; little or much.
    Whole { little: bool },
    /// Records in the producer's queue.
    Queue,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Wants {
    pub(super) what: For,
    pub(super) bytes: usize,
    /// Of `bytes`, what the asker holds already, and gives back for it.
    pub(super) held: usize,
    pub(super) records: usize,
    pub(super) loads: Vec<PartitionLoad>,
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
        }
    }

    pub(super) fn queue(loads: Vec<PartitionLoad>, held: usize) -> Self {
        Self {
            what: For::Queue,
            bytes: loads.iter().map(|load| load.bytes).sum(),
            held,
            records: loads.iter().map(|load| load.records).sum(),
            loads,
        }
    }

    pub(super) fn into_loads(self) -> Vec<PartitionLoad> {
        self.loads
    }

    pub(super) fn reads(&self) -> bool {
        matches!(self.what, For::Body { .. })
    }
}
