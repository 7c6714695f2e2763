//! Reads the topic to its end.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use pointsman_routing::{Change, Hashing, Head, Row, Table, document::MOST_ROWS};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::BorrowedMessage,
};

use super::away;
use crate::StoreError;

/// What a reader sets itself. The buffers are small, since it stands beside an application.
pub(super) const OWN: &[(&str, &str)] = &[
    // It must have one, and is not in it.
    ("group.id", "pointsman-routes"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("isolation.level", "read_committed"),
    ("enable.partition.eof", "true"),
    ("auto.offset.reset", "error"),
    // A topic that is not there is not waited for: it is told that there is no table.
    ("topic.metadata.propagation.max.ms", "1000"),
    // The end is known only when a fetch brings nothing, which takes this long.
    ("fetch.wait.max.ms", "50"),
    ("fetch.error.backoff.ms", "50"),
    ("queued.max.messages.kbytes", "1024"),
    ("fetch.message.max.bytes", "262144"),
    // Otherwise a full buffer of that size would stop the reading for a second each time.
    ("fetch.queue.backoff.ms", "2"),
];

const PARTITION: i32 = 0;
/// A prefix of the keys of rows.
pub(super) const ROW: &str = "row/";
pub(super) const HEAD: &str = "head";

/// See the [module](self).
pub(super) struct Reader {
    consumer: BaseConsumer,
    topic: String,
    hashing: Hashing,
    /// The table of the last head, once the end was reached.
    table: Option<Table>,
    /// By key: what came since that table.
    pending: BTreeMap<String, Change>,
    /// The last head since that table.
    head: Option<Head>,
    at_the_end: bool,
    /// The offset after the last record that was read.
    next: Offset,
    /// Whether a head has come whose rows are not all there: compaction has removed some, and later ones follow.
    is_behind: bool,
}

impl Reader {
    pub(super) fn new(config: &ClientConfig, topic: &str, hashing: Hashing) -> Result<Self, StoreError> {
        let consumer: BaseConsumer = config.create().map_err(|error| away("read", topic, &error))?;
        let mut from = TopicPartitionList::new();
        let assigned = from.add_partition_offset(topic, PARTITION, Offset::Beginning);
        let assigned = assigned.and_then(|()| consumer.assign(&from));
        assigned.map_err(|error| away("read", topic, &error))?;
        Ok(Self {
            consumer,
            topic: topic.to_owned(),
            hashing,
            table: None,
            pending: BTreeMap::new(),
            head: None,
            at_the_end: false,
            next: Offset::Beginning,
            is_behind: false,
        })
    }

    /// Waits for the next table, at most for `patience`. After an error the reader must not be used again.
    pub(super) fn next(&mut self, patience: Duration) -> Result<Option<Table>, StoreError> {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            self.poll(left)?;
            match self.head.clone() {
                // Nearly always all its rows are there.
                Some(head) if !self.is_behind => match self.table_of(&head) {
                    Ok(table) => return Ok(Some(self.take(table))),
                    Err(_) => self.is_behind = true,
                },
                Some(head) if self.at_the_end => {
                    let table = self.table_of(&head)?;
                    return Ok(Some(self.take(table)));
                }
                _ => {}
            }
            if left.is_zero() {
                return Ok(None);
            }
        }
    }

    /// Reads to the end, and returns the table; `None` if there is none. A new reader reads at least what was there when it
    /// was made.
    pub(super) fn read_to_end(&mut self, patience: Duration) -> Result<Option<Table>, StoreError> {
        let until = Instant::now() + patience;
        while !self.at_the_end {
            if Instant::now() > until {
                return Err(StoreError::Away(format!(
                    "topic \"{}\" could not be read to its end in {patience:?}",
                    self.topic
                )));
            }
            self.poll(Duration::from_millis(100))?;
        }
        let Some(head) = self.head.clone() else {
            return Ok(None);
        };
        let table = self.table_of(&head)?;
        Ok(Some(self.take(table)))
    }

    /// Reads at least what is there now, and returns the table; `None` if there is none. A reader that rests at the end does not
    /// know how far the end has moved since, so it asks anew from where it stands.
    pub(super) fn catch_up(&mut self, patience: Duration) -> Result<Option<Table>, StoreError> {
        let sought = self.consumer.seek(&self.topic, PARTITION, self.next, patience);
        sought.map_err(|error| away("read", &self.topic, &error))?;
        self.at_the_end = false;
        let table = self.read_to_end(patience)?;
        Ok(table.or_else(|| self.table.clone()))
    }

    fn table_of(&self, head: &Head) -> Result<Table, StoreError> {
        let changes: Vec<Change> = self.pending.values().cloned().collect();
        let before = match &self.table {
            // Another table may have been begun in the same topic.
            Some(table) if **table.incarnation() == *head.incarnation => table.clone(),
            _ => Table::empty(&head.incarnation, self.hashing.clone()),
        };
        Ok(before.with(head, &changes)?)
    }

    /// What comes from now on comes after this table.
    fn take(&mut self, table: Table) -> Table {
        self.pending.clear();
        self.head = None;
        self.is_behind = false;
        self.table = Some(table.clone());
        table
    }

    fn poll(&mut self, patience: Duration) -> Result<(), StoreError> {
        let message = match self.consumer.poll(patience) {
            None => return Ok(()),
            Some(Ok(message)) => message,
            Some(Err(KafkaError::PartitionEOF(_))) => {
                self.at_the_end = true;
                return Ok(());
            }
            Some(Err(error)) => return Err(away("read", &self.topic, &error)),
        };
        let read = Self::read(&message, &self.topic)?;
        let next = Offset::Offset(message.offset() + 1);
        drop(message);
        self.next = next;
        self.at_the_end = false;
        match read {
            Read::Head(head) => self.head = Some(head),
            Read::Row(key, change) => {
                self.pending.insert(key, change);
                if self.pending.len() > 2 * MOST_ROWS {
                    return Err(StoreError::Away(format!("topic \"{}\" has too many rows", self.topic)));
                }
            }
            Read::Other => {}
        }
        Ok(())
    }

    fn read(message: &BorrowedMessage<'_>, topic: &str) -> Result<Read, StoreError> {
        let Some(Ok(key)) = message.key_view::<str>() else {
            return Ok(Read::Other);
        };
        if key == HEAD {
            let head = message.payload().unwrap_or_default();
            return Ok(Read::Head(Head::read(head)?));
        }
        let Some((row_topic, tenant)) = key.strip_prefix(ROW).and_then(|names| names.split_once('/')) else {
            return Ok(Read::Other);
        };
        let change = match message.payload() {
            None => Change::Remove {
                topic: row_topic.to_owned(),
                tenant: tenant.to_owned(),
            },
            Some(json) => {
                let row = Row::read(json)?;
                if (&*row.topic, &*row.tenant) != (row_topic, tenant) {
                    return Err(StoreError::Away(format!(
                        "topic \"{topic}\" has another row under the key {key:?}"
                    )));
                }
                Change::Put(row)
            }
        };
        Ok(Read::Row(key.to_owned(), change))
    }
}

enum Read {
    Head(Head),
    Row(String, Change),
    Other,
}
