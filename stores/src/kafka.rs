//! A table in a compacted topic of one partition, at the brokers that the sidecar uses anyway.
//!
//! | key | value |
//! |---|---|
//! | `row/TOPIC/TENANT` | the row as JSON; none: it was removed |
//! | `head` | the head, the last record of each change |
//!
//! A reader has no group. It reads committed records up to the end, and only there makes a table: compaction may have removed
//! rows that an older head counts. A writer has the transactional id `pointsman-TOPIC`, so a second one fences the first. It
//! reads to the end, compares, and writes rows and head in one transaction.

mod reader;
mod writer;

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use pointsman_routing::{Change, Table};
use rdkafka::{ClientConfig, error::KafkaError, types::RDKafkaErrorCode};

use self::{reader::Reader, writer::Writer};
use crate::{Known, Settings, Store, StoreError, changed, claimed, made};

/// How long brokers may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A change is tried anew for this long if other writers fence this one meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest pause before the first try anew; it doubles with each. Writers that pause for equally long would fence each
/// other for ever.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// A table in a topic; see the [module](self).
pub struct KafkaStore {
    topic: String,
    settings: Settings,
    /// The properties of the brokers and their credentials, under librdkafka's names.
    brokers: BTreeMap<String, String>,
    reader: Option<Reader>,
    /// The reader that changes go by, which has read to the end before.
    before_changes: Option<Reader>,
    writer: Option<Writer>,
    known: Known,
}

impl KafkaStore {
    /// The table in this topic.
    pub fn new(topic: String, brokers: BTreeMap<String, String>, settings: Settings) -> Self {
        Self {
            topic,
            settings,
            brokers,
            reader: None,
            before_changes: None,
            writer: None,
            known: Known::default(),
        }
    }

    /// The brokers, with what a client sets itself. Properties of a producer are left out.
    fn config(&self, own: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (key, value) in &self.brokers {
            if is_for_all(key) {
                config.set(key, value);
            }
        }
        config.set("client.id", "pointsman-routes");
        own.iter().for_each(|(key, value)| {
            config.set(*key, *value);
        });
        config
    }

    fn new_reader(&self) -> Result<Reader, StoreError> {
        Reader::new(&self.config(reader::OWN), &self.topic, self.settings.hashing.clone())
    }

    /// The table as it is now; `None` if there is none.
    fn now(&mut self) -> Result<Option<Table>, StoreError> {
        if let Some(mut reader) = self.before_changes.take()
            && let Ok(table) = reader.catch_up(TIMEOUT)
        {
            self.before_changes = Some(reader);
            return Ok(table);
        }
        // The first time, or the topic is another one by now.
        let mut reader = self.new_reader()?;
        let table = reader.read_to_end(TIMEOUT)?;
        self.before_changes = Some(reader);
        Ok(table)
    }

    fn change(
        &mut self,
        change: impl Fn(Option<&Table>) -> Result<(Table, Vec<Change>), StoreError>,
    ) -> Result<Table, StoreError> {
        let until = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        loop {
            let mut writer = match self.writer.take() {
                Some(writer) => writer,
                None => {
                    // A new writer fences others, which is not worth it where the change is too late already.
                    change(self.now()?.as_ref())?;
                    Writer::new(&self.config(writer::OWN), &self.topic)?
                }
            };
            // After the writer was made, nobody else's transaction can be committed any more.
            let now = self.now()?;
            let (table, changes) = change(now.as_ref())?;
            match writer.write(&table.head(), &changes) {
                Ok(()) => {
                    self.writer = Some(writer);
                    return Ok(table);
                }
                Err(error) if Instant::now() > until => return Err(error),
                Err(_) => {
                    thread::sleep(pause.mul_f64(fastrand::f64()));
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

impl Store for KafkaStore {
    fn load(&mut self) -> Result<Table, StoreError> {
        let mut reader = self.new_reader()?;
        let table = reader.read_to_end(TIMEOUT)?.ok_or(StoreError::NoTable)?;
        self.reader = Some(reader);
        self.known.is_another(&table);
        Ok(table)
    }

    fn changed(&mut self, patience: Duration) -> Result<Option<Table>, StoreError> {
        // A reader that fails here is made anew.
        let Some(mut reader) = self.reader.take() else {
            let before = self.known.clone();
            let table = self.load()?;
            return Ok((before != self.known).then_some(table));
        };
        let table = reader.next(patience)?;
        self.reader = Some(reader);
        Ok(table.filter(|table| self.known.is_another(table)))
    }

    fn init(&mut self, incarnation: &str) -> Result<Table, StoreError> {
        writer::make_topic(&self.config(&[]), &self.topic)?;
        let hashing = self.settings.hashing.clone();
        self.change(|table| Ok((made(table, incarnation, &hashing)?, Vec::new())))
    }

    fn apply(&mut self, expected: (u64, u64), changes: Vec<Change>) -> Result<Table, StoreError> {
        self.change(|table| changed(table.ok_or(StoreError::NoTable)?, expected, changes.clone()))
    }

    fn claim(&mut self) -> Result<Table, StoreError> {
        self.change(|table| Ok((claimed(table)?, Vec::new())))
    }
}

/// Whether a property is about brokers and credentials, and so for every client.
fn is_for_all(key: &str) -> bool {
    const PREFIXES: [&str; 6] = [
        "bootstrap.servers",
        "security.",
        "sasl.",
        "ssl.",
        "socket.",
        "broker.address.",
    ];
    PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// The error of a client, for people.
fn away(what: &str, topic: &str, error: &KafkaError) -> StoreError {
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownTopicOrPartition) {
        return StoreError::NoTable;
    }
    StoreError::Away(format!("topic \"{topic}\" cannot be {what}: {error}"))
}
