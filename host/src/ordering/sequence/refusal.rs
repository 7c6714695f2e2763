//! Why a numbered request is not taken.

/// Why a numbered request is refused. Nothing of it was taken, and nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another sequence comes next, and nothing is known of this one.
    #[error("sequence {sequence} is not the next one; send {expected} first")]
    Gap {
        /// The request's sequence.
        sequence: u64,
        /// The sequence that would be taken.
        expected: u64,
        /// The epoch of both sequences.
        epoch: u64,
    },
    /// The request was taken before, and too many others were taken after it.
    #[error(
        "sequence {sequence} was taken and its outcomes are no longer remembered (limits.client_window, \
         client_memory_bytes); do not send it again, the next one is {expected}"
    )]
    Forgotten {
        /// The request's sequence.
        sequence: u64,
        /// The sequence that would be taken.
        expected: u64,
        /// The epoch of both sequences.
        epoch: u64,
    },
    /// A record of an earlier request is failed or unknown.
    #[error(
        "sequence {expected} has records that are failed or unknown; send it again before {sequence}, or begin a new epoch"
    )]
    Blocked {
        /// The request's sequence.
        sequence: u64,
        /// The sequence that has to be sent again.
        expected: u64,
        /// The epoch of both sequences.
        epoch: u64,
    },
    /// The client has begun a later epoch.
    #[error("epoch {given} is over, the client's is {epoch}; a client that still sends with {given} has been replaced")]
    StaleEpoch {
        /// The request's epoch.
        given: u64,
        /// The client's current epoch.
        epoch: u64,
        /// The sequence that would be taken in that epoch.
        expected: u64,
    },
    /// A repeat has other records or another span than the request that it repeats, or begins in the middle of it.
    #[error("sequence {sequence} was taken with other records; a repeat must have the same ones in the same order")]
    Mismatch {
        /// The request's sequence.
        sequence: u64,
        /// The sequence that would be taken.
        expected: u64,
        /// The epoch of both sequences.
        epoch: u64,
    },
    /// Nothing is known of the client.
    #[error(
        "this process knows nothing of the client, so it cannot tell whether {sequence} comes next; send the oldest request \
         that has no answer again, alone, with Pointsman-Resume: 1"
    )]
    Resync {
        /// The request's sequence.
        sequence: u64,
    },
    /// Every client that could be forgotten has something under way.
    #[error(
        "all clients that could be forgotten for a new one (limits.max_clients, shared evenly between the users that send) \
             have requests under way; retry later, or raise that"
    )]
    TooManyClients,
    /// Everything that could be forgotten is under way.
    #[error(
        "limits.client_memory_bytes, or this user's even share of it, is full of requests that are under way; retry later, or \
             raise that"
    )]
    NoMemory,
    /// The request's outcomes alone are more than a client may have remembered.
    #[error(
        "the outcomes of {records} records do not fit into a client's share of limits.client_memory_bytes; send them in parts, \
         or raise that"
    )]
    TooLarge {
        /// How many records the request has.
        records: usize,
    },
}

impl Refusal {
    /// The code in replies and in the metrics' label. Clients may match on it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Gap { .. } | Self::Forgotten { .. } => "sequence_conflict",
            Self::Blocked { .. } => "sequence_blocked",
            Self::StaleEpoch { .. } => "stale_epoch",
            Self::Mismatch { .. } => "sequence_mismatch",
            Self::Resync { .. } => "resync",
            Self::TooManyClients | Self::NoMemory => "busy",
            Self::TooLarge { .. } => "too_many_records",
        }
    }

    /// Whether the request's number is the reason, and not a lack of room.
    pub const fn is_conflict(&self) -> bool {
        !matches!(self, Self::TooManyClients | Self::NoMemory | Self::TooLarge { .. })
    }

    /// The sequence that would be taken, and its epoch, where that is known.
    pub const fn expected(&self) -> Option<(u64, u64)> {
        match *self {
            Self::Gap { expected, epoch, .. }
            | Self::Forgotten { expected, epoch, .. }
            | Self::Blocked { expected, epoch, .. }
            | Self::StaleEpoch { expected, epoch, .. }
            | Self::Mismatch { expected, epoch, .. } => Some((expected, epoch)),
            Self::Resync { .. } | Self::TooManyClients | Self::NoMemory | Self::TooLarge { .. } => None,
        }
    }
}
