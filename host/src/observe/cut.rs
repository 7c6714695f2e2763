//! Which of many go so that the largest of them stay.

use std::cmp::Ordering;

/// All below a value go, and some of those that are equal to it: not all of them have to.
pub(super) struct Cut<T> {
    largest: T,
    equal: usize,
    order: fn(&T, &T) -> Ordering,
}

impl<T: Copy> Cut<T> {
    /// So many of these values stay. `None`: all do.
    pub(super) fn of(values: impl Iterator<Item = T>, stay: usize, order: fn(&T, &T) -> Ordering) -> Option<Self> {
        let mut values: Vec<T> = values.collect();
        let last = values.len().checked_sub(stay)?.checked_sub(1)?;
        let (fewer, largest, _) = values.select_nth_unstable_by(last, order);
        let equal = 1 + fewer.iter().filter(|value| order(value, largest).is_eq()).count();
        Some(Self {
            largest: *largest,
            equal,
            order,
        })
    }

    /// The largest value that goes.
    pub(super) fn largest(&self) -> T {
        self.largest
    }

    /// Whether the next one stays, which has this value. To be asked once for each.
    pub(super) fn stays(&mut self, value: &T) -> bool {
        match (self.order)(value, &self.largest) {
            Ordering::Less => false,
            Ordering::Equal if self.equal > 0 => {
                self.equal -= 1;
                false
            }
            Ordering::Equal | Ordering::Greater => true,
        }
    }
}
