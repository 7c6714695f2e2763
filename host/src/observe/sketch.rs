//! Which tenants sent how much since the sketch was last cleared, in bounded memory.
//!
//! All tenants are counted as long as they are few. When there are twice as many as are wanted, the half with the least bytes
//! is dropped. What a tenant had when it was dropped is missing from its count if it comes back, so all counts are lower
//! bounds. [`Sketch::missed`] says by how much they may be too low: a tenant is dropped with at most as many bytes as the
//! largest of those that are dropped with it. So the error is that of Space-Saving (Metwally, Agrawal and El Abbadi, 2005),
//! and one tenant costs the same however many there are; dropping many at once is the way of Anderson and others ("A
//! High-Performance Algorithm for Identifying Frequent Items in Data Streams", 2017). Lower bounds, since what is missing can
//! be counted under a name for all others, and the sum is right.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use super::cut::Cut;

/// Records and their bytes, as `message.max.bytes` counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

impl Load {
    pub(super) fn add(&mut self, more: Self) {
        self.records += more.records;
        self.bytes += more.bytes;
    }

    /// Without a part of it.
    pub(super) fn without(self, part: Self) -> Self {
        Self {
            records: self.records.saturating_sub(part.records),
            bytes: self.bytes.saturating_sub(part.bytes),
        }
    }
}

/// Takes keys that are hashes already.
#[derive(Debug, Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        // Only numbers are hashed with this.
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// By the hash of a tenant and its topic.
pub(super) type ByHash<T> = HashMap<u64, T, BuildHasherDefault<Hashed>>;

/// One tenant of one topic.
#[derive(Debug)]
struct Counted {
    topic: u32,
    /// The name in `names`.
    begin: u32,
    len: u32,
    records: u32,
    bytes: u64,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Sketch {
    /// So many tenants are counted for certain.
    most: usize,
    tenants: ByHash<Counted>,
    names: String,
    /// The topics with all that their tenants sent.
    topics: Vec<(Arc<str>, Load)>,
    missed: u64,
}

impl Sketch {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            tenants: ByHash::default(),
            names: String::new(),
            topics: Vec::new(),
            missed: 0,
        }
    }

    /// The number of a topic, for [`Sketch::add`].
    pub(super) fn topic(&mut self, name: &Arc<str>) -> u32 {
        // Few topics have tenants, and a request nearly always has one topic.
        let known = self.topics.iter().position(|(known, _)| known == name);
        let at = known.unwrap_or_else(|| {
            self.topics.push((Arc::clone(name), Load::default()));
            self.topics.len() - 1
        });
        at as u32
    }

    /// Counts records of a tenant. `key` stands for the topic and the tenant.
    #[inline]
    pub(super) fn add(&mut self, topic: u32, key: u64, name: &str, load: Load) {
        if let Some((_, total)) = self.topics.get_mut(topic as usize) {
            total.add(load);
        }
        let records = u32::try_from(load.records).unwrap_or(u32::MAX);
        if let Some(counted) = self.tenants.get_mut(&key) {
            counted.records = counted.records.saturating_add(records);
            counted.bytes += load.bytes;
            return;
        }
        if self.tenants.len() >= 2 * self.most {
            self.drop_half();
        }
        let counted = Counted {
            topic,
            // Names have at most 255 bytes, and there are at most twice `most` of them between two drops.
            begin: self.names.len() as u32,
            len: name.len() as u32,
            records,
            bytes: load.bytes,
        };
        self.names.push_str(name);
        self.tenants.insert(key, counted);
    }

    fn drop_half(&mut self) {
        let bytes = self.tenants.values().map(|counted| counted.bytes);
        let Some(mut cut) = Cut::of(bytes, self.most, u64::cmp) else {
            return;
        };
        self.missed += cut.largest();
        let mut names = String::with_capacity(self.names.len() / 2);
        self.tenants.retain(|_, counted| {
            if !cut.stays(&counted.bytes) {
                return false;
            }
            let name = &self.names[counted.begin as usize..][..counted.len as usize];
            counted.begin = names.len() as u32;
            names.push_str(name);
            true
        });
        self.names = names;
    }

    /// Forgets all; the memory stays.
    pub(super) fn clear(&mut self) {
        self.tenants.clear();
        self.names.clear();
        self.topics.clear();
        self.missed = 0;
    }

    /// Gives back memory that a quiet time does not need.
    pub(super) fn shrink(&mut self) {
        if self.tenants.capacity() > 64 + 8 * self.tenants.len() {
            self.tenants.shrink_to(2 * self.tenants.len());
            self.names.shrink_to(2 * self.names.len());
        }
    }

    /// So many bytes of any tenant may be missing.
    pub(super) fn missed(&self) -> u64 {
        self.missed
    }

    /// What this tenant sent at least.
    pub(super) fn of(&self, key: u64) -> Load {
        self.tenants.get(&key).map(Counted::load).unwrap_or_default()
    }

    /// Each tenant with its key, topic, name, and what it sent at least.
    pub(super) fn tenants(&self) -> impl Iterator<Item = (u64, &Arc<str>, &str, Load)> {
        self.tenants.iter().filter_map(|(key, counted)| {
            let (topic, _) = self.topics.get(counted.topic as usize)?;
            let name = &self.names[counted.begin as usize..][..counted.len as usize];
            Some((*key, topic, name, counted.load()))
        })
    }

    /// The topics, with exactly what all their tenants sent.
    pub(super) fn topics(&self) -> &[(Arc<str>, Load)] {
        &self.topics
    }
}

impl Counted {
    fn load(&self) -> Load {
        Load {
            records: self.records.into(),
            bytes: self.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn add(sketch: &mut Sketch, tenant: u64, bytes: u64) {
        let topic = sketch.topic(&Arc::from("orders"));
        let load = Load { records: 1, bytes };
        sketch.add(topic, tenant, &format!("tenant-{tenant}"), load);
    }

    proptest! {
        /// However many tenants there are, a count is never too high, and too low by no more than is told.
        #[test]
        fn no_count_is_too_high_and_what_may_be_missing_is_told(
            most in 1_usize..6,
            sent in prop::collection::vec((0_u64..20, 0_u64..100), 0..200),
        ) {
            let mut sketch = Sketch::new(most);
            let mut exact: HashMap<u64, Load> = HashMap::new();
            for &(tenant, bytes) in &sent {
                add(&mut sketch, tenant, bytes);
                exact.entry(tenant).or_default().add(Load { records: 1, bytes });
                prop_assert!(sketch.tenants.len() <= 2 * most);
            }
            for (&tenant, load) in &exact {
                let counted = sketch.of(tenant);
                prop_assert!(counted.bytes <= load.bytes && counted.records <= load.records);
                prop_assert!(load.bytes <= counted.bytes + sketch.missed(), "{counted:?} of {load:?}");
                if exact.len() <= 2 * most {
                    prop_assert_eq!(counted, *load);
                }
            }
            for (key, topic, name, load) in sketch.tenants() {
                prop_assert_eq!((&**topic, name), ("orders", &*format!("tenant-{key}")));
                prop_assert_eq!(load, sketch.of(key));
            }
            let total = sketch.topics().first().map(|(_, load)| *load).unwrap_or_default();
            let sum: u64 = exact.values().map(|load| load.bytes).sum();
            prop_assert_eq!(total, Load { records: sent.len() as u64, bytes: sum });
        }
    }

    #[test]
    fn the_largest_of_a_million_tenants_are_found_among_as_many_small_ones() {
        let mut sketch = Sketch::new(100);
        let mut rng = fastrand::Rng::with_seed(1);
        for round in 0..1_000_u64 {
            add(&mut sketch, round % 10, 5_000);
            for _ in 0..100 {
                add(&mut sketch, rng.u64(1_000..1_001_000), 100);
            }
        }
        for large in 0..10 {
            let bytes = sketch.of(large).bytes;
            assert!(
                bytes + sketch.missed() >= 500_000 && bytes > 250_000,
                "{large}: {bytes}, {}",
                sketch.missed()
            );
        }
    }
}
