//! Reads tables from the store, and decides which of them may be used.

use std::{
    sync::{Arc, mpsc::SyncSender},
    thread,
    time::{Duration, Instant},
};

use pointsman_routing::Table;
use pointsman_stores::{Store, StoreError};

use super::{events, follower::Follower, saved::Saved};

/// The first pause after the store could not be used; it doubles, up to the store's poll.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// How long one wait for a change is.
const PATIENCE: Duration = Duration::from_millis(500);

/// See the [module](self).
pub(super) struct Reading {
    store: Box<dyn Store>,
    saved: Option<Saved>,
    follower: Arc<Follower>,
    /// Where tables go that may be used.
    tables: SyncSender<Arc<Table>>,
    /// The last of them.
    current: Option<Arc<Table>>,
    pause: Duration,
    longest_pause: Duration,
}

/// Why a table is not used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotUsed {
    /// It is older.
    #[error(
        "the store has gone back: it has epoch {}, version {}, and epoch {}, version {} was there before; restore the \
         newer table, or make a new one with a higher version",
        now.0, now.1, before.0, before.1
    )]
    Older {
        /// Epoch and version in the store.
        now: (u64, u64),
        /// Epoch and version of the table in use.
        before: (u64, u64),
    },
    /// It is of another store.
    #[error(
        "the store has the table of another incarnation, \"{now}\" instead of \"{before}\"; if that is meant, restart the \
         sidecar, without the old table in routing.state_dir"
    )]
    OtherIncarnation {
        /// The one in the store.
        now: String,
        /// The one in use.
        before: String,
    },
    /// It has the same version and other rows.
    #[error(
        "the rows have changed, and the version {version} has not; raise \"version\" with each change, or use \
         `pointsman routes set`"
    )]
    SameVersion {
        /// That version.
        version: u64,
    },
}

/// Whether a table may replace another. False: it is the same one.
pub(super) fn replaces(before: &Table, now: &Table) -> Result<bool, NotUsed> {
    if now.incarnation() != before.incarnation() {
        return Err(NotUsed::OtherIncarnation {
            now: now.incarnation().to_string(),
            before: before.incarnation().to_string(),
        });
    }
    let of = |table: &Table| (table.epoch(), table.version());
    if now.epoch() < before.epoch() || now.version() < before.version() {
        return Err(NotUsed::Older {
            now: of(now),
            before: of(before),
        });
    }
    if of(now) != of(before) {
        return Ok(true);
    }
    match now.has_rows_of(before) {
        true => Ok(false),
        false => Err(NotUsed::SameVersion { version: now.version() }),
    }
}

impl Reading {
    pub(super) fn new(
        store: Box<dyn Store>,
        saved: Option<Saved>,
        follower: Arc<Follower>,
        tables: SyncSender<Arc<Table>>,
    ) -> Self {
        Self {
            store,
            saved,
            follower,
            tables,
            current: None,
            pause: FIRST_PAUSE,
            longest_pause: PATIENCE,
        }
    }

    /// The table that was saved by an earlier process.
    pub(super) fn saved_table(&mut self) -> Option<Arc<Table>> {
        let saved = self.saved.as_ref()?;
        match saved.read(self.follower.tenants.hashing()) {
            Ok(table) => {
                let table = Arc::new(table?);
                self.follower.in_place(&table);
                tracing::info!(
                    version = table.version(),
                    rows = table.len(),
                    "the last routing table was read from routing.state_dir"
                );
                self.current = Some(Arc::clone(&table));
                Some(table)
            }
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the routing table in routing.state_dir cannot be used"
                );
                None
            }
        }
    }

    /// Reads until nobody takes tables any more.
    pub(super) fn run(mut self) {
        let mut is_first = true;
        loop {
            // What is there is read first; only then is it waited for changes.
            let read = match std::mem::take(&mut is_first) {
                true => self.store.load().map(Some),
                false => self.store.changed(PATIENCE),
            };
            let goes_on = match read {
                Ok(Some(table)) => self.read(table),
                Ok(None) => {
                    self.confirmed();
                    true
                }
                Err(error) => {
                    self.failed(&error);
                    thread::sleep(self.pause);
                    self.pause = (2 * self.pause).min(self.longest_pause);
                    true
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Considers a table. False if nobody takes tables any more.
    fn read(&mut self, table: Table) -> bool {
        let replaces = match &self.current {
            None => Ok(true),
            Some(current) => replaces(current, &table),
        };
        let metrics = &self.follower.metrics.routing;
        match replaces {
            Ok(true) => {
                let table = Arc::new(table);
                events::NewTable { table: &table }.emit(metrics);
                self.current = Some(Arc::clone(&table));
                if self.tables.send(Arc::clone(&table)).is_err() {
                    return false;
                }
                self.follower.state().refused = None;
                if let Some(saved) = &self.saved
                    && let Err(error) = saved.write(&table)
                {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "the routing table cannot be saved in routing.state_dir"
                    );
                }
                self.confirmed();
            }
            Ok(false) => {
                self.follower.state().refused = None;
                self.confirmed();
            }
            Err(reason) => {
                let told = reason.to_string();
                let before = self.follower.state().refused.replace(told.clone());
                if before.as_ref() != Some(&told) {
                    events::TableNotUsed { reason: &told }.emit(metrics);
                }
                self.reached();
            }
        }
        true
    }

    /// The store answers.
    fn reached(&mut self) {
        self.pause = FIRST_PAUSE;
        let trouble = self.follower.state().trouble.take();
        if let Some((since, _)) = trouble {
            events::StoreBack { away: since.elapsed() }.emit(&self.follower.metrics.routing);
        }
        self.follower.metrics.routing.store_up.set(1);
    }

    /// The store has the table that is in use.
    fn confirmed(&mut self) {
        self.reached();
        let mut state = self.follower.state();
        if state.refused.is_none() {
            state.confirmed = Some(Instant::now());
        }
    }

    fn failed(&mut self, error: &StoreError) {
        let told = error.to_string();
        let mut state = self.follower.state();
        let is_new = state.trouble.is_none();
        let since = state.trouble.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        state.trouble = Some((since, told.clone()));
        drop(state);
        let metrics = &self.follower.metrics.routing;
        metrics.store_up.set(0);
        if is_new {
            let has_table = self.current.is_some();
            events::StoreTrouble {
                reason: &told,
                has_table,
            }
            .emit(metrics);
        }
    }
}

#[cfg(test)]
mod tests;
