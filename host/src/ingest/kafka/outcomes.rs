//! Waits for the outcomes of the batches of a Produce request, and says what its client is told of each.

use std::{sync::Arc, time::Instant};

use tokio::time::timeout_at;

use super::{answer::ToldTopic, told::Told};
use crate::{
    admission::Reservation,
    ordering::{
        numbered::{HandedOver, Numbered, UnderWay},
        sequence::{Number, Settled},
    },
    produce::batch::Batch,
};

/// A batch that was handed over or refused, or that came before.
#[allow(clippy::large_enum_variant, reason = "nearly all are of the largest kind")]
pub(super) enum Waiting {
    /// It was refused.
    Told(Told),
    /// A batch without a number. The room is for the answer.
    Plain(Arc<Batch>, Option<Reservation>),
    /// A batch with a number.
    Numbered(HandedOver, Number),
    /// It came before, and is under way.
    UnderWay(UnderWay, Number),
    /// It came before, and all its records were acknowledged.
    Settled(Arc<Settled>, Number),
}

/// The batches of one topic, by partition.
pub(super) struct PendingTopic {
    pub(super) name: String,
    pub(super) partitions: Vec<(i32, Waiting)>,
}

/// A request whose batches were handed over or refused.
pub(super) struct Taken {
    pub(super) topics: Vec<PendingTopic>,
    pub(super) deadline: Instant,
    /// For all this, and for the answer.
    pub(super) room: Reservation,
}

impl Taken {
    /// Its batches.
    pub(super) fn waiting(self) -> impl Iterator<Item = Waiting> {
        let partitions = self.topics.into_iter().flat_map(|topic| topic.partitions);
        partitions.map(|(_, waiting)| waiting)
    }
}

/// What clients are told of these batches, and its room. Waits no longer than until the deadline.
pub(super) async fn of(taken: Taken, numbered: &Numbered) -> (Vec<ToldTopic>, Reservation) {
    let Taken {
        topics,
        deadline,
        mut room,
    } = taken;
    let (mut told, mut bytes) = (Vec::with_capacity(topics.len()), room.bytes());
    for topic in topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (partition, waiting) in topic.partitions {
            let told = match waiting {
                // Its room is counted already.
                Waiting::Told(told) => told,
                waiting => {
                    let (told, kept) = waiting.told(deadline, numbered).await;
                    bytes += told.reasons_bytes();
                    if let Some(kept) = kept {
                        room.merge(kept);
                    }
                    room.set(bytes);
                    told
                }
            };
            partitions.push((partition, told));
        }
        told.push(ToldTopic {
            name: topic.name,
            partitions,
        });
    }
    (told, room)
}

impl Waiting {
    /// What its client is told, and what is left of its room.
    async fn told(self, deadline: Instant, numbered: &Numbered) -> (Told, Option<Reservation>) {
        match self {
            Self::Told(told) => (told, None),
            Self::Plain(batch, room) => match timeout_at(deadline.into(), batch.done()).await {
                Ok(()) => (
                    Told::outcomes((0..batch.len()).map(|index| batch.outcome(index)), false),
                    room,
                ),
                Err(_) => (Told::late(false), room),
            },
            Self::Numbered(handed_over, number) => {
                let mut outcomes = Box::pin(handed_over.outcomes());
                match timeout_at(deadline.into(), &mut outcomes).await {
                    Ok(produced) => (told_in_order(&produced.settled, &number, numbered), produced.reply),
                    Err(_) => {
                        // They must be remembered, whoever hears of them.
                        tokio::spawn(outcomes);
                        (Told::late(true), None)
                    }
                }
            }
            Self::UnderWay(under_way, number) => match timeout_at(deadline.into(), under_way.outcomes()).await {
                Ok(Some(settled)) => (told_in_order(&settled, &number, numbered), None),
                Ok(None) | Err(_) => (Told::late(true), None),
            },
            Self::Settled(settled, number) => (told_in_order(&settled, &number, numbered), None),
        }
    }

    /// Nobody hears of the outcomes any more, but those of a numbered batch must be remembered.
    pub(super) fn forsake(self) {
        if let Self::Numbered(handed_over, _) = self {
            tokio::spawn(handed_over.outcomes());
        }
    }
}

/// A batch has no success before all earlier ones have.
fn told_in_order(settled: &Settled, number: &Number, numbered: &Numbered) -> Told {
    let outcomes = settled.records().iter().map(|stored| Some(&stored.outcome));
    let told = Told::outcomes(outcomes, true);
    match told.error {
        None if !numbered.may_acknowledge(number) => Told::behind(),
        _ => told,
    }
}
