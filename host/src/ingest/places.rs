//! Places for connections: a limit over all listeners, and a share of it for each listener.
//!
//! When all places are taken, the connection that has been silent for longest gives its place to a new one of the same
//! listener: clients that connect and send nothing must not shut others out. A connection in the middle of a request
//! keeps its place.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::timed::Phase;

/// Each listener keeps this fraction of all places, at least one.
const SHARE: usize = 4;

/// All places; see the [module](self).
#[derive(Debug)]
pub(super) struct Places {
    /// `limits.max_connections`.
    most: usize,
    taken: Mutex<TakenPlaces>,
    /// Connections that have not ended, including those whose place another connection has taken.
    alive: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct TakenPlaces {
    /// Number of the next connection.
    next: u64,
    /// Indexed by listener: TCP, then the Unix socket.
    listeners: [Listener; 2],
}

#[derive(Debug, Default)]
struct Listener {
    /// Whether it is configured; only then it has a share.
    is_there: bool,
    /// The connections that have a place, by number.
    connections: HashMap<u64, Phase>,
}

/// The place of one connection, until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    listener: usize,
    number: u64,
}

impl Places {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            taken: Mutex::default(),
            alive: watch::Sender::new(0),
        })
    }

    /// Says that this listener is configured: it has its share from now on.
    pub(super) fn listens(&self, is_tcp: bool) {
        self.taken().listeners[usize::from(is_tcp)].is_there = true;
    }

    /// Takes a place for a new connection. None if all places of its listener belong to connections in the middle of a
    /// request.
    pub(super) fn take(self: &Arc<Self>, is_tcp: bool, phase: &Phase) -> Option<Place> {
        let listener = usize::from(is_tcp);
        let mut taken = self.taken();
        let others = &taken.listeners[1 - listener];
        // With only one place in all, nothing can be kept for another listener.
        let share = if others.is_there { self.most / SHARE } else { 0 };
        let others = others.connections.len().max(share);
        let own = &mut taken.listeners[listener].connections;
        if own.len() + others >= self.most && !evict(own) {
            return None;
        }
        let number = taken.next;
        taken.next += 1;
        taken.listeners[listener].connections.insert(number, phase.clone());
        drop(taken);
        self.alive.send_modify(|alive| *alive += 1);
        Some(Place {
            places: Arc::clone(self),
            listener,
            number,
        })
    }

    /// Waits until every connection has ended.
    pub(super) async fn all_ended(&self) {
        // This never fails, since `self` owns the sender.
        let _ = self.alive.subscribe().wait_for(|alive| *alive == 0).await;
    }

    // A std mutex: it is held for a look at the list, never over an await.
    fn taken(&self) -> MutexGuard<'_, TakenPlaces> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the place of the connection that has been silent for longest. False if none is silent.
fn evict(connections: &mut HashMap<u64, Phase>) -> bool {
    let silent = connections
        .iter()
        .filter_map(|(number, phase)| Some((phase.silent_since()?, *number)))
        .min();
    let Some(phase) = silent.and_then(|(_, number)| connections.remove(&number)) else {
        return false;
    };
    phase.evict();
    true
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.listeners[self.listener].connections.remove(&self.number);
        drop(taken);
        self.places.alive.send_modify(|alive| *alive -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ingest::timed::Timeouts;

    fn phase() -> Phase {
        let long = Duration::from_secs(100);
        Phase::new(Timeouts {
            header: long,
            idle: long,
            write: long,
        })
    }

    #[tokio::test]
    async fn one_listener_never_takes_all_places_of_the_other() {
        let places = Places::new(8);
        places.listens(true);
        places.listens(false);
        let busy = phase();
        let _in_request = busy.request(false);
        let tcp: Vec<_> = (0..8).map_while(|_| places.take(true, &busy)).collect();
        assert_eq!(tcp.len(), 6, "a quarter is left");
        let unix: Vec<_> = (0..8).map_while(|_| places.take(false, &busy)).collect();
        assert_eq!(unix.len(), 2);
        drop((tcp, unix));
        tokio::time::timeout(Duration::from_secs(10), places.all_ended())
            .await
            .expect("all have ended");
    }

    #[tokio::test]
    async fn one_place_is_enough_for_one_connection_of_either_listener() {
        let places = Places::new(1);
        places.listens(true);
        places.listens(false);
        let busy = phase();
        let _in_request = busy.request(false);
        for is_tcp in [true, false] {
            let place = places.take(is_tcp, &busy).expect("the only one");
            assert!(places.take(!is_tcp, &busy).is_none());
            drop(place);
        }
    }

    #[tokio::test]
    async fn who_is_silent_for_longest_gives_its_place_and_who_asks_keeps_it() {
        let places = Places::new(3);
        places.listens(true);
        let (busy, first, second) = (phase(), phase(), phase());
        let _in_request = busy.request(false);
        let _places: Vec<_> = [&busy, &first, &second]
            .map(|phase| places.take(true, phase).expect("a place"))
            .into();
        let is_evicted = |phase: &Phase| {
            let phase = phase.clone();
            async move {
                tokio::time::timeout(Duration::from_millis(1), phase.evicted())
                    .await
                    .is_ok()
            }
        };
        let _third = places.take(true, &phase()).expect("the first one's");
        assert!(is_evicted(&first).await && !is_evicted(&second).await && !is_evicted(&busy).await);
        let _fourth = places.take(true, &busy).expect("the second one's");
        assert!(is_evicted(&second).await && !is_evicted(&busy).await);
    }
}
