//! A request whose partitions are known, and of which nothing has been taken yet.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;

use super::{
    by::By,
    placed::{Placed, Refused, too_large},
    stamp::{self, STAMP},
    tenant_records::TenantRecords,
    trace::{self, TracedRow},
};
use crate::{
    admission::{Busy, ByTable, PartitionLoad, PartitionQuota},
    base::{
        metrics::Metrics,
        outcome::{Kind, REPLY_BYTES_A_RECORD, RecordError},
        record::Record,
    },
    observe::Observer,
    plugin::Pool,
    produce::batch::{Batch, SLOT_BYTES},
    routing::route::Decided,
    tenants::{NoTable, Now, Tenants},
    topic::{Destination, Topic, TopicView},
};

/// Bytes of a reply around its records.
const REPLY_BYTES: usize = 256;

/// A request whose partitions are known; see the [module](self).
pub struct RoutedRequest<'a> {
    pub(super) records: Vec<Result<Placed, Refused>>,
    pub(super) topics: Vec<TopicView>,
    /// The records that go where the routing table has their tenants.
    pub(super) tenants: TenantRecords,
    /// For each record, what decided and what it was written by. Empty unless the client wants a trace.
    pub(super) by: Vec<By>,
    /// The memory of what was encoded.
    pub(super) encoded_bytes: usize,
    /// For each of `tenants`, what the routing table said. Empty unless the client wants a trace.
    pub(super) rows: Vec<Option<TracedRow>>,
    /// Whether the client wants a trace.
    traces: bool,
    /// If tenants' records are stamped, how many bytes a record may have.
    stamps: Option<usize>,
    /// What they are stamped with: the version of the table that they were last resolved by.
    pub(super) stamp: Option<Bytes>,
    pub(super) _open: OpenRequest<'a>,
}

impl<'a> RoutedRequest<'a> {
    pub(super) fn new(records: usize, trace: bool, stamps: Option<usize>, open: OpenRequest<'a>) -> Self {
        Self {
            records: Vec::with_capacity(records),
            topics: Vec::new(),
            tenants: TenantRecords::default(),
            traces: trace,
            stamps,
            stamp: None,
            by: Vec::with_capacity(if trace { records } else { 0 }),
            encoded_bytes: 0,
            rows: Vec::new(),
            _open: open,
        }
    }

    /// Adds the next record.
    pub(super) fn push(&mut self, record: Result<Placed, Refused>, by: By) {
        self.encoded_bytes += by.encoded_bytes;
        if self.traces {
            self.by.push(by);
        }
        self.records.push(record);
    }

    /// Adds the next record with what was decided about it.
    pub(super) fn decided(
        &mut self,
        record: Record,
        destination: Destination,
        decided: Result<Decided, RecordError>,
        topic: &Arc<Topic>,
        by: By,
    ) {
        let placed = decided.and_then(|decided| match decided {
            Decided::Partition(partition) => Ok(Destination {
                partition,
                ..destination
            }),
            Decided::Tenant(tenant) => {
                let destination = self.of_tenant(destination)?;
                // A request has far fewer records than 2^32.
                self.tenants.push(self.records.len() as u32, &tenant);
                Ok(destination)
            }
        });
        let topic = || Some(Arc::clone(topic));
        let placed = placed.map(|destination| Placed { record, destination });
        self.push(placed.map_err(|error| Refused { topic: topic(), error }), by);
    }

    /// The destination of a tenant's record, as far as it is known: with its stamp, if it gets one.
    fn of_tenant(&self, destination: Destination) -> Result<Destination, RecordError> {
        let Some(most) = self.stamps else {
            return Ok(destination);
        };
        let stamped = stamp::counted(destination);
        match stamped.bytes as usize {
            bytes if bytes > most => Err(too_large(&format!(" with its header {STAMP}"), bytes, most)),
            _ => Ok(stamped),
        }
    }

    /// Evaluates `asked` only if the client wants a trace.
    pub(super) fn traced(&self, asked: impl FnOnce() -> Option<Arc<Pool>>) -> Option<Arc<Pool>> {
        if self.traces { asked() } else { None }
    }

    /// The most memory that the slots of this request take.
    pub(super) fn slot_bytes(&self) -> usize {
        let refused = self.refused().map(|refused| refused.error.message.len());
        size_of::<Batch>() + self.records.len() * SLOT_BYTES + refused.sum::<usize>() + self.tenants.bytes()
    }

    /// The most memory that the reply to this request takes.
    pub(super) fn reply_bytes(&self) -> usize {
        // Twice, since each character may need an escape.
        let refused = self.refused().map(|refused| 2 * refused.error.message.len());
        let traced = match self.traces {
            true => trace::bytes(&self.by, &self.tenants),
            false => 0,
        };
        REPLY_BYTES + self.records.len() * REPLY_BYTES_A_RECORD + traced + refused.sum::<usize>()
    }

    fn refused(&self) -> impl Iterator<Item = &Refused> {
        self.records.iter().filter_map(|record| record.as_ref().err())
    }

    /// Resolves the tenants by the table of this moment.
    pub(super) fn resolve(&mut self, tenants: &Tenants) -> Result<ByTable, NoTable> {
        if self.tenants.is_empty() {
            return Ok(ByTable::default());
        }
        match tenants.now() {
            Now::NoTable => Err(NoTable),
            now => {
                #[cfg(test)]
                if tenants.are_resolved_in_parts() {
                    self.tenants.forget_half();
                }
                if self.traces {
                    // Before they are resolved, so that what an earlier table refused is told by that table.
                    let topic_of = |record: usize| {
                        let placed = self.records[record].as_ref().ok()?;
                        self.topics.get(placed.destination.topic as usize)
                    };
                    self.rows = trace::rows(&self.tenants, &now, topic_of, &self.rows);
                }
                if self.stamps.is_some() {
                    self.stamp = now.table().map(|table| stamp::value(table.version()));
                }
                Ok(self.tenants.resolve(&now, &self.topics, &mut self.records))
            }
        }
    }

    /// Counts every record as rejected: one refused record refused them all.
    pub fn count_refused(&self, metrics: &Metrics) {
        for record in &self.records {
            let topic = match record {
                Ok(placed) => Some(&self.topics[placed.destination.topic as usize].topic),
                Err(refused) => refused.topic.as_ref(),
            };
            match topic {
                Some(topic) => topic.count(Kind::Rejected),
                None => metrics.count_without_topic(Kind::Rejected),
            }
        }
    }

    /// The records that would be refused if the request were handed over now, by their place in the request.
    /// [`super::Pipeline::make_room`] may add some, since it looks up the records' tenants in the routing table.
    pub fn refusals(&self) -> impl Iterator<Item = (usize, RecordError)> {
        let refused = move |record: &Result<Placed, Refused>| match record {
            Ok(Placed { record, destination }) => {
                let view = &self.topics[destination.topic as usize];
                view.topic.objects(record, *destination)
            }
            Err(refused) => Some(refused.error.clone()),
        };
        let records = self.records.iter().enumerate();
        records.filter_map(move |(index, record)| Some((index, refused(record)?)))
    }

    /// Counts the tenants.
    pub(super) fn count(&self, observer: &Observer) {
        if !self.tenants.is_empty() {
            self.tenants.count(observer, &self.topics, &self.records);
        }
    }

    /// Looks anew at the partitions of the topics, which the request may have waited long for.
    pub(super) fn look_anew(&mut self) {
        for view in &mut self.topics {
            let partitions = view.topic.partitions();
            // A topic that was made anew with fewer partitions has none for the records that were decided before.
            if partitions.count() >= view.partitions.count() {
                view.partitions = partitions;
            }
        }
    }

    /// The tenant that the request waits for, and its topic, if it is held.
    pub(super) fn held(&self) -> Option<(&str, &str)> {
        self.tenants.held(&self.records)
    }

    /// What this request adds to each partition.
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
                        wire_bytes: destination.bytes as usize,
                    });
                }
                Some(load) => {
                    load.records += 1;
                    load.bytes += destination.held as usize;
                    load.wire_bytes += destination.bytes as usize;
                }
            }
        }
        loads
    }

    /// Adds to the error which partition is full.
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

/// Finds the load of a partition in the list of loads; `NOWHERE` if it has none yet.
enum Index {
    /// A table over all partitions of all topics: fast, for requests of many records.
    Dense { first: Vec<u32>, at: Vec<u32> },
    /// A map, where that table would be much larger than the number of records.
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

/// A request that is being handed over, until this is dropped.
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
