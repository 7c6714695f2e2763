//! The events of the model: what can happen to numbered requests.

use std::sync::Arc;

use super::super::{Content, Name, Number, Owner, Settled, Stored};
use crate::base::outcome::{Ack, Code, Kind, Outcome, RecordError};

/// The clients that send: some share a name and differ in their owner, some share an owner.
pub(crate) const CLIENTS: [(Owner, &str); 5] = [
    (Owner::User(1), "a"),
    (Owner::User(1), "b"),
    (Owner::User(2), "a"),
    (Owner::Tcp, "a"),
    (Owner::Kafka, "a"),
];

/// The name of one of [`CLIENTS`].
pub(crate) fn name(client: usize) -> Name {
    let (owner, client) = CLIENTS[client % CLIENTS.len()];
    Name::new(owner, client)
}

/// The content of a request with so many records. The digest is always the same.
pub(crate) fn content(records: usize) -> Content {
    Content { records, digest: 7 }
}

/// An outcome of this kind.
fn outcome(kind: Kind) -> Outcome {
    let error = || RecordError::new(Code::BrokerError, "as planned");
    match kind {
        Kind::Acked => Outcome::Acked(Ack {
            partition: 0,
            offset: None,
            timestamp: None,
        }),
        Kind::Rejected => Outcome::Rejected(error()),
        Kind::Failed => Outcome::Failed(error()),
        Kind::Unknown => Outcome::Unknown(error()),
    }
}

/// Outcomes of these kinds.
pub(crate) fn settled(kinds: &[Kind]) -> Arc<Settled> {
    let stored = kinds.iter().map(|&kind| Stored {
        outcome: outcome(kind),
        late: false,
    });
    Arc::new(Settled::new(1, stored.collect()))
}

/// Something that happens. Its index picks a client, a request or a waiter, modulo how many there are.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A request comes in this epoch. It is so many requests `ahead` of the one that its client would send next, and its
    /// sequence stands so far `inside` that request. Without a `span` it has the one that belongs to its sequence.
    Send {
        client: usize,
        epoch: u64,
        ahead: i64,
        inside: u64,
        span: Option<u64>,
        resume: bool,
        records: usize,
        digest: u64,
    },
    /// A request that has the turn or is under way goes one step further; `kinds` are its outcomes if it gets them now.
    Step {
        request: usize,
        taken: bool,
        kinds: [Kind; 3],
    },
    /// A waiting request asks again, or gives up.
    Again { waiter: usize, leaves: bool },
    /// So many milliseconds pass.
    Pass(u64),
}

/// A call, whether or not it makes sense.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Picks the function, modulo how many there are.
    pub(crate) which: u8,
    pub(crate) number: Number,
    pub(crate) records: usize,
}
