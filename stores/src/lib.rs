//! Where the routing table lives.
//!
//! A [`Store`] has one table. Many may read it; who changes it compares and sets: [`Store::apply`] takes changes only for
//! the epoch and version that they were made for. [`Store::claim`] raises the epoch, so that whoever wrote before can
//! write no more.
//!
//! | URL | | feature |
//! |---|---|---|
//! | `file:PATH` | [`mod@file`]: for one machine | `file` |
//! | `kafka:TOPIC` | [`kafka`]: a compacted topic, at the brokers that are there anyway | `kafka` |
//! | `redis://`, `rediss://` | [`redis`]: a few keys | `redis` |
//! | `zookeeper://` | [`zookeeper`]: a few hundred nodes below one path | `zookeeper` |
//!
//! All calls block, so a store has a thread of its own. [`Url`] says which store is meant; a URL is shown without its
//! password.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
#[cfg(feature = "file")]
pub mod file;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;
pub mod url;
#[cfg(feature = "zookeeper")]
pub mod zookeeper;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use pointsman_routing::{Change, Hashing, Head, Refused, Table, TableError};

pub use self::url::{Url, UrlError};

/// One routing table that several processes share.
pub trait Store: Send {
    /// The whole table, as it is now.
    fn load(&mut self) -> Result<Table, StoreError>;

    /// Waits until there may be another table than the one that the last call of this method or of [`Store::load`]
    /// returned, at most for `patience`, and returns it. `None`: there is no other one.
    ///
    /// A store tells of its changes by itself. In case it does not, it is looked at after [`Settings::poll`] as well.
    fn changed(&mut self, patience: Duration) -> Result<Option<Table>, StoreError>;

    /// Makes a table without rows, of this incarnation. There must be none yet.
    fn init(&mut self, incarnation: &str) -> Result<Table, StoreError>;

    /// Makes these changes, together or not at all, if the table still has this epoch and version.
    fn apply(&mut self, expected: (u64, u64), changes: Vec<Change>) -> Result<Table, StoreError>;

    /// Raises the epoch: changes that were made for an earlier one fail from now on.
    fn claim(&mut self) -> Result<Table, StoreError>;
}

/// Opens the store that a URL names. `brokers`: librdkafka's properties, for a table in Kafka. The error: this binary was
/// built without that store.
pub fn open(url: &Url, brokers: &BTreeMap<String, String>, settings: Settings) -> Result<Box<dyn Store>, UrlError> {
    url.is_built()?;
    match url {
        #[cfg(feature = "file")]
        Url::File(path) => Ok(Box::new(file::FileStore::new(path.clone(), settings))),
        #[cfg(feature = "kafka")]
        Url::Kafka(topic) => Ok(Box::new(kafka::KafkaStore::new(
            topic.clone(),
            brokers.clone(),
            settings,
        ))),
        #[cfg(feature = "redis")]
        Url::Redis(url) => Ok(Box::new(redis::RedisStore::new(url.clone(), settings))),
        #[cfg(feature = "zookeeper")]
        Url::Zookeeper(url) => Ok(Box::new(zookeeper::ZookeeperStore::new(url.clone(), settings))),
        #[cfg(not(all(feature = "file", feature = "kafka", feature = "redis", feature = "zookeeper")))]
        _ => {
            // Without Kafka, nobody needs them.
            let _ = (brokers, settings);
            Err(UrlError::not_built("this store"))
        }
    }
}

/// What all stores need.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long to trust that the store tells of its changes.
    pub poll: Duration,
    /// For the tables.
    pub hashing: Hashing,
}

/// Why a store did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or does not answer.
    #[error("it cannot be reached: {0}")]
    Away(String),
    /// It has no table.
    #[error("there is no routing table yet; `pointsman routes init` makes it")]
    NoTable,
    /// It has a table already.
    #[error("there is a routing table already, of version {version}; to begin anew, remove it first")]
    HasTable {
        /// Its version.
        version: u64,
    },
    /// What it has is no table.
    #[error(transparent)]
    Bad(#[from] TableError),
    /// A change is larger than the store can take.
    #[error("the change is too large for the store: {0}")]
    TooLarge(String),
    /// It does not make a change.
    #[error(transparent)]
    Refused(Refused),
}

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// Which table a store returned last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known(Option<(Arc<str>, u64, u64)>);

impl Known {
    /// Notes that this table is returned now. Whether it is another one than before.
    pub(crate) fn is_another(&mut self, table: &Table) -> bool {
        let now = Some((Arc::clone(table.incarnation()), table.epoch(), table.version()));
        let before = std::mem::replace(&mut self.0, now);
        before != self.0
    }
}

/// A table without rows, if there is none yet.
pub(crate) fn made(table: Option<&Table>, incarnation: &str, hashing: &Hashing) -> Result<Table, StoreError> {
    match table {
        Some(table) => Err(StoreError::HasTable {
            version: table.version(),
        }),
        None => Ok(Table::empty(incarnation, hashing.clone())),
    }
}

/// The table under the next epoch.
pub(crate) fn claimed(table: Option<&Table>) -> Result<Table, StoreError> {
    let table = table.ok_or(StoreError::NoTable)?;
    let head = Head {
        epoch: table.epoch() + 1,
        ..table.head()
    };
    Ok(table.with(&head, &[])?)
}

/// Makes changes of a table if it still has this epoch and version.
pub(crate) fn changed(
    table: &Table,
    expected: (u64, u64),
    changes: Vec<Change>,
) -> Result<(Table, Vec<Change>), StoreError> {
    let now = (table.epoch(), table.version());
    if now != expected {
        return Err(Refused::Outdated { expected, now }.into());
    }
    Ok(table.apply(changes)?)
}
