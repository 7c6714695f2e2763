//! A request whose partitions are known, and of which nothing has been taken yet.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    admission::{Busy, PartitionLoad, PartitionQuota},
    base::{
        outcome::{REPLY_BYTES_A_RECORD, RecordError},
        record::Record,
    },
    plugin::Pool,
    produce::batch::{Batch, SLOT_BYTES},
    topic::{Destination, Topic, TopicView},
};

/// A reply's head and what is around its records.
const REPLY_BYTES: usize = 256;
/// Of a record, which plugin was asked: names of fields and a digest.
const TRACE_BYTES: usize = 112;

/// See the [module](self).
pub struct RoutedRequest<'a> {
    pub(super) records: Vec<Result<Placed, Refused>>,
    pub(super) topics: Vec<TopicView>,
    /// By record, the plugin that was asked; empty unless a trace was wanted.
    pub(super) trace: Vec<Option<Arc<Pool>>>,
    traces: bool,
    pub(super) _open: OpenRequest<'a>,
}

/// A record that knows where it goes.
pub(super) struct Placed {
    pub(super) record: Record,
    pub(super) destination: Destination,
}

/// One that goes nowhere, and the topic that it counts for where that is known.
pub(super) struct Refused {
    pub(super) topic: Option<Arc<Topic>>,
    pub(super) error: RecordError,
}

impl<'a> RoutedRequest<'a> {
    pub(super) fn new(records: usize, trace: bool, open: OpenRequest<'a>) -> Self {
        Self {
            records: Vec::with_capacity(records),
            topics: Vec::new(),
            traces: trace,
            trace: Vec::with_capacity(if trace { records } else { 0 }),
            _open: open,
        }
    }

    /// The next record, and the plugin that was asked.
    pub(super) fn push(&mut self, record: Result<Placed, Refused>, asked: Option<Arc<Pool>>) {
        if self.traces {
            self.trace.push(asked);
        }
        self.records.push(record);
    }

    /// What is only of interest for a trace.
    pub(super) fn traced(&self, asked: impl FnOnce() -> Option<Arc<Pool>>) -> Option<Arc<Pool>> {
        if self.traces { asked() } else { None }
    }

    /// What its slots will take.
    pub(super) fn slot_bytes(&self) -> usize {
        let refused = self.refused().map(|refused| refused.error.message.len());
        size_of::<Batch>() + self.records.len() * SLOT_BYTES + refused.sum::<usize>()
    }

    /// What a reply to it may take.
    pub(super) fn reply_bytes(&self) -> usize {
        // With escapes.
        let refused = self.refused().map(|refused| 2 * refused.error.message.len());
        let traced: usize = self
            .trace
            .iter()
            .flatten()
            .map(|pool| TRACE_BYTES + pool.name().len())
            .sum();
        REPLY_BYTES + self.records.len() * REPLY_BYTES_A_RECORD + traced + refused.sum::<usize>()
    }

    fn refused(&self) -> impl Iterator<Item = &Refused> {
        self.records.iter().filter_map(|record| record.as_ref().err())
    }

    /// What it brings to each partition.
    pub(super) fn loads(&self) -> Vec<PartitionLoad> {
        let places = || self.records.iter().flatten().map(|placed| placed.destination);
        let mut loads = Vec::new();
        let mut index = Index::new(&self.topics, self.records.len());
        for destination in places() {
            let at = index.of(destination);
            match loads.get_mut(*at as usize) {
                None => {
                    *at = loads.len() as u32;
                    loads.push(PartitionLoad {
                        quota: Arc::clone(self.quota(destination)),
                        records: 1,
                        bytes: destination.held as usize,
                    });
                }
                Some(load) => {
                    load.records += 1;
                    load.bytes += destination.held as usize;
                }
            }
        }
        loads
    }

    /// Says which partition is full.
    pub(super) fn explain(&self, mut busy: Busy) -> Busy {
        let full = busy.quota.take();
        let places = self.records.iter().flatten().map(|placed| placed.destination);
        let named = full.and_then(|full| {
            places
                .into_iter()
                .find(|&destination| Arc::ptr_eq(self.quota(destination), &full))
        });
        if let Some(destination) = named {
            busy.bound = format!(
                "what partition {} of topic \"{}\" may have of the producer's queue",
                destination.partition, self.topics[destination.topic as usize].topic.name
            );
        }
        busy
    }

    fn quota(&self, destination: Destination) -> &Arc<PartitionQuota> {
        &self.topics[destination.topic as usize].partitions.quotas[destination.partition as usize]
    }
}

/// Where the load of a partition stands, `NOWHERE` until there is one.
enum Index {
    /// By number over all topics: the way for requests of many records.
    Dense { first: Vec<u32>, at: Vec<u32> },
    /// Where that would be much more than there are records.
    Sparse(HashMap<(u32, u32), u32>),
}

const NOWHERE: u32 = u32::MAX;

impl Index {
    fn new(topics: &[TopicView], records: usize) -> Self {
        let mut partitions = 0_usize;
        let first = topics.iter().map(|view| {
            let first = partitions as u32;
            partitions += view.partitions.quotas.len();
            first
        });
        let first = first.collect();
        if partitions <= 8 * records + 16 {
            let at = vec![NOWHERE; partitions];
            return Self::Dense { first, at };
        }
        Self::Sparse(HashMap::new())
    }

    fn of(&mut self, destination: Destination) -> &mut u32 {
        match self {
            Self::Dense { first, at } => &mut at[(first[destination.topic as usize] + destination.partition) as usize],
            Self::Sparse(at) => at.entry((destination.topic, destination.partition)).or_insert(NOWHERE),
        }
    }
}

/// A request being handed over, until this is dropped.
pub(super) struct OpenRequest<'a>(&'a AtomicUsize);

impl<'a> OpenRequest<'a> {
    pub(super) fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
