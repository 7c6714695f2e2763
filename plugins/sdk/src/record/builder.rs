use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{Assignment, Header, Record, SchemaId};

/// Puts together a [`Record`] for a test. Got by [`Record::builder`].
///
/// ```
/// # use pointsman_plugin::{Assignment, Record, Status};
/// let record = Record::builder("orders")
///     .key("o-17")
///     .value(r#"{"total": 3}"#)
///     .header("region", "eu")
///     .timestamp(1_700_000_000_000)
///     .leaderless([2])
///     .queued_bytes([0, 900, 0])
///     .route("acme", Assignment { status: Status::Dedicated, partitions: vec![1], version: 4 })
///     .build();
/// assert_eq!(record.key(), Some("o-17".as_bytes()));
/// assert_eq!(record.topology().leaderless(), [2]);
/// ```
#[derive(Debug)]
#[must_use]
pub struct RecordBuilder {
    pub(super) record: Record<'static>,
}

impl RecordBuilder {
    /// Gives the record a key, as bytes or text.
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.record.key = Some(Cow::Owned(key.into()));
        self
    }

    /// Gives the record a value, as bytes or text. Without one it is a tombstone.
    pub fn value(mut self, value: impl Into<Vec<u8>>) -> Self {
        self.record.value = Some(value.into()).into();
        self
    }

    /// Gives the record one more header, after those that it has.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        let header = Header {
            name: name.into(),
            value: value.into(),
        };
        let mut headers = self.record.headers.take().unwrap_or_default();
        headers.push(header);
        self.record.headers = headers.into();
        self
    }

    /// Says by which schema the value was written.
    pub fn schema_id(mut self, id: SchemaId) -> Self {
        self.record.schema_id = Some(id).into();
        self
    }

    /// Says what is inside the value at a JSON pointer. So a test needs neither a schema nor an encoded value.
    pub fn field(mut self, pointer: impl Into<String>, text: impl Into<String>) -> Self {
        let mut fields = self.record.fields.take().unwrap_or_default();
        fields.insert(pointer.into(), text.into());
        self.record.fields = fields.into();
        self
    }

    /// Gives the record a time, in milliseconds since 1970-01-01T00:00:00Z.
    pub fn timestamp(mut self, milliseconds: i64) -> Self {
        self.record.timestamp = Some(milliseconds).into();
        self
    }

    /// Says which partitions have no leader.
    pub fn leaderless(mut self, partitions: impl Into<Vec<u32>>) -> Self {
        self.record.leaderless = partitions.into().into();
        self
    }

    /// Says how many bytes wait for each partition.
    pub fn queued_bytes(mut self, by_partition: impl Into<Vec<u64>>) -> Self {
        self.record.queued_bytes = by_partition.into().into();
        self
    }

    /// Puts a tenant into the routing table.
    pub fn route(mut self, tenant: impl Into<String>, assignment: Assignment) -> Self {
        let mut routes = self.record.routes.take().unwrap_or_default();
        routes.insert(tenant.into(), assignment);
        self.record.routes = routes.into();
        self
    }

    /// The record.
    #[must_use]
    pub fn build(self) -> Record<'static> {
        self.record
    }
}

/// The text at a place inside a built record's value: what it was given, or what its value has there as JSON.
#[cfg(not(target_family = "wasm"))]
pub(super) fn field(record: &Record<'_>, fields: &BTreeMap<String, String>, pointer: &str) -> Option<String> {
    let read = json_pointer::Pointer::parse(pointer).unwrap_or_else(|wrong| panic!("{wrong}"));
    let given = || fields.get(pointer).cloned();
    let in_value = || String::from_utf8(read.text_in(record.value()?).ok()?).ok();
    given().or_else(in_value)
}

/// A component gets its records from the host, and need not be able to read JSON for tests.
#[cfg(target_family = "wasm")]
pub(super) fn field(_: &Record<'_>, fields: &BTreeMap<String, String>, pointer: &str) -> Option<String> {
    fields.get(pointer).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;

    // Here, asking the host ends the process, so this also shows that a built record never asks.
    #[test]
    fn a_built_record_holds_what_it_was_given_and_nothing_else() {
        let bare = Record::builder("t").build();
        assert_eq!(
            (bare.topic(), bare.key(), bare.value(), bare.timestamp()),
            ("t", None, None, None)
        );
        assert_eq!((bare.header("h"), bare.headers().len()), (None, 0));
        assert!(bare.topology().leaderless().is_empty() && bare.topology().queued_bytes().is_empty());
        assert_eq!(bare.routes().lookup("acme"), None);
        assert_eq!((bare.schema_id(), bare.field("/id")), (None, None));

        let assignment = Assignment {
            status: Status::Sharded,
            partitions: vec![1, 2],
            version: 9,
        };
        let full = Record::builder("t")
            .key("")
            .value(b"v")
            .timestamp(-1)
            .leaderless([0])
            .queued_bytes([5])
            .route("acme", assignment.clone())
            .build();
        assert_eq!(
            (full.key(), full.value(), full.timestamp()),
            (Some(&b""[..]), Some(&b"v"[..]), Some(-1))
        );
        assert_eq!(
            (full.topology().leaderless(), full.topology().queued_bytes()),
            (&[0][..], &[5][..])
        );
        assert_eq!(full.routes().lookup("acme"), Some(assignment));
    }

    #[test]
    fn of_headers_with_one_name_the_last_is_given() {
        let record = Record::builder("t")
            .header("h", "1")
            .header("H", "2")
            .header("h", "3")
            .build();
        assert_eq!(record.header("h").as_deref(), Some(&b"3"[..]));
        assert_eq!(record.header("H").as_deref(), Some(&b"2"[..]));
        assert_eq!(record.headers().len(), 3);
    }

    #[test]
    fn a_built_record_has_the_fields_that_it_was_given_and_those_of_its_value() {
        let record = Record::builder("t")
            .value(r#"{"id": 7, "name": "zoe", "all": []}"#)
            .schema_id(SchemaId::Number(3))
            .field("/name", "zoë")
            .build();
        assert_eq!(record.schema_id(), Some(&SchemaId::Number(3)));
        let field = |pointer| record.field(pointer);
        assert_eq!(
            (field("/name").as_deref(), field("/id").as_deref()),
            (Some("zoë"), Some("7"))
        );
        assert_eq!((field("/all"), field("/other")), (None, None));
        let encoded = Record::builder("t").value(b"\x02a").field("/id", "a").build();
        assert_eq!(
            (encoded.field("/id").as_deref(), encoded.field("/x")),
            (Some("a"), None)
        );
    }

    #[test]
    #[should_panic(expected = "write `/id`")]
    fn a_test_meets_a_wrong_pointer_as_the_host_would() {
        let _ = Record::builder("t").value("{}").build().field("id");
    }
}
