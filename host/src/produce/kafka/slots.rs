//! The clients of a generation, each at its index.

use std::{sync::Arc, thread, time::Duration};

use arc_swap::{ArcSwap, Guard};

use super::client::Client;

/// The name of threads that end a client.
pub(super) const ENDING: &str = "end-of-producer";

/// A place for each client that there may be.
type All = Vec<Option<Arc<Client>>>;

/// See the [module](self). Reading takes no lock.
pub(super) struct Slots {
    first: Arc<Client>,
    /// All clients, the first one too.
    all: ArcSwap<All>,
}

impl Slots {
    pub(super) fn new(first: Client, most: usize) -> Self {
        let first = Arc::new(first);
        let mut all = vec![None; most.max(1)];
        all[0] = Some(Arc::clone(&first));
        Self {
            first,
            all: ArcSwap::from_pointee(all),
        }
    }

    /// The first client, which is always there.
    pub(super) fn first(&self) -> &Arc<Client> {
        &self.first
    }

    /// All clients as they are now. Must not be held for long: a client that has left ends when nobody holds it any more.
    pub(super) fn now(&self) -> Guard<Arc<All>> {
        self.all.load()
    }

    /// As [`Slots::now`], for loops that last.
    pub(super) fn all(&self) -> Vec<Arc<Client>> {
        self.all.load().iter().flatten().cloned().collect()
    }

    pub(super) fn put(&self, index: usize, client: Client) {
        self.set(index, Some(Arc::new(client)));
    }

    /// Ends a client that has nothing to do any more, on a thread, since that may block while brokers do not answer.
    pub(super) fn end(&self, index: usize) {
        let old = self.all.load()[index].clone();
        self.set(index, None);
        let thread = thread::Builder::new().name(ENDING.to_owned());
        let started = thread.spawn(move || {
            // Whoever reads the list of clients just now must not be the last to hold this one.
            while old.as_ref().is_some_and(|client| Arc::strong_count(client) > 1) {
                thread::sleep(Duration::from_millis(1));
            }
        });
        drop(started);
    }

    fn set(&self, index: usize, client: Option<Arc<Client>>) {
        self.all.rcu(|all| {
            let mut all = All::clone(all);
            all[index].clone_from(&client);
            all
        });
    }
}
