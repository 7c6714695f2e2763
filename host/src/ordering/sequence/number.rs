//! The number of a request, and the client that gives it.

use std::sync::Arc;

/// Who a client belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A user of the machine, by the id that the kernel gives for the other end of the Unix socket.
    User(u32),
    /// Everybody who sends HTTP over TCP: nothing tells them apart.
    Tcp,
    /// Everybody who connects to the Kafka listener, which is over TCP: nothing tells them apart.
    Kafka,
}

impl Owner {
    /// Whether the client came over TCP, and not over the Unix socket.
    pub const fn is_tcp(self) -> bool {
        match self {
            Self::User(_) => false,
            Self::Tcp | Self::Kafka => true,
        }
    }
}

/// The name under which a client is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    /// Who the client belongs to.
    pub owner: Owner,
    /// `Pointsman-Client`.
    pub client: Arc<str>,
}

impl Name {
    /// The name of this owner's client.
    pub fn new(owner: Owner, client: impl Into<Arc<str>>) -> Self {
        Self {
            owner,
            client: client.into(),
        }
    }
}

/// The number of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// The client that numbers its requests.
    pub name: Name,
    /// `Pointsman-Epoch`.
    pub epoch: u64,
    /// `Pointsman-Sequence`, from 1: the first sequence that the request takes.
    pub sequence: u64,
    /// How many sequences the request takes, at least 1. Over HTTP always 1: there a sequence counts requests.
    pub span: u64,
    /// `Pointsman-Resume: 1`.
    pub resume: bool,
}

impl Number {
    /// The sequence of the request that comes next.
    pub fn next_sequence(&self) -> u64 {
        self.sequence.saturating_add(self.span.max(1))
    }
}

/// What a repeat must have in common with the request that it repeats, besides its [`Number::span`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// How many records there are.
    pub records: usize,
    /// A hash over all records.
    pub digest: u64,
}
