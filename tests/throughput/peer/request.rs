//! The requests that the peer gets, made beforehand. Their records are the same as those of `pointsman load`.

use pointsman::tools::load::{key, object};
use serde_json::{Value, json};

use super::{COMPONENT, TOPIC};
use crate::{VALUE_BYTES, Values, rounds};

/// Whole HTTP/1.1 requests of this connection, to be sent in turn.
pub(super) fn of(values: Values, connections: usize, batch: usize, connection: usize) -> Vec<Vec<u8>> {
    let rounds = match values {
        Values::Text => 1,
        Values::Objects => rounds(connections, batch),
    };
    (0..rounds)
        .map(|round| one(values, connection, round * batch, batch))
        .collect()
}

/// The request with the connection's records from this one on.
pub(super) fn one(values: Values, connection: usize, first: usize, batch: usize) -> Vec<u8> {
    let (path, content_type, body) = match batch {
        1 => (
            format!(
                "/v1.0/publish/{COMPONENT}/{TOPIC}?metadata.rawPayload=true&metadata.partitionKey={}",
                key(connection, first)
            ),
            "text/plain",
            value(values, connection, first),
        ),
        _ => {
            let entries = (first..first + batch).map(|index| entry(values, connection, index));
            (
                format!("/v1.0-alpha1/publish/bulk/{COMPONENT}/{TOPIC}?metadata.rawPayload=true"),
                "application/json",
                Value::from_iter(entries).to_string(),
            )
        }
    };
    format!(
        "POST {path} HTTP/1.1\r\nhost: load\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// One record of a request. As text it is taken as it is; JSON would be parsed and written again.
fn entry(values: Values, connection: usize, index: usize) -> Value {
    json!({
        "entryId": index.to_string(),
        "event": value(values, connection, index),
        "contentType": "text/plain",
        "metadata": {"partitionKey": key(connection, index)},
    })
}

pub(super) fn value(values: Values, connection: usize, index: usize) -> String {
    match values {
        Values::Text => "x".repeat(VALUE_BYTES),
        Values::Objects => object(connection, index),
    }
}
