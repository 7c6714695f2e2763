//! The records of a request that go where the routing table has their tenants.
//!
//! They are resolved after the last decision, all by one table, in one pass. If another table comes before the request has
//! room, they are resolved again; no plugin is asked for that.

use std::{ops::Range, sync::Arc};

use pointsman_routing::{Found, Hashing, Table, Target, TopicTable, murmur2, rules};

use super::placed::{Placed, Refused};
use crate::{
    admission::ByTable,
    observe::{Counting, Observer},
    routing::route::out_of_range,
    tenants::{Now, TenantKey},
    topic::TopicView,
};

/// See the [module](self). Names are kept in one text, and a name that follows itself is kept once.
#[derive(Debug, Default)]
pub(super) struct TenantRecords {
    names: String,
    tenants: Vec<Tenant>,
    records: Vec<TenantRecord>,
    /// Whether the tenants have their hashes.
    are_hashed: bool,
    /// The last of `records` that was held when they were resolved.
    held: Option<usize>,
    /// Whether they were resolved once.
    #[cfg(test)]
    is_resolved: bool,
}

/// A tenant of records that follow each other.
#[derive(Debug)]
struct Tenant {
    /// The name in `names`.
    begin: u32,
    end: u32,
    /// For look-ups in the table.
    hash: u64,
}

#[derive(Debug)]
struct TenantRecord {
    /// The record's index in the request.
    record: u32,
    /// Index in `tenants`.
    tenant: u32,
    /// Kafka's positive hash of the shard key.
    shard: Option<u32>,
}

impl Tenant {
    fn range(&self) -> Range<usize> {
        self.begin as usize..self.end as usize
    }
}

impl TenantRecords {
    /// Adds the record with this index.
    pub(super) fn push(&mut self, record: u32, tenant: &TenantKey) {
        let last = self.tenants.last().map(Tenant::range);
        if last.is_none_or(|range| self.names[range] != tenant.name) {
            // A name has at most 255 bytes, and a request far fewer records than 2^24.
            let begin = self.names.len() as u32;
            self.names.push_str(&tenant.name);
            self.tenants.push(Tenant {
                begin,
                end: self.names.len() as u32,
                hash: 0,
            });
        }
        self.records.push(TenantRecord {
            record,
            tenant: self.tenants.len() as u32 - 1,
            shard: tenant.shard,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The index of each record in the request, and its tenant's name, in the order of the request.
    pub(super) fn names(&self) -> impl Iterator<Item = (usize, &str)> {
        let records = self.records.iter();
        records.map(|record| (record.record as usize, self.name(record.tenant)))
    }

    /// The place of the request's record with this index among these records, and its tenant's name.
    pub(super) fn find(&self, record: usize) -> Option<(usize, &str)> {
        let by_index = |tenant: &TenantRecord| (tenant.record as usize).cmp(&record);
        let place = self.records.binary_search_by(by_index).ok()?;
        Some((place, self.name(self.records[place].tenant)))
    }

    /// A bug that is planted on purpose: from the second time on, half of the records keep their partitions.
    #[cfg(test)]
    pub(super) fn forget_half(&mut self) {
        if std::mem::replace(&mut self.is_resolved, true) {
            let half = self.records.len() / 2;
            self.records.drain(..half);
        }
    }

    /// Memory that this takes.
    pub(super) fn bytes(&self) -> usize {
        self.names.len() + self.tenants.len() * size_of::<Tenant>() + self.records.len() * size_of::<TenantRecord>()
    }

    /// The tenant that the request waits for, and its topic, if it is held.
    pub(super) fn held<'a>(&'a self, records: &'a [Result<Placed, Refused>]) -> Option<(&'a str, &'a str)> {
        let held = &self.records[self.held?];
        let placed = records[held.record as usize].as_ref().ok()?;
        Some((self.name(held.tenant), &placed.record.topic))
    }

    fn name(&self, tenant: u32) -> &str {
        &self.names[self.tenants[tenant as usize].range()]
    }

    fn hash(&mut self, hashing: &Hashing) {
        if !std::mem::replace(&mut self.are_hashed, true) {
            for tenant in &mut self.tenants {
                tenant.hash = hashing.of(&self.names[tenant.range()]);
            }
        }
    }

    /// Counts the tenants of a request that is taken.
    pub(super) fn count(&self, observer: &Observer, topics: &[TopicView], records: &[Result<Placed, Refused>]) {
        if !self.are_hashed {
            return;
        }
        let mut counting = observer.count();
        let mut topic = None;
        // What is counted together: records of one tenant that follow each other.
        let mut together: Option<(u32, u64, u64)> = None;
        let flush = |counting: &mut Counting<'_>, together: Option<(u32, u64, u64)>| {
            if let Some((tenant, records, bytes)) = together {
                counting.tenant(self.name(tenant), self.tenants[tenant as usize].hash, records, bytes);
            }
        };
        for record in &self.records {
            let Ok(placed) = &records[record.record as usize] else {
                continue;
            };
            let destination = placed.destination;
            if topic != Some(destination.topic) {
                flush(&mut counting, together.take());
                topic = Some(destination.topic);
                counting.topic(&topics[destination.topic as usize].topic.name);
            }
            let bytes = u64::from(destination.bytes);
            match &mut together {
                Some((tenant, records, sum)) if *tenant == record.tenant => {
                    *records += 1;
                    *sum += bytes;
                }
                _ => flush(&mut counting, together.replace((record.tenant, 1, bytes))),
            }
        }
        flush(&mut counting, together);
    }

    /// Gives each record its partition by the table of this moment. A record whose partition the topic lacks is refused.
    pub(super) fn resolve(
        &mut self,
        now: &Now,
        topics: &[TopicView],
        records: &mut [Result<Placed, Refused>],
    ) -> ByTable {
        let table = now.table();
        let mut held = None;
        if let Some(table) = table {
            self.hash(table.hashing());
        }
        // Nearly all requests have one topic, and many have the same tenant in records that follow each other.
        let mut of_topic: Option<(u32, Option<&TopicTable>)> = None;
        let mut found: Option<(u32, u32, Found<'_>)> = None;
        for (index, record) in self.records.iter().enumerate() {
            // One that an earlier table made refused stays so.
            let Ok(placed) = &mut records[record.record as usize] else {
                continue;
            };
            let topic = placed.destination.topic;
            let view = &topics[topic as usize];
            let (name, hash) = (self.name(record.tenant), self.tenants[record.tenant as usize].hash);
            let rows = match of_topic {
                Some((same, rows)) if same == topic => rows,
                _ => table
                    .and_then(|table| table.topic(&view.topic.name))
                    .map(|rows| &**rows),
            };
            of_topic = Some((topic, rows));
            let (Some(table), Some(rows)) = (table, rows) else {
                placed.destination.partition = murmur2::partition_for_key(name.as_bytes(), view.partitions.count());
                continue;
            };
            let row = match &found {
                Some((same, tenant, row)) if (*same, *tenant) == (topic, record.tenant) => *row,
                _ => rows.find(name, hash),
            };
            found = Some((topic, record.tenant, row));
            let resolved = row.resolve(name, record.shard);
            let partition = match resolved.target {
                Target::Partition(partition) => partition,
                Target::AnyOf(slots) => {
                    let bytes = placed.destination.held as usize;
                    view.topic.any_of(slots, hash, &view.partitions, bytes)
                }
            };
            if resolved.held {
                held = Some(index);
            }
            if partition < view.partitions.count() {
                placed.destination.partition = partition;
                continue;
            }
            let (name, version) = (rules::quoted(name), table.version());
            let sends = format!("the routing table (version {version}) sends tenant {name} to partition {partition}");
            records[record.record as usize] = Err(Refused {
                topic: Some(Arc::clone(&view.topic)),
                error: out_of_range(sends, view, "; correct the tenant's row"),
            });
        }
        self.held = held;
        ByTable {
            version: table.map(Table::version).filter(|_| !self.records.is_empty()),
            held: self.held.is_some(),
        }
    }
}
