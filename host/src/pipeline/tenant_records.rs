//! The records of a request that go where the routing table has their tenants.
//!
//! They are resolved after the last decision, all by one table, in one pass. If another table comes before the request has
//! room, they are resolved again; no plugin is asked for that.

use std::{ops::Range, sync::Arc};

use pointsman_routing::{Found, Table, Target, TopicTable, murmur2, rules};

use super::placed::{Placed, Refused};
use crate::{
    admission::ByTable,
    routing::route::out_of_range,
    tenants::{Now, TenantKey},
    topic::TopicView,
};

/// See the [module](self). Names are kept in one text, and a name that follows itself is kept once.
#[derive(Debug, Default)]
pub(super) struct TenantRecords {
    names: String,
    records: Vec<TenantRecord>,
    /// The last of `records` that was held when they were resolved.
    held: Option<usize>,
    /// Whether they were resolved once.
    #[cfg(test)]
    is_resolved: bool,
}

#[derive(Debug)]
struct TenantRecord {
    /// The record's index in the request.
    record: u32,
    /// The tenant's name in `names`.
    begin: u32,
    end: u32,
    /// Kafka's positive hash of the shard key.
    shard: Option<u32>,
}

impl TenantRecord {
    fn range(&self) -> Range<usize> {
        self.begin as usize..self.end as usize
    }
}

impl TenantRecords {
    /// Adds the record with this index.
    pub(super) fn push(&mut self, record: u32, tenant: &TenantKey) {
        let last = self.records.last().map(TenantRecord::range);
        let range = match last {
            Some(range) if self.names[range.clone()] == tenant.name => range,
            _ => {
                let begin = self.names.len();
                self.names.push_str(&tenant.name);
                begin..self.names.len()
            }
        };
        self.records.push(TenantRecord {
            record,
            // A name has at most 255 bytes, and a request far fewer records than 2^24.
            begin: range.start as u32,
            end: range.end as u32,
            shard: tenant.shard,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
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
        self.names.len() + self.records.len() * size_of::<TenantRecord>()
    }

    /// The tenant that the request waits for, and its topic, if it is held.
    pub(super) fn held<'a>(&'a self, records: &'a [Result<Placed, Refused>]) -> Option<(&'a str, &'a str)> {
        let held = &self.records[self.held?];
        let placed = records[held.record as usize].as_ref().ok()?;
        Some((&self.names[held.range()], &placed.record.topic))
    }

    /// Gives each record its partition by the table of this moment. A record whose partition the topic lacks is refused.
    pub(super) fn resolve(
        &mut self,
        now: &Now,
        topics: &[TopicView],
        records: &mut [Result<Placed, Refused>],
    ) -> ByTable {
        let table = now.table();
        self.held = None;
        // Nearly all requests have one topic, and many have the same tenant in records that follow each other.
        let mut of_topic: Option<(u32, Option<&TopicTable>)> = None;
        let mut found: Option<(u32, Range<usize>, Found<'_>, u64)> = None;
        for (index, tenant) in self.records.iter().enumerate() {
            // One that an earlier table made refused stays so.
            let Ok(placed) = &mut records[tenant.record as usize] else {
                continue;
            };
            let topic = placed.destination.topic;
            let view = &topics[topic as usize];
            let name = &self.names[tenant.range()];
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
            let (row, hash) = match &found {
                Some((same, range, row, hash)) if *same == topic && *range == tenant.range() => (*row, *hash),
                _ => {
                    let hash = table.hashing().of(name);
                    (rows.find(name, hash), hash)
                }
            };
            found = Some((topic, tenant.range(), row, hash));
            let resolved = row.resolve(name, tenant.shard);
            let partition = match resolved.target {
                Target::Partition(partition) => partition,
                Target::AnyOf(slots) => {
                    let bytes = placed.destination.held as usize;
                    view.topic.any_of(slots, hash, &view.partitions, bytes)
                }
            };
            if resolved.held {
                self.held = Some(index);
            }
            if partition < view.partitions.count() {
                placed.destination.partition = partition;
                continue;
            }
            let (name, version) = (rules::quoted(name), table.version());
            let sends = format!("the routing table (version {version}) sends tenant {name} to partition {partition}");
            records[tenant.record as usize] = Err(Refused {
                topic: Some(Arc::clone(&view.topic)),
                error: out_of_range(sends, view, "; correct the tenant's row"),
            });
        }
        ByTable {
            version: table.map(Table::version).filter(|_| !self.records.is_empty()),
            held: self.held.is_some(),
        }
    }
}
