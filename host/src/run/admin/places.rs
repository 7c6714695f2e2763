//! The places for connections to the admin listener, and which connection must go when there are too many.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::Notify;

/// Most connections at once: probes and scrapers are few.
const MAX_CONNECTIONS: usize = 64;
/// Of these, most connections that wait for a drain or a reload to end.
const MAX_ORDERS: usize = 16;

/// The connections to the admin listener.
#[derive(Default)]
pub(super) struct AdminPlaces(Mutex<TakenPlaces>);

#[derive(Default)]
struct TakenPlaces {
    next: u64,
    by_id: HashMap<u64, Guest>,
    orders: usize,
}

struct Guest {
    /// When the connection last asked something; before its first request, when it was accepted.
    asked: Instant,
    /// Whether the connection waits for an order to be carried out.
    waits: bool,
    /// Notified when the place goes to another connection.
    wanted: Arc<Notify>,
}

/// A connection's place.
#[derive(Clone)]
pub(super) struct AdminPlace {
    places: Arc<AdminPlaces>,
    id: u64,
    wanted: Arc<Notify>,
}

impl AdminPlaces {
    /// A place for a new connection. If all are taken, the connection that has asked nothing for longest loses its own.
    pub(super) fn take(self: &Arc<Self>) -> AdminPlace {
        let mut taken = self.taken();
        if taken.by_id.len() >= MAX_CONNECTIONS {
            let quiet = taken.by_id.iter().filter(|(_, guest)| !guest.waits);
            let quietest = quiet.min_by_key(|(id, guest)| (guest.asked, **id)).map(|(id, _)| *id);
            if let Some(guest) = quietest.and_then(|id| taken.by_id.remove(&id)) {
                guest.wanted.notify_one();
            }
        }
        let id = taken.next;
        taken.next += 1;
        let wanted = Arc::new(Notify::new());
        taken.by_id.insert(
            id,
            Guest {
                asked: Instant::now(),
                waits: false,
                wanted: Arc::clone(&wanted),
            },
        );
        AdminPlace {
            places: Arc::clone(self),
            id,
            wanted,
        }
    }

    // A std mutex: it is held for a look at few entries, never over an await.
    fn taken(&self) -> MutexGuard<'_, TakenPlaces> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AdminPlace {
    pub(super) fn asked(&self) {
        if let Some(guest) = self.places.taken().by_id.get_mut(&self.id) {
            guest.asked = Instant::now();
        }
    }

    /// Keeps the place while an order is carried out. None if as many orders as may wait already do.
    pub(super) fn wait(&self) -> Option<Waiting<'_>> {
        let mut taken = self.places.taken();
        if taken.orders >= MAX_ORDERS {
            return None;
        }
        taken.by_id.get_mut(&self.id)?.waits = true;
        taken.orders += 1;
        Some(Waiting(self))
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.places.taken().by_id.get(&self.id).is_some_and(|guest| guest.waits)
    }

    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    pub(super) fn leave(&self) {
        self.places.taken().by_id.remove(&self.id);
    }
}

/// A place that nobody can take while this value lives.
pub(super) struct Waiting<'a>(&'a AdminPlace);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut taken = self.0.places.taken();
        taken.orders -= 1;
        if let Some(guest) = taken.by_id.get_mut(&self.0.id) {
            guest.waits = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_wanted(place: &AdminPlace) -> bool {
        !place.places.taken().by_id.contains_key(&place.id)
    }

    #[test]
    fn who_asked_last_keeps_its_place_before_who_never_did() {
        let places = Arc::new(AdminPlaces::default());
        let probe = places.take();
        let silent: Vec<_> = (1..MAX_CONNECTIONS).map(|_| places.take()).collect();
        probe.asked();
        for (before, quiet) in silent.iter().enumerate() {
            assert!(!is_wanted(quiet), "{before} gave way");
            let _newer = places.take();
            assert!(is_wanted(quiet) && !is_wanted(&probe), "{before} gave way");
        }
    }

    #[test]
    fn those_that_wait_for_an_order_keep_their_places_and_leave_some_for_probes() {
        let places = Arc::new(AdminPlaces::default());
        let all: Vec<_> = (0..MAX_CONNECTIONS).map(|_| places.take()).collect();
        let waiting: Vec<_> = all.iter().filter_map(AdminPlace::wait).collect();
        assert_eq!(waiting.len(), MAX_ORDERS);
        for _ in 0..2 * MAX_CONNECTIONS {
            places.take();
        }
        let kept = all.iter().filter(|place| !is_wanted(place)).count();
        assert_eq!(kept, MAX_ORDERS);
        drop(waiting);
        let next = places.take();
        assert!(next.wait().is_some(), "an order that has ended lets the next one wait");
    }

    #[test]
    fn who_has_left_takes_nobodys_place() {
        let places = Arc::new(AdminPlaces::default());
        for _ in 0..2 * MAX_CONNECTIONS {
            places.take().leave();
        }
        let last = places.take();
        assert!(!is_wanted(&last) && places.taken().by_id.len() == 1);
    }
}
