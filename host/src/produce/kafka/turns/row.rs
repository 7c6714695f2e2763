//! The clients as [`super::Turns`] sees them: a row with a fixed number of places.
//!
//! The first client sends at once. The others linger: librdkafka begins to make a request of the first record that it is
//! handed, so the rest of a larger turn would be left for one more round trip; and meanwhile librdkafka's thread would
//! never sleep, since it looks again at once when five records or more of a partition are on their way and others wait. A
//! client that lingers puts the whole turn into one request, with what comes meanwhile.

use std::time::Duration;

/// How long clients linger that do. librdkafka's threads cannot wait for less.
pub(super) const LINGER: Duration = Duration::from_millis(1);
/// Turns of fewer records than these do not need a client that lingers.
pub(super) const SMALL: usize = 5;

/// A place in the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// There is no client.
    Empty,
    /// The client may have turns.
    Used,
    /// The client has turns only of partitions that are bound to it.
    Retired,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Row {
    places: Vec<Place>,
    /// How long the first lingers: the client library's own setting, which is 0 unless somebody set it.
    linger: Duration,
    /// How many clients are used.
    used: usize,
}

/// The clients that may have the next turn at a broker: those that have the fewest there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Free {
    for_small: Option<usize>,
    for_large: Option<usize>,
}

impl Free {
    /// The client for a turn of so many records.
    pub(super) fn client(self, records: usize) -> Option<usize> {
        if records < SMALL {
            self.for_small
        } else {
            self.for_large
        }
    }

    pub(super) fn is_any(self) -> bool {
        self.for_small.is_some() || self.for_large.is_some()
    }
}

impl Row {
    /// A row with one client.
    pub(super) fn new(most: usize, linger: Duration) -> Self {
        let mut places = vec![Place::Empty; most.max(1)];
        places[0] = Place::Used;
        Self {
            places,
            linger,
            used: 1,
        }
    }

    /// How long a client waits for more records.
    pub(super) fn linger(&self, client: usize) -> Duration {
        match client {
            0 => self.linger,
            _ => self.linger.max(LINGER),
        }
    }

    /// Whether a client sends at once.
    pub(super) fn is_quick(&self, client: usize) -> bool {
        self.linger(client) < LINGER
    }

    /// How many clients are used.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// How many clients there are.
    pub(super) fn count(&self) -> usize {
        self.places.iter().filter(|place| **place != Place::Empty).count()
    }

    /// Places for as many clients more as there are now, until there are `most`, and how long each would linger.
    pub(super) fn empty(&self, most: usize) -> Vec<(usize, Duration)> {
        (0..self.places.len().min(most))
            .filter(|client| self.places[*client] == Place::Empty)
            .take(self.count())
            .map(|client| (client, self.linger(client)))
            .collect()
    }

    /// Notes that there is a client at an empty place.
    pub(super) fn add(&mut self, client: usize) {
        if self.places[client] == Place::Empty {
            self.places[client] = Place::Used;
            self.used += 1;
        }
    }

    /// Retires all clients but the first. Returns whether there were any.
    pub(super) fn retire_others(&mut self) -> bool {
        for place in self.places.iter_mut().skip(1).filter(|place| **place == Place::Used) {
            *place = Place::Retired;
        }
        std::mem::replace(&mut self.used, 1) > 1
    }

    /// Takes out the retired clients that are not `held`.
    pub(super) fn end(&mut self, held: impl Fn(usize) -> bool) -> Vec<usize> {
        let ended: Vec<usize> = (0..self.places.len())
            .filter(|client| self.places[*client] == Place::Retired && !held(*client))
            .collect();
        ended.iter().for_each(|client| self.places[*client] = Place::Empty);
        ended
    }

    /// Those of the clients in use that have fewer than `most` places at a broker. `used`: how many each client has.
    pub(super) fn free(&self, used: &[usize], most: usize) -> Free {
        let least = |is_quick: bool| {
            let mine = |client: &usize| self.places[*client] == Place::Used && self.is_quick(*client) == is_quick;
            (0..self.places.len()).filter(mine).min_by_key(|client| used[*client])
        };
        let (quick, lingers) = (least(true), least(false));
        let with_place = |client: Option<usize>| client.filter(|client| used[*client] < most);
        Free {
            for_small: with_place(quick).or(with_place(lingers)),
            for_large: with_place(lingers.or(quick)),
        }
    }

    /// The first client, if it has fewer than `most` places at a broker.
    pub(super) fn first(&self, used: &[usize], most: usize) -> Free {
        let first = (used[0] < most).then_some(0);
        Free {
            for_small: first,
            for_large: first,
        }
    }
}
