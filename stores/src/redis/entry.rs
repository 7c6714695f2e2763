//! Entries of the stream: what a change did.

use pointsman_routing::{Change, Head, Row};
use redis::Value;
use serde::{Deserialize, Serialize};

/// An entry of a change of more rows, or of more bytes, tells only that all is to be read anew.
const MOST_ROWS: usize = 100;
const MOST_BYTES: usize = 16 << 10;

/// What a change did, as JSON in the stream.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The head before; none: the table was made.
    from: Option<Head>,
    /// The head after.
    head: Head,
    /// What became of the rows; none: there are too many to tell.
    rows: Option<Vec<Changed>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Changed {
    Put(Row),
    /// Topic and tenant.
    Remove(String, String),
}

impl Entry {
    pub(super) fn new(from: Option<Head>, head: Head, changes: Vec<Change>) -> Self {
        let rows = (changes.len() <= MOST_ROWS).then(|| changes.into_iter().map(Changed::from).collect());
        Self { from, head, rows }
    }

    pub(super) fn write(mut self) -> String {
        // The keys are strings, so it can always be written.
        let json = serde_json::to_string(&self).unwrap_or_default();
        if json.len() <= MOST_BYTES {
            return json;
        }
        self.rows = None;
        serde_json::to_string(&self).unwrap_or_default()
    }

    /// `None` if it was written by something else.
    pub(super) fn read(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// The changes, if they begin at this head and are all there.
    pub(super) fn changes_after(&self, head: &Head) -> Option<Vec<Change>> {
        if self.from.as_ref() != Some(head) || self.head.incarnation != head.incarnation {
            return None;
        }
        let changes = self.rows.as_ref()?.iter().map(|changed| match changed {
            Changed::Put(row) => Change::Put(row.clone()),
            Changed::Remove(topic, tenant) => Change::Remove {
                topic: topic.clone(),
                tenant: tenant.clone(),
            },
        });
        Some(changes.collect())
    }
}

impl From<Change> for Changed {
    fn from(change: Change) -> Self {
        match change {
            Change::Put(row) => Self::Put(row),
            Change::Remove { topic, tenant } => Self::Remove(topic, tenant),
        }
    }
}

/// The entries in an answer of XREAD, with their ids: `[[key, [[id, [field, value]], …]]]`, or nil.
pub(super) fn entries(read: &Value) -> Vec<(String, String)> {
    let streams = items(read).iter().filter_map(|stream| items(stream).get(1));
    let entries = streams.flat_map(items);
    entries.filter_map(id_and_json).collect()
}

/// The id of the first entry in an answer of XREVRANGE: `[[id, [field, value]]]`.
pub(super) fn last_id(read: &Value) -> Option<String> {
    text(items(items(read).first()?).first()?)
}

fn id_and_json(entry: &Value) -> Option<(String, String)> {
    let [id, fields] = items(entry) else { return None };
    // Another field than ours makes the reader read anew.
    let json = items(fields).get(1).and_then(text).unwrap_or_default();
    Some((text(id)?, json))
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        _ => &[],
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}
