//! Keys that were there before.

use std::collections::HashSet;

/// The keys of one map. Takes no memory of its own as long as they are few.
#[derive(Default)]
pub(super) struct Seen<'k> {
    few: [&'k str; 8],
    count: usize,
    many: HashSet<&'k str>,
}

impl<'k> Seen<'k> {
    /// Adds a key; false: it is there already.
    pub(super) fn insert(&mut self, key: &'k str) -> bool {
        let few = &self.few[..self.count];
        if few.contains(&key) {
            return false;
        }
        if self.count < self.few.len() {
            self.few[self.count] = key;
            self.count += 1;
            return true;
        }
        self.many.insert(key)
    }
}
