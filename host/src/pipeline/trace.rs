//! What a reply tells of how its records were decided, if its client wants a trace.

use super::{by::By, tenant_records::TenantRecords};
use crate::{plugin::Pool, schemas::WrittenBy, tenants::Now, topic::TopicView};

/// Bytes of a record's plugin in a reply: names of fields, and a digest.
const PLUGIN_BYTES: usize = 112;
/// Bytes of a record's tenant in a reply: names of fields, a version and a status.
const TENANT_BYTES: usize = 80;
/// Bytes of a record's schema in a reply: names of fields, a version and an id.
const SCHEMA_BYTES: usize = 96;
/// The most bytes that JSON makes of one.
const ESCAPED: usize = 6;

/// How each record of a request was decided; see the [module](self).
#[derive(Debug, Default)]
pub struct Trace {
    /// For each record, what decided and what it was written by. Empty unless the client wants a trace.
    by: Vec<By>,
    /// The records that went where the routing table has their tenants.
    tenants: TenantRecords,
    /// For each of `tenants`, what the table said.
    rows: Vec<Option<TracedRow>>,
}

/// How one record was decided.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traced<'t> {
    /// The plugin that was asked.
    pub plugin: Option<&'t Pool>,
    /// The tenant that was decided for.
    pub tenant: Option<TracedTenant<'t>>,
    /// What its value was written by.
    pub schema: Option<&'t WrittenBy>,
}

/// The tenant of a record.
#[derive(Debug, Clone, Copy)]
pub struct TracedTenant<'t> {
    /// Its name.
    pub name: &'t str,
    /// What the routing table said; `None` without a table.
    pub row: Option<TracedRow>,
}

/// The row that placed a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TracedRow {
    /// The version of the routing table.
    pub version: u64,
    /// The row's status; `tail` if the tenant has no row of its own, `none` if the topic has no rows at all.
    pub status: &'static str,
}

impl Trace {
    /// What remains of a request that was handed over. `by` is empty if its client wants no trace.
    pub(super) fn new(by: Vec<By>, tenants: TenantRecords, rows: Vec<Option<TracedRow>>) -> Option<Self> {
        (!by.is_empty()).then_some(Self { by, tenants, rows })
    }

    /// How the record with this index was decided.
    pub fn of(&self, index: usize) -> Traced<'_> {
        let tenant = self.tenants.find(index).map(|(place, name)| TracedTenant {
            name,
            row: self.rows.get(place).copied().flatten(),
        });
        let by = self.by.get(index);
        Traced {
            plugin: by.and_then(|by| by.asked.as_deref()),
            tenant,
            schema: by.and_then(|by| by.written.as_deref()),
        }
    }
}

impl TracedTenant<'_> {
    /// The most bytes that a tenant of this name takes in a reply.
    pub const fn most_bytes(name: &str) -> usize {
        TENANT_BYTES + ESCAPED * name.len()
    }
}

/// What a table says of these tenants. `topic_of` has the topic of each record that this table places; what was said of the
/// others `before` stays.
pub(super) fn rows<'t>(
    tenants: &TenantRecords,
    now: &Now,
    topic_of: impl Fn(usize) -> Option<&'t TopicView>,
    before: &[Option<TracedRow>],
) -> Vec<Option<TracedRow>> {
    let Some(table) = now.table() else {
        return Vec::new();
    };
    let said = tenants.names().enumerate().map(|(place, (record, name))| {
        let Some(view) = topic_of(record) else {
            return before.get(place).copied().flatten();
        };
        let row = table
            .topic(&view.topic.name)
            .map(|rows| rows.find(name, table.hashing().of(name)));
        Some(TracedRow {
            version: table.version(),
            status: match row {
                None => "none",
                Some(row) if row.is_tail() => "tail",
                Some(row) => row.status().name(),
            },
        })
    });
    said.collect()
}

/// The most memory that the trace and its part of the reply take.
pub(super) fn bytes(by: &[By], tenants: &TenantRecords) -> usize {
    let asked = by.iter().filter_map(|by| by.asked.as_ref());
    let asked = asked.map(|pool| PLUGIN_BYTES + pool.name().len());
    let written = by.iter().filter_map(|by| by.written.as_ref());
    let written = written.map(|written| SCHEMA_BYTES + ESCAPED * written.subject.len());
    let told = tenants.names().map(|(_, name)| TracedTenant::most_bytes(name));
    let told = told.map(|bytes| bytes + size_of::<Option<TracedRow>>());
    let said = asked.sum::<usize>() + written.sum::<usize>() + told.sum::<usize>();
    size_of_val(by) + tenants.bytes() + said
}
