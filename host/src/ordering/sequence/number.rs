//! What a numbered request says of itself, and who says it.

use std::sync::Arc;

/// Whose clients they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A user of the machine, by its id as the kernel tells it of who connects to the Unix socket.
    User(u32),
    /// Whoever may connect over TCP: nothing tells them apart.
    Tcp,
}

impl Owner {
    /// Whether it came over TCP, and not over the Unix socket.
    pub const fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp)
    }
}

/// What a client is remembered by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    /// Whose it is.
    pub owner: Owner,
    /// `Pointsman-Client`.
    pub client: Arc<str>,
}

impl Name {
    /// This owner's client of this name.
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
    /// Who numbers.
    pub name: Name,
    /// `Pointsman-Epoch`.
    pub epoch: u64,
    /// `Pointsman-Sequence`, from 1.
    pub sequence: u64,
    /// `Pointsman-Resume: 1`.
    pub resume: bool,
}

/// What a repeat must have in common with the request that it repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// How many records.
    pub records: usize,
    /// A hash over all of them.
    pub digest: u64,
}
