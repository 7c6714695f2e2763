use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;

use crate::bindings::pointsman::partitioner::{message, routes, selection, topology, types};

mod builder;

pub use builder::RecordBuilder;

/// The record that is being routed.
///
/// The key is there from the start. All else is fetched from the host when it is first asked for, and kept until the
/// call ends; a partitioner pays only for what it looks at.
///
/// In a test, [`Record::builder`] makes one that holds what it is given.
#[derive(Debug, Default)]
pub struct Record<'a> {
    key: Option<Cow<'a, [u8]>>,
    /// The record's place in a batch, until the host has been told to read this record.
    unselected: Cell<Option<u32>>,
    // An empty cell means "ask the host". A built record has none, so that it never does.
    topic: OnceCell<String>,
    value: OnceCell<Option<Vec<u8>>>,
    timestamp: OnceCell<Option<i64>>,
    headers: OnceCell<Vec<Header>>,
    schema_id: OnceCell<Option<SchemaId>>,
    /// What is inside the value of a built record; never filled from the host, which is asked field by field.
    fields: OnceCell<BTreeMap<String, String>>,
    leaderless: OnceCell<Vec<u32>>,
    queued_bytes: OnceCell<Vec<u64>>,
    /// The assignments of a built record; never filled from the host, which is asked tenant by tenant.
    routes: OnceCell<BTreeMap<String, Assignment>>,
}

impl<'a> Record<'a> {
    /// For tests: a record of this topic, without key, value, timestamp and headers until they are given.
    pub fn builder(topic: impl Into<String>) -> RecordBuilder {
        RecordBuilder {
            record: Record {
                key: None,
                unselected: Cell::default(),
                topic: topic.into().into(),
                value: None.into(),
                timestamp: None.into(),
                headers: Vec::new().into(),
                schema_id: None.into(),
                fields: BTreeMap::new().into(),
                leaderless: Vec::new().into(),
                queued_bytes: Vec::new().into(),
                routes: BTreeMap::new().into(),
            },
        }
    }

    pub(crate) fn from_host(key: Option<&'a [u8]>) -> Self {
        Self {
            key: key.map(Cow::Borrowed),
            ..Self::default()
        }
    }

    /// The record at this place of a batch.
    pub(crate) fn of_batch(key: Option<&'a [u8]>, place: u32) -> Self {
        Self {
            unselected: Cell::new(Some(place)),
            ..Self::from_host(key)
        }
    }

    /// Must be called before the host is asked for a part of this record.
    fn select(&self) {
        if let Some(place) = self.unselected.take() {
            selection::select(place);
        }
    }

    /// The key; `None` when the record has none, which is different from an empty one.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// The topic that the record is for.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.topic.get_or_init(|| {
            self.select();
            message::topic()
        })
    }

    /// The value, byte for byte as it will be produced; `None` when the record is a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        let value = self.value.get_or_init(|| {
            self.select();
            message::value()
        });
        value.as_deref()
    }

    /// The time that the application gave the record, in milliseconds since 1970-01-01T00:00:00Z; `None` when it gave
    /// none and the time of producing will be used.
    #[must_use]
    pub fn timestamp(&self) -> Option<i64> {
        *self.timestamp.get_or_init(|| {
            self.select();
            message::timestamp()
        })
    }

    /// The value of the last header of that name, upper and lower case being different; `None` when there is none. A
    /// header without a value gives no bytes.
    ///
    /// Only this one header is fetched from the host, each time that it is asked for, unless [`Record::headers`] has
    /// fetched them all.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        match self.headers.get() {
            None => {
                self.select();
                message::header(name).map(Cow::Owned)
            }
            Some(headers) => {
                let last = headers.iter().rfind(|header| header.name == name)?;
                Some(Cow::Borrowed(&last.value))
            }
        }
    }

    /// All headers, in the order in which the application gave them.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        self.headers.get_or_init(|| {
            self.select();
            let headers = message::headers().into_iter();
            headers
                .map(|header| Header {
                    name: header.name,
                    value: header.value,
                })
                .collect()
        })
    }

    /// The id of the schema that the value was written by, if the record's route checks that; `None` when the route has no
    /// schema for values, or when the host encodes values itself, after the decision.
    #[must_use]
    pub fn schema_id(&self) -> Option<&SchemaId> {
        let id = self.schema_id.get_or_init(|| {
            self.select();
            message::schema_id().map(SchemaId::from_host)
        });
        id.as_ref()
    }

    /// The text of the scalar at a JSON pointer (RFC 6901) inside the value, such as `/customer/id` or `/items/0/sku`. The host
    /// reads the value by its schema if it has one (Avro, Protobuf, JSON Schema), and else as JSON. A string gives its text; a
    /// number and a boolean give their JSON text.
    ///
    /// `None` when the value is a tombstone, or cannot be read, or has nothing at this place, or has null, an array or an object
    /// there. A value of more than 1 MiB as JSON cannot be read.
    ///
    /// The host is asked each time. It decodes the value of a record only once.
    ///
    /// # Panics
    ///
    /// If the text is no JSON pointer, or one of more than 64 steps. In a component this is a trap.
    ///
    /// # In a test
    ///
    /// A built record has the fields that it was given. What it was not given is read from the value as JSON.
    #[must_use]
    pub fn field(&self, pointer: &str) -> Option<String> {
        match self.fields.get() {
            None => {
                self.select();
                message::field(pointer)
            }
            Some(fields) => builder::field(self, fields, pointer),
        }
    }

    /// What the host knows about the partitions of the record's topic.
    #[must_use]
    pub fn topology(&self) -> Topology<'_> {
        Topology { record: self }
    }

    /// The routing table, as far as it is about the record's topic.
    #[must_use]
    pub fn routes(&self) -> Routes<'_> {
        Routes { record: self }
    }
}

/// One header of a record. There may be several of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its bytes; none when it has no value.
    pub value: Vec<u8>,
}

/// The id of a schema in a schema registry. [`Record::schema_id`] gives it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SchemaId {
    /// A number that the registry counts up.
    Number(u32),
    /// A GUID in lower-case hexadecimal with hyphens.
    Guid(String),
}

impl SchemaId {
    fn from_host(id: types::RegisteredId) -> Self {
        match id {
            types::RegisteredId::Number(number) => Self::Number(number),
            types::RegisteredId::Guid(guid) => Self::Guid(guid),
        }
    }
}

/// What the host knows about the partitions of the record's topic: from the producer's last metadata, so it may be some
/// seconds old. [`Record::topology`] gives it.
#[derive(Clone, Copy, Debug)]
pub struct Topology<'r> {
    record: &'r Record<'r>,
}

impl<'r> Topology<'r> {
    /// The partitions that have no leader at the moment, in rising order. Records sent there wait for one. Normally
    /// there are none.
    #[must_use]
    pub fn leaderless(&self) -> &'r [u32] {
        self.record.leaderless.get_or_init(topology::leaderless)
    }

    /// How many bytes wait in the producer for each partition, by partition. In a test, as long as what the builder
    /// was given.
    #[must_use]
    pub fn queued_bytes(&self) -> &'r [u64] {
        self.record.queued_bytes.get_or_init(topology::queued_bytes)
    }
}

/// The routing table, as far as it is about the record's topic. [`Record::routes`] gives it.
///
/// To follow the table, answer [`Decision::Tenant`](crate::Decision::Tenant); looking up is for partitioners that do
/// something of their own with it.
///
/// A partitioner that looks a tenant up and then answers a [`Decision::Partition`](crate::Decision::Partition) itself is
/// not covered by moves: its records do not wait while the tenant moves, so the tenant's order is not kept then. Answer
/// the tenant instead.
#[derive(Clone, Copy, Debug)]
pub struct Routes<'r> {
    record: &'r Record<'r>,
}

impl Routes<'_> {
    /// Where the tenant's records go; a tenant without a row of its own is placed by the row of tenant `*`. `None` when
    /// there is no routing table, or it has no rows of this topic. All look-ups of one call are answered from one table.
    ///
    /// What is found is true for the moment only: the tenant may be about to move. See [`Routes`].
    #[must_use]
    pub fn lookup(&self, tenant: &str) -> Option<Assignment> {
        match self.record.routes.get() {
            None => routes::lookup(tenant).map(Assignment::from_host),
            Some(routes) => routes.get(tenant).cloned(),
        }
    }
}

/// How a tenant is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// On partitions that other tenants use, too.
    Shared,
    /// On one or more partitions that no other tenant uses.
    Dedicated,
    /// Spread over several partitions by its records' shard keys.
    Sharded,
}

/// Where a tenant's records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// How the tenant is placed.
    pub status: Status,
    /// Its partitions, counted from 0; at least one.
    pub partitions: Vec<u32>,
    /// The version of the routing table that holds this assignment for the first time. Rises with every change.
    pub version: u64,
}

impl Assignment {
    fn from_host(assignment: routes::Assignment) -> Self {
        let status = match assignment.status {
            routes::Status::Shared => Status::Shared,
            routes::Status::Dedicated => Status::Dedicated,
            routes::Status::Sharded => Status::Sharded,
        };
        Self {
            status,
            partitions: assignment.partitions,
            version: assignment.version,
        }
    }
}
