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
use crate::ordering::sequence::Owner;

/// Each listener keeps this fraction of all places, at least one.
const SHARE: usize = 4;

/// What a listener is there for. There is at most one of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListenerKind {
    /// HTTP over TCP.
    Tcp,
    /// HTTP over the Unix socket.
    Unix,
    /// Kafka's protocol over TCP.
    Kafka,
}

impl ListenerKind {
    /// How many kinds there are.
    const COUNT: usize = 3;
}

impl From<Owner> for ListenerKind {
    /// The listener that this owner's clients connect to.
    fn from(owner: Owner) -> Self {
        match owner {
            Owner::User(_) => Self::Unix,
            Owner::Tcp => Self::Tcp,
            Owner::Kafka => Self::Kafka,
        }
    }
}

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
    /// Indexed by [`ListenerKind`].
    listeners: [Listener; ListenerKind::COUNT],
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
    listener: ListenerKind,
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
    pub(super) fn listens(&self, listener: ListenerKind) {
        self.taken().listeners[listener as usize].is_there = true;
    }

    /// Takes a place for a new connection to this listener. None if all places of the listener belong to connections in the
    /// middle of a request.
    pub(super) fn take(self: &Arc<Self>, listener: ListenerKind, phase: &Phase) -> Option<Place> {
        let mut taken = self.taken();
        let others = taken.listeners.iter().enumerate();
        let others = others.filter(|(other, _)| *other != listener as usize);
        let others: usize = others.map(|(_, other)| other.kept(self.most)).sum();
        let own = &mut taken.listeners[listener as usize].connections;
        if own.len() + others >= self.most && !evict(own) {
            return None;
        }
        let number = taken.next;
        taken.next += 1;
        let own = &mut taken.listeners[listener as usize].connections;
        own.insert(number, phase.clone());
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

impl Listener {
    /// How many of all these places no other listener may have.
    fn kept(&self, most: usize) -> usize {
        // With only one place in all, nothing can be kept for another listener.
        let share = if self.is_there { most / SHARE } else { 0 };
        self.connections.len().max(share)
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
        taken.listeners[self.listener as usize].connections.remove(&self.number);
        drop(taken);
        self.places.alive.send_modify(|alive| *alive -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ingest::timed::Timeouts;

    const ALL: [ListenerKind; ListenerKind::COUNT] = [ListenerKind::Tcp, ListenerKind::Unix, ListenerKind::Kafka];

    fn phase() -> Phase {
        let long = Duration::from_secs(100);
        Phase::new(Timeouts {
            header: long,
            idle: long,
            write: long,
        })
    }

    /// Takes as many places of this listener as there are, at most so many, for connections in the middle of a request.
    fn take_all(places: &Arc<Places>, listener: ListenerKind, busy: &Phase, most: usize) -> Vec<Place> {
        (0..most).map_while(|_| places.take(listener, busy)).collect()
    }

    #[tokio::test]
    async fn one_listener_never_takes_all_places_of_another() {
        for (kinds, most) in [(&ALL[..2], 6), (&ALL, 4)] {
            for first in kinds {
                let places = Places::new(8);
                kinds.iter().for_each(|kind| places.listens(*kind));
                let busy = phase();
                let _in_request = busy.request(false);
                let taken = take_all(&places, *first, &busy, 9);
                assert_eq!(taken.len(), most, "a quarter is left for each other one: {kinds:?}");
                for other in kinds.iter().filter(|kind| *kind != first) {
                    let others = take_all(&places, *other, &busy, 9);
                    assert_eq!(others.len(), 2, "{first:?} came before {other:?}");
                }
                drop(taken);
                tokio::time::timeout(Duration::from_secs(10), places.all_ended())
                    .await
                    .expect("all have ended");
            }
        }
    }

    #[tokio::test]
    async fn three_listeners_together_never_have_more_than_all_places() {
        let places = Places::new(8);
        ALL.iter().for_each(|kind| places.listens(*kind));
        let busy = phase();
        let _in_request = busy.request(false);
        // Each comes in turn, until none gets any more.
        let mut taken = Vec::new();
        loop {
            let before = taken.len();
            taken.extend(ALL.iter().filter_map(|kind| places.take(*kind, &busy)));
            if taken.len() == before {
                break;
            }
        }
        assert_eq!(taken.len(), 8);
    }

    #[tokio::test]
    async fn one_place_is_enough_for_one_connection_of_any_listener() {
        let places = Places::new(1);
        ALL.iter().for_each(|kind| places.listens(*kind));
        let busy = phase();
        let _in_request = busy.request(false);
        for kind in ALL {
            let place = places.take(kind, &busy).expect("the only one");
            assert!(ALL.iter().all(|other| places.take(*other, &busy).is_none()));
            drop(place);
        }
    }

    #[tokio::test]
    async fn who_is_silent_for_longest_gives_its_place_and_who_asks_keeps_it() {
        let places = Places::new(3);
        places.listens(ListenerKind::Tcp);
        let (busy, first, second) = (phase(), phase(), phase());
        let _in_request = busy.request(false);
        let _places: Vec<_> = [&busy, &first, &second]
            .map(|phase| places.take(ListenerKind::Tcp, phase).expect("a place"))
            .into();
        let is_evicted = |phase: &Phase| {
            let phase = phase.clone();
            async move {
                tokio::time::timeout(Duration::from_millis(1), phase.evicted())
                    .await
                    .is_ok()
            }
        };
        let _third = places.take(ListenerKind::Tcp, &phase()).expect("the first one's");
        assert!(is_evicted(&first).await && !is_evicted(&second).await && !is_evicted(&busy).await);
        let _fourth = places.take(ListenerKind::Tcp, &busy).expect("the second one's");
        assert!(is_evicted(&second).await && !is_evicted(&busy).await);
    }
}
