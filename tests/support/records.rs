//! Records for tests that ask a plugin without a sidecar.

use std::sync::Arc;

use bytes::Bytes;
use pointsman::base::record::Record;

/// A record of topic `t` with this key and nothing else.
pub(crate) fn keyed(key: &'static str) -> Record {
    Record {
        topic: Arc::from("t"),
        key: Some(Bytes::from_static(key.as_bytes())),
        value: None,
        headers: Vec::new(),
        partition: None,
        timestamp: None,
        schema: None,
    }
}
