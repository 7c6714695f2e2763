//! Writes the answers of one connection, in the order of their requests.
//!
//! An answer holds its room until its last byte is written. When others need room, a client that does not read gives way.

use bytes::Bytes;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
    task::yield_now,
    time::timeout,
};

use super::{
    KafkaApi, answer,
    outcomes::{self, Taken},
    request::AnswerTo,
    told::Told,
};
use crate::{
    admission::{Reservation, Standing},
    ingest::timed::InRequest,
};

/// Answers that are written before other connections have their turn.
const ANSWERS_BETWEEN_YIELDS: usize = 4;

/// What its client waits for next.
pub(super) enum Pending {
    /// An answer, and its room.
    Now(Bytes, Reservation),
    Produce(AnswerTo, Taken),
}

/// An answer in the making. The connection counts as being in a request until it is written.
pub(super) struct Entry {
    pub(super) pending: Pending,
    /// What stands where an offset would be.
    pub(super) no_offset: i64,
    pub(super) in_request: InRequest,
}

impl Entry {
    /// Nobody hears of it any more.
    pub(super) fn forsake(self) {
        if let Pending::Produce(_, taken) = self.pending {
            taken.waiting().for_each(outcomes::Waiting::forsake);
        }
    }
}

impl KafkaApi {
    /// Writes the answers, until there are no more or the client does not read them.
    pub(super) async fn write(&self, mut stream: impl AsyncWrite + Unpin, mut answers: mpsc::Receiver<Entry>) {
        let mut written = 0_usize;
        while let Some(entry) = answers.recv().await {
            written += 1;
            if written.is_multiple_of(ANSWERS_BETWEEN_YIELDS) {
                yield_now().await;
            }
            let _in_request = entry.in_request;
            let (frame, _room) = match entry.pending {
                Pending::Now(frame, room) => (frame, room),
                Pending::Produce(to, taken) => match self.told(to, taken, entry.no_offset).await {
                    Ok(answer) => answer,
                    Err(error) => {
                        tracing::error!(%error, "a connection of the Kafka listener is closed: an answer cannot be written");
                        break;
                    }
                },
            };
            if !self.send(&mut stream, &frame).await {
                break;
            }
        }
        answers.close();
        while let Some(entry) = answers.recv().await {
            entry.forsake();
        }
    }

    /// Waits for what the client is told of its batches, and makes an answer of it.
    async fn told(&self, to: AnswerTo, taken: Taken, no_offset: i64) -> anyhow::Result<(Bytes, Reservation)> {
        let (topics, mut room) = outcomes::of(taken, &self.numbered).await;
        for (_, told) in topics.iter().flat_map(|topic| &topic.partitions) {
            self.count(told);
        }
        let frame = answer::produce(to, topics, no_offset)?;
        room.set(frame.len());
        Ok((frame, room))
    }

    /// Counts what a client is told of a batch.
    pub(super) fn count(&self, told: &Told) {
        self.pipeline.metrics.kafka.batch(&told.name());
    }

    /// False: the client is gone, or it takes no byte for too long, or it does not read while others need the room.
    async fn send(&self, stream: &mut (impl AsyncWrite + Unpin), mut left: &[u8]) -> bool {
        let admission = &self.pipeline.admission;
        let mut standing: Option<Standing> = None;
        while !left.is_empty() {
            let writing = async {
                tokio::select! {
                    // Writing comes first: only an answer that has to wait may have to give way.
                    biased;
                    written = stream.write(left) => written.ok().filter(|written| *written > 0),
                    () = async { standing.get_or_insert_with(|| admission.standing(left.len())).told().await } => None,
                }
            };
            let Ok(Some(written)) = timeout(self.limits.write_timeout(), writing).await else {
                return false;
            };
            left = &left[written..];
            if let Some(standing) = &standing {
                standing.moves(written);
                standing.holds(left.len());
            }
        }
        stream.flush().await.is_ok()
    }
}
