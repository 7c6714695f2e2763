//! A table in memory, for tests: a store without a server, which can be told to fail.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use pointsman_routing::{Change, Table};

use crate::{Known, Settings, Store, StoreError, changed, claimed, made};

/// What all stores of one table share.
#[derive(Debug, Default)]
struct Shared {
    table: Mutex<State>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct State {
    table: Option<Table>,
    /// Why the store cannot be reached now.
    away: Option<String>,
}

/// A store in memory. A clone is another client of the same store.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    settings: Settings,
    known: Known,
}

impl MemoryStore {
    /// A store without a table.
    pub fn new(settings: Settings) -> Self {
        Self {
            shared: Arc::default(),
            settings,
            known: Known::default(),
        }
    }

    /// Makes the store unreachable, or reachable again.
    pub fn be_away(&self, why: Option<&str>) {
        self.state().away = why.map(str::to_owned);
        self.shared.bell.notify_all();
    }

    /// Puts a table into the place of the other, whatever its version.
    pub fn put(&self, table: Option<Table>) {
        self.state().table = table;
        self.shared.bell.notify_all();
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&mut self, change: impl FnOnce(Option<&Table>) -> Result<Table, StoreError>) -> Result<Table, StoreError> {
        let mut state = self.state();
        if let Some(why) = &state.away {
            return Err(StoreError::Away(why.clone()));
        }
        let table = change(state.table.as_ref())?;
        state.table = Some(table.clone());
        drop(state);
        self.shared.bell.notify_all();
        Ok(table)
    }
}

impl State {
    fn look(&self) -> Result<&Table, StoreError> {
        match (&self.away, &self.table) {
            (Some(why), _) => Err(StoreError::Away(why.clone())),
            (None, None) => Err(StoreError::NoTable),
            (None, Some(table)) => Ok(table),
        }
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Table, StoreError> {
        let table = self.state().look()?.clone();
        self.known.is_another(&table);
        Ok(table)
    }

    fn changed(&mut self, patience: Duration) -> Result<Option<Table>, StoreError> {
        let until = Instant::now() + patience;
        let shared = Arc::clone(&self.shared);
        let mut state = shared.table.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let table = state.look()?;
            if self.known.is_another(table) {
                return Ok(Some(table.clone()));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let waited = shared.bell.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn init(&mut self, incarnation: &str) -> Result<Table, StoreError> {
        let hashing = self.settings.hashing.clone();
        self.set(|table| made(table, incarnation, &hashing))
    }

    fn apply(&mut self, expected: (u64, u64), changes: Vec<Change>) -> Result<Table, StoreError> {
        self.set(|table| Ok(changed(table.ok_or(StoreError::NoTable)?, expected, changes)?.0))
    }

    fn claim(&mut self) -> Result<Table, StoreError> {
        self.set(claimed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[test]
    fn a_store_in_memory_keeps_what_every_store_promises() {
        let open = || {
            let shared = MemoryStore::new(conformance::settings());
            Box::new(move || Box::new(shared.clone()) as Box<dyn Store>) as conformance::Client
        };
        conformance::all(&open, conformance::Load::FULL);
    }
}
