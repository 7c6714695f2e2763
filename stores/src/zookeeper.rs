//! A table in ZooKeeper.
//!
//! | node | data |
//! |---|---|
//! | `PATH/head` | the head as JSON |
//! | `PATH/rows/TOPIC` | an index as JSON: for each shard, `00` to `ff`, the version and mark of its node |
//! | `PATH/rows/TOPIC/SHARD-VERSION-MARK` | the rows of a shard as a JSON list |
//!
//! A row's shard is the positive [`murmur2`](pointsman_routing::murmur2) of the tenant's name, modulo 256.
//!
//! A request to ZooKeeper has at most 1 MiB, and a large change is larger. So the node of a shard never changes: a change
//! makes new nodes, and then points to them. Pointing is one multi, which sets the head, if it is still the one that the change
//! was made for, and the indexes. The new nodes come in the same multi if they fit, which is the rule; otherwise in several
//! before, where nobody reads them. A change that fails in between leaves nodes that no index has; [later changes](writing)
//! remove them.
//!
//! A reader watches the head. It reads indexes and the nodes that are new to it, and reads the head again: if that is another
//! one by now, it begins anew with what it has. Nodes never change, so it always comes to an end.
//!
//! A session has a thread of its own, which ends with it. A session that has expired is replaced.

mod nodes;
mod reading;
mod session;
mod writing;

use std::time::{Duration, Instant};

use pointsman_routing::{Change, Table};
use zookeeper_client::Error;

use self::{
    nodes::Paths,
    reading::{At, Seen},
    session::{Session, Watch},
};
use crate::{Known, Settings, Store, StoreError, changed, claimed, made, url::ZookeeperUrl};

/// A change is tried anew, and a table read anew, for this long if others come first.
const PATIENCE: Duration = Duration::from_secs(60);

/// A table in ZooKeeper; see the [module](self).
pub struct ZookeeperStore {
    url: ZookeeperUrl,
    settings: Settings,
    paths: Paths,
    /// Rings when the head changes.
    watch: Option<Watch>,
    session: Option<Session>,
    /// What was read last, or written by this client.
    seen: Option<Seen>,
    /// What a call that waits for others returned last.
    known: Known,
    /// When the head was last looked at.
    looked: Instant,
}

/// Why something was not done.
enum Failure {
    /// ZooKeeper says so.
    Zookeeper(Error),
    /// Everything else.
    Store(StoreError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Zookeeper(error)
    }
}

impl<E: Into<StoreError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}

impl ZookeeperStore {
    /// The table at this URL.
    pub fn new(url: ZookeeperUrl, settings: Settings) -> Self {
        Self {
            paths: Paths::below(&url.path),
            url,
            settings,
            watch: None,
            session: None,
            seen: None,
            known: Known::default(),
            looked: Instant::now(),
        }
    }

    /// Does something in the session, which is made if there is none, and given up after an error.
    fn over<T>(&mut self, what: impl FnOnce(&Session, &mut Self) -> Result<T, Failure>) -> Result<T, StoreError> {
        self.try_over(what).map_err(|failure| self.told(failure))
    }

    fn try_over<T>(&mut self, what: impl FnOnce(&Session, &mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        let session = match self.session.take() {
            Some(session) => session,
            None => Session::open(&self.url.servers())?,
        };
        let done = what(&session, self);
        match done {
            Ok(_) => self.session = Some(session),
            Err(_) => self.watch = None,
        }
        done
    }

    /// Looks at the head, and watches it. `None`: there is none.
    fn look(&mut self) -> Result<Option<At>, StoreError> {
        fn look(session: &Session, store: &mut ZookeeperStore) -> Result<Option<At>, Failure> {
            // Another server of the ensemble may be ahead of this one.
            session.run(session.client().sync(&store.paths.head))?;
            store.looked = Instant::now();
            match session.head(&store.paths.head) {
                Ok((_, at, watch)) => {
                    store.watch = Some(watch);
                    Ok(Some(at))
                }
                Err(Error::NoNode) => Ok(None),
                Err(error) => Err(error.into()),
            }
        }
        let had_session = self.session.is_some();
        match self.try_over(look) {
            // It may have expired since the last call.
            Err(Failure::Zookeeper(error)) if had_session && error != Error::Timeout => self.over(look),
            looked => looked.map_err(|failure| self.told(failure)),
        }
    }

    /// The table as it is now; `None` if there is none.
    fn now(&mut self) -> Result<Option<&Seen>, StoreError> {
        let Some(at) = self.look()? else {
            return Ok(None);
        };
        if self.seen.as_ref().is_none_or(|seen| seen.at != at) {
            self.read()?;
        }
        Ok(self.seen.as_ref())
    }

    fn read(&mut self) -> Result<(), StoreError> {
        let before = self.seen.take();
        let (seen, watch) =
            self.over(|session, store| reading::read(session, &store.paths, before.as_ref(), &store.settings.hashing))?;
        self.seen = Some(seen);
        self.watch = Some(watch);
        Ok(())
    }

    /// The table that was read last, if it is not the one that is known.
    fn unknown(&mut self) -> Option<Table> {
        let table = &self.seen.as_ref()?.table;
        self.known.is_another(table).then(|| table.clone())
    }

    fn change(
        &mut self,
        change: impl Fn(Option<&Table>) -> Result<(Table, Vec<Change>), StoreError>,
    ) -> Result<Table, StoreError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let now = self.now()?;
            let (table, changes) = change(now.map(|seen| &seen.table))?;
            let before = self.seen.take();
            let written = self.over(|session, store| {
                let paths = &store.paths;
                match &before {
                    Some(before) => writing::write(session, paths, before, table, &changes),
                    None => writing::begin(session, paths, table),
                }
            })?;
            if let Some(seen) = written {
                return Ok(self.seen.insert(seen).table.clone());
            }
            // Somebody else was faster. What was read is still good to read on from.
            self.seen = before;
            if Instant::now() > until {
                return Err(StoreError::Away("others change the table all the time".to_owned()));
            }
        }
    }

    fn told(&self, failure: Failure) -> StoreError {
        let error = match failure {
            Failure::Store(error) => return error,
            Failure::Zookeeper(error) => error,
        };
        let told = match error {
            Error::NoHosts => "no server takes a connection".to_owned(),
            Error::Timeout => format!("no answer within {} s", session::TIMEOUT.as_secs()),
            error => error.to_string(),
        };
        StoreError::Away(format!("ZooKeeper at {}: {told}", self.url.servers()))
    }
}

impl Store for ZookeeperStore {
    fn load(&mut self) -> Result<Table, StoreError> {
        let table = self.now()?.ok_or(StoreError::NoTable)?.table.clone();
        self.unknown();
        Ok(table)
    }

    fn changed(&mut self, patience: Duration) -> Result<Option<Table>, StoreError> {
        let until = Instant::now() + patience;
        loop {
            let is_due = self.looked.elapsed() >= self.settings.poll;
            if self.session.is_none() || self.watch.is_none() || is_due {
                let before = self.seen.as_ref().map(|seen| seen.at);
                let now = self.now()?.ok_or(StoreError::NoTable)?.at;
                if before.is_some_and(|before| before != now) {
                    // It may have other rows under the version that is known.
                    self.unknown();
                    return Ok(self.seen.as_ref().map(|seen| seen.table.clone()));
                }
            }
            // Also what this client has changed itself.
            if let Some(table) = self.unknown() {
                return Ok(Some(table));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let wait = left.min(self.settings.poll.saturating_sub(self.looked.elapsed()));
            if let (Some(session), Some(watch)) = (&mut self.session, &mut self.watch)
                && session.wait(watch, wait)
            {
                self.watch = None;
            }
        }
    }

    fn init(&mut self, incarnation: &str) -> Result<Table, StoreError> {
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
