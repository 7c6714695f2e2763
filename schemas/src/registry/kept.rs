//! What was answered, kept as long as there is room.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::Hash,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// A bounded map. When it is full, what was used longest ago goes.
pub(super) struct Kept<K, V> {
    /// Written only after the registry answered.
    entries: RwLock<HashMap<K, Entry<V>>>,
    most: usize,
    /// The clock by which uses are told apart. It goes on by two when something is put, which is a use just before that time: uses between
    /// two of those are the same.
    clock: AtomicU64,
}

struct Entry<V> {
    value: V,
    used: AtomicU64,
}

impl<K: Hash + Eq + Clone, V: Clone> Kept<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            entries: RwLock::default(),
            most: most.max(1),
            clock: AtomicU64::new(0),
        }
    }

    pub(super) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        // No code that may panic holds the lock.
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(key)?;
        let now = self.clock.load(Ordering::Relaxed);
        // Without a write, processors share the line.
        if entry.used.load(Ordering::Relaxed) != now {
            entry.used.store(now, Ordering::Relaxed);
        }
        Some(entry.value.clone())
    }

    pub(super) fn len(&self) -> usize {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn put(&self, key: K, value: V) {
        let used = AtomicU64::new(self.clock.fetch_add(2, Ordering::Relaxed) + 1);
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.most && !entries.contains_key(&key) {
            let oldest = entries
                .iter()
                .min_by_key(|(_, entry)| entry.used.load(Ordering::Relaxed));
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                entries.remove(&oldest);
            }
        }
        entries.insert(key, Entry { value, used });
    }

    pub(super) fn forget<Q: Hash + Eq + ?Sized>(&self, key: &Q)
    where
        K: Borrow<Q>,
    {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_when_there_is_no_room() {
        let kept = Kept::new(2);
        kept.put(1, "a");
        kept.put(2, "b");
        assert_eq!(kept.get(&1), Some("a"));
        kept.put(3, "c");
        assert_eq!((kept.get(&1), kept.get(&2), kept.get(&3)), (Some("a"), None, Some("c")));
        // The same once more takes no room.
        kept.put(3, "d");
        assert_eq!((kept.get(&1), kept.get(&3)), (Some("a"), Some("d")));
        kept.forget(&1);
        assert_eq!(kept.get(&1), None);
    }
}
