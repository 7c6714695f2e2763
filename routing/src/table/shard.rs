//! The rows of one shard: in a list, and an index into it by hash.

use super::{Hashing, entry::Entry};

/// Rows of one shard. It never changes.
#[derive(Debug, Default)]
pub(super) struct Shard {
    entries: Box<[Entry]>,
    /// A hash table with open addressing, at most half full. Each place has the position of an entry, counted from 1, and
    /// above it some bits of its hash; 0 is a free place.
    index: Box<[u32]>,
}

/// Bits for the position of an entry. A table has at most a million rows, so a shard never has as many.
const POSITION_BITS: u32 = 20;
const POSITION: u32 = (1 << POSITION_BITS) - 1;

impl Shard {
    /// A shard of these rows, with their hashes. If a name is there twice, that name is the error.
    pub(super) fn of(entries: Vec<(u64, Entry)>) -> Result<Self, String> {
        let mut index = vec![0; (2 * entries.len()).next_power_of_two()].into_boxed_slice();
        for (position, (hash, entry)) in entries.iter().enumerate() {
            let twice = |other: usize| entries[other].1.name() == entry.name();
            if !insert(&mut index, *hash, position, twice) {
                return Err(entry.name().to_owned());
            }
        }
        Ok(Self {
            entries: entries.into_iter().map(|(_, entry)| entry).collect(),
            index,
        })
    }

    #[inline]
    pub(super) fn find(&self, tenant: &str, hash: u64) -> Option<&Entry> {
        let mask = self.index.len().wrapping_sub(1);
        let mut place = hash as usize & mask;
        loop {
            // An empty shard has no index.
            let found = *self.index.get(place)?;
            if found == 0 {
                return None;
            }
            if found & !POSITION == tag(hash) {
                let entry = &self.entries[(found & POSITION) as usize - 1];
                if entry.name() == tenant {
                    return Some(entry);
                }
            }
            place = (place + 1) & mask;
        }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The shard with another row for this tenant, or without one.
    pub(super) fn with(&self, tenant: &str, hash: u64, row: Option<Entry>, hashing: &Hashing) -> Self {
        let others = self.entries.iter().filter(|entry| entry.name() != tenant);
        let others = others.map(|entry| (hashing.of(entry.name()), entry.clone()));
        let entries = others.chain(row.map(|row| (hash, row))).collect();
        // No name can be there twice: the tenant's own was left out.
        Self::of(entries).unwrap_or_default()
    }
}

/// Puts a position into the index; false if `same` says of an entry there that it has the same name.
fn insert(index: &mut [u32], hash: u64, position: usize, same: impl Fn(usize) -> bool) -> bool {
    let mask = index.len() - 1;
    let mut place = hash as usize & mask;
    loop {
        let found = index[place];
        if found == 0 {
            index[place] = tag(hash) | (position as u32 + 1);
            return true;
        }
        if found & !POSITION == tag(hash) && same((found & POSITION) as usize - 1) {
            return false;
        }
        place = (place + 1) & mask;
    }
}

/// Bits of the hash that neither the shard nor the place goes by.
fn tag(hash: u64) -> u32 {
    ((hash >> 32) as u32) << POSITION_BITS
}
