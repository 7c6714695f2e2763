//! What happens to numbered requests.

use std::sync::Arc;

use super::super::{Content, Name, Number, Owner, Settled, Stored};
use crate::base::outcome::{Ack, Code, Kind, Outcome, RecordError};

/// Who sends: some with one name and other owners, some with one owner.
pub(crate) const CLIENTS: [(Owner, &str); 5] = [
    (Owner::User(1), "a"),
    (Owner::User(1), "b"),
    (Owner::User(2), "a"),
    (Owner::Tcp, "a"),
    (Owner::Tcp, "c"),
];

/// Of one of them.
pub(crate) fn name(client: usize) -> Name {
    let (owner, client) = CLIENTS[client % CLIENTS.len()];
    Name::new(owner, client)
}

/// Of so many records; all are the same.
pub(crate) fn content(records: usize) -> Content {
    Content { records, digest: 7 }
}

/// An outcome of each kind.
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

/// Something that happens. Whoever it happens to is counted round those that are there.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A request comes: so far from what its client would send next, in this epoch.
    Send {
        client: usize,
        epoch: u64,
        ahead: i64,
        resume: bool,
        records: usize,
        digest: u64,
    },
    /// A request that has its turn, or is under way, goes one step on; `kinds` are its outcomes when it gets them.
    Step {
        request: usize,
        taken: bool,
        kinds: [Kind; 3],
    },
    /// One that waits asks again, or goes away.
    Again { waiter: usize, leaves: bool },
    /// Time passes.
    Pass(u64),
}

/// A call, whether or not it makes sense.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Which one, counted round.
    pub(crate) which: u8,
    pub(crate) number: Number,
    pub(crate) records: usize,
}
