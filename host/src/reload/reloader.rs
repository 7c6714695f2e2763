//! What the thread and the admin listener share.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};

use super::{config_file::ConfigFile, look::Looker, message::Message, state::State};
use crate::{
    base::metrics::Metrics,
    plugin::{Compiler, Limits, ShadowWorker, file::Folder},
    routing::route::Routes,
};

/// The table of routes and all that may change it. Built once, and shared by the thread and the admin listener.
pub struct Reloader {
    pub(super) routes: Arc<Routes>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) compiler: Compiler,
    pub(super) limits: Limits,
    pub(super) dir: PathBuf,
    pub(super) folder: Folder,
    pub(super) poll: Duration,
    pub(super) config_file: ConfigFile,
    /// Locked only briefly, because the admin listener reads it.
    pub(super) state: Mutex<State>,
    /// Held while a table is built and put in place, so that two changes never start from the same old table.
    pub(super) building: Mutex<()>,
    pub(super) shadow_worker: Arc<ShadowWorker>,
    pub(super) mailbox: mpsc::SyncSender<Message>,
}

impl Reloader {
    pub(super) fn looker(&self) -> Looker<'_> {
        Looker {
            compiler: &self.compiler,
            limits: &self.limits,
            folder: &self.folder,
        }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.wasm"))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn build_lock(&self) -> MutexGuard<'_, ()> {
        self.building.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
