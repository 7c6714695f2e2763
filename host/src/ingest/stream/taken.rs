//! What goes from the half of a stream that takes records to the half that writes outcomes.

use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    task::JoinHandle,
};

use super::end::End;
use crate::{ingest::reply::Outcomes, pipeline::Submitted};

/// Records that the reader hands to the writer.
pub(super) struct Taken {
    pub(super) records: TakenRecords,
    /// Room in the window, given back as outcomes are written.
    pub(super) room: OwnedSemaphorePermit,
}

pub(super) enum TakenRecords {
    /// Each outcome is written as soon as it is known.
    Batch(Submitted),
    /// Of a numbered request with this sequence: written once all are known. The error is for outcomes that cannot be told.
    Numbered(u64, JoinHandle<Result<Outcomes, End>>),
}

/// Hands records to the writer.
pub(super) async fn tell(taken: &mpsc::Sender<Taken>, records: Taken) -> Result<(), End> {
    taken.send(records).await.map_err(|_| End::ClientNotReading)
}
