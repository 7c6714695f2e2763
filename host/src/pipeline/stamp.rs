//! `routing.stamp`: a header that says by which routing table a tenant's record went.

use bytes::Bytes;

use crate::{
    base::record::{HEADER_MEMORY, Header, Record, header_wire_size},
    topic::Destination,
};

/// The name of the header. Its value is the table's version in digits.
pub const STAMP: &str = "pointsman-route";
/// The digits of the largest version.
const DIGITS: usize = 20;
/// The most that the header takes, as `message.max.bytes` counts it. A record has room for this before a table is known, and
/// when another table comes.
const WIRE_BYTES: usize = header_wire_size(STAMP.len(), DIGITS);

/// Counts the header for a record that will have it.
pub(super) fn counted(destination: Destination) -> Destination {
    Destination {
        bytes: destination.bytes.saturating_add(WIRE_BYTES as u32),
        held: destination.held.saturating_add((WIRE_BYTES + HEADER_MEMORY) as u32),
        ..destination
    }
}

/// The header's value for this version.
pub(super) fn value(version: u64) -> Bytes {
    Bytes::from(version.to_string())
}

/// Adds the header behind all that the record has, one of the same name among them: who reads the last one reads this.
pub(super) fn put(record: &mut Record, value: &Bytes) {
    record.headers.push(Header {
        name: STAMP.into(),
        value: Some(value.clone()),
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_stamp_never_takes_more_than_was_counted_for_it() {
        for version in [1, 412, u64::MAX] {
            let mut record = Record {
                topic: Arc::from("t"),
                key: None,
                value: Some(Bytes::from_static(b"v")),
                headers: Vec::new(),
                partition: None,
                timestamp: None,
                schema: None,
            };
            let counted = counted(Destination {
                topic: 0,
                partition: 0,
                bytes: record.wire_size() as u32,
                held: record.queue_bytes() as u32,
                keyed: false,
                timestamp: None,
            });
            put(&mut record, &value(version));
            assert!(record.wire_size() <= counted.bytes as usize, "{version}");
            assert!(record.queue_bytes() <= counted.held as usize, "{version}");
            if version == u64::MAX {
                assert_eq!(record.queue_bytes(), counted.held as usize, "and no more is counted");
            }
        }
    }
}
