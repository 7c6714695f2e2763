//! Records on their way to a client, by partition.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::BytesMut;

use super::turns::{Part, QueueId, Settled};
use crate::{
    base::{outcome::Kind, record::Record},
    produce::batch::Ticket,
    topic,
};

/// A record that is handed over, or waits for its partition's turn.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) record: Record,
    pub(super) ticket: Ticket,
}

/// The queues of a topic's partitions, by the partitions' numbers.
#[derive(Debug)]
pub(super) struct TopicQueues {
    pub(super) name: Arc<str>,
    pub(super) ids: RwLock<Vec<Option<QueueId>>>,
}

impl TopicQueues {
    pub(super) fn new(name: &Arc<str>) -> Arc<Self> {
        Arc::new(Self {
            name: Arc::clone(name),
            ids: RwLock::default(),
        })
    }

    /// The queue of a partition, if it has one already.
    pub(super) fn get(&self, partition: u32) -> Option<QueueId> {
        let ids = self.ids.read().unwrap_or_else(PoisonError::into_inner);
        ids.get(partition as usize).copied().flatten()
    }
}

/// Records of one request and one topic, by partition, in the order of the request.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) topic: Arc<TopicQueues>,
    /// For each partition, the position of its records in `parts` plus one; 0: it has none.
    positions: Vec<u32>,
    parts: Vec<(u32, Part<Waiting>)>,
}

impl Parts {
    pub(super) fn new(topic: Arc<TopicQueues>) -> Self {
        Self {
            topic,
            positions: Vec::new(),
            parts: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, partition: u32, waiting: Waiting) {
        let index = partition as usize;
        if self.positions.len() <= index {
            self.positions.resize(index + 1, 0);
        }
        let bytes = waiting.record.wire_size();
        match self.positions[index] {
            0 => {
                let part = Part {
                    records: vec![waiting],
                    bytes,
                };
                self.parts.push((partition, part));
                self.positions[index] = self.parts.len() as u32;
            }
            position => {
                let (_, part) = &mut self.parts[position as usize - 1];
                part.records.push(waiting);
                part.bytes += bytes;
            }
        }
    }

    /// Takes out all records, with their partitions.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (u32, Part<Waiting>)> {
        self.positions.clear();
        self.parts.drain(..)
    }
}

impl Part<Waiting> {
    /// Copies the records' bytes out of the bodies of their requests. A body is accounted for only until its records are
    /// handed over, and a small record would keep all of it.
    pub(super) fn detach(&mut self) {
        detach(self.records.iter_mut().map(|waiting| &mut waiting.record), self.bytes);
    }
}

/// `capacity`: at least the size of all bytes.
fn detach<'r>(records: impl Iterator<Item = &'r mut Record>, capacity: usize) {
    let mut copy = BytesMut::with_capacity(capacity);
    for record in records {
        let headers = record.headers.iter_mut().map(|header| &mut header.value);
        for part in [&mut record.key, &mut record.value]
            .into_iter()
            .chain(headers)
            .flatten()
        {
            copy.extend_from_slice(part);
            *part = copy.split().freeze();
        }
    }
}

/// Counts the delivery reports of a client, until they are noted in [`super::turns::Turns`].
#[derive(Debug, Default)]
pub(super) struct Reports(Mutex<Vec<Answered>>);

/// Reports that came one after the other, of one partition.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) topic: Arc<topic::Topic>,
    pub(super) partition: u32,
    pub(super) records: usize,
    pub(super) settled: Settled,
}

impl Reports {
    pub(super) fn add(&self, ticket: &Ticket, kind: Kind) {
        let Some((topic, destination)) = ticket.destination() else {
            return;
        };
        let settled = match kind {
            Kind::Acked => Settled::Closed,
            Kind::Unknown => Settled::Opened,
            _ => Settled::Unchanged,
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.last_mut() {
            Some(last) if last.partition == destination.partition && Arc::ptr_eq(&last.topic, topic) => {
                last.records += 1;
                if settled != Settled::Unchanged {
                    last.settled = settled;
                }
            }
            _ => all.push(Answered {
                topic: Arc::clone(topic),
                partition: destination.partition,
                records: 1,
                settled,
            }),
        }
    }

    pub(super) fn take(&self) -> Vec<Answered> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::base::record::Header;

    #[test]
    fn a_waiting_record_keeps_all_of_its_bytes_and_nothing_of_its_body() {
        let body = Bytes::from(vec![b'x'; 1 << 20]);
        let header = |value: Option<Bytes>| Header {
            name: "h".into(),
            value,
        };
        let record = Record {
            topic: Arc::from("t"),
            key: Some(body.slice(0..3)),
            value: Some(body.slice(10..20)),
            headers: vec![header(Some(body.slice(5..6))), header(None), header(Some(Bytes::new()))],
            partition: None,
            timestamp: Some(1),
            schema: None,
        };
        let tombstone = Record {
            key: Some(Bytes::new()),
            value: None,
            ..record.clone()
        };
        let mut waiting = [record.clone(), tombstone.clone()];
        let bytes = waiting.iter().map(Record::wire_size).sum();
        detach(waiting.iter_mut(), bytes);
        assert_eq!(waiting, [record.clone(), tombstone.clone()]);
        drop((record, tombstone));
        assert!(body.is_unique(), "the body is held");
    }
}
