//! Records and bytes a second by tenant, as they are now: an average in which a moment counts half as much as one that is
//! [`HALF_LIFE`] later.

use std::{sync::Arc, time::Duration};

use super::{
    cut::Cut,
    sketch::{ByHash, Load, Sketch},
};

/// See the [module](self).
pub(super) const HALF_LIFE: Duration = Duration::from_secs(10);
/// A tenant with fewer bytes a second than this is forgotten.
pub(super) const QUIET: f64 = 0.01;

/// Records and bytes a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rate {
    pub(super) records: f64,
    pub(super) bytes: f64,
}

impl Rate {
    /// Takes in what came in one round.
    pub(super) fn add(&mut self, load: Load, round: Round) {
        self.records += load.records as f64 * round.weight;
        self.bytes += load.bytes as f64 * round.weight;
    }

    pub(super) fn fade(&mut self, round: Round) {
        self.records *= round.kept;
        self.bytes *= round.kept;
    }

    pub(super) fn times(self, factor: f64) -> Self {
        Self {
            records: self.records * factor,
            bytes: self.bytes * factor,
        }
    }
}

/// How one round of gathering goes into the averages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    /// What stays of the rates before it.
    kept: f64,
    /// What one record of the round adds to a rate.
    weight: f64,
}

impl Round {
    /// A round that lasted so long.
    pub(super) fn of(lasted: Duration) -> Self {
        let seconds = lasted.as_secs_f64().max(1e-3);
        let kept = (-seconds / HALF_LIFE.as_secs_f64()).exp2();
        Self {
            kept,
            weight: (1.0 - kept) / seconds,
        }
    }
}

/// A tenant of a topic, and how much it sends.
#[derive(Debug, Clone)]
pub(super) struct Tenant {
    pub(super) topic: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) rate: Rate,
}

/// The rates of tenants, of at most twice as many as are wanted.
#[derive(Debug)]
pub(super) struct Rates {
    most: usize,
    tenants: ByHash<Tenant>,
    /// So many bytes a second of any tenant may be missing.
    missed: f64,
    /// How much of a rate the averages could have seen since they began: less than 1 at first.
    seen: f64,
}

impl Rates {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            tenants: ByHash::default(),
            missed: 0.0,
            seen: 0.0,
        }
    }

    /// Begins a round: what came before counts less now.
    pub(super) fn fade(&mut self, round: Round) {
        self.missed *= round.kept;
        self.seen = self.seen * round.kept + (1.0 - round.kept);
        self.tenants.retain(|_, tenant| {
            tenant.rate.fade(round);
            tenant.rate.bytes >= QUIET
        });
        if self.tenants.capacity() > 64 + 8 * self.tenants.len() {
            self.tenants.shrink_to(2 * self.tenants.len());
        }
    }

    /// Takes in what a sketch has of this round.
    pub(super) fn add(&mut self, sketch: &Sketch, round: Round) {
        self.missed += sketch.missed() as f64 * round.weight;
        for (key, topic, name, load) in sketch.tenants() {
            if let Some(tenant) = self.tenants.get_mut(&key) {
                tenant.rate.add(load, round);
                continue;
            }
            if self.tenants.len() >= 2 * self.most {
                self.drop_half();
            }
            let mut tenant = Tenant {
                topic: Arc::clone(topic),
                name: Arc::from(name),
                rate: Rate::default(),
            };
            tenant.rate.add(load, round);
            self.tenants.insert(key, tenant);
        }
    }

    fn drop_half(&mut self) {
        let rates = self.tenants.values().map(|tenant| tenant.rate.bytes);
        if let Some(mut cut) = Cut::of(rates, self.most, f64::total_cmp) {
            self.missed += cut.largest();
            self.tenants.retain(|_, tenant| cut.stays(&tenant.rate.bytes));
        }
    }

    /// What brings the averages to the rates of the time since they began.
    pub(super) fn factor(&self) -> f64 {
        match self.seen > 0.0 {
            true => 1.0 / self.seen,
            false => 0.0,
        }
    }

    /// So many bytes a second of any tenant may be missing.
    pub(super) fn missed(&self) -> f64 {
        self.missed * self.factor()
    }

    /// How many tenants are counted.
    pub(super) fn len(&self) -> usize {
        self.tenants.len()
    }

    /// The tenants that send the most bytes, the largest first.
    pub(super) fn hottest(&self, most: usize) -> Vec<(u64, Tenant)> {
        let by_bytes = |a: &(u64, &Tenant), b: &(u64, &Tenant)| {
            let order = b.1.rate.bytes.total_cmp(&a.1.rate.bytes);
            // Equal ones always in the same order.
            order.then_with(|| a.0.cmp(&b.0))
        };
        let mut all: Vec<(u64, &Tenant)> = self.tenants.iter().map(|(key, tenant)| (*key, tenant)).collect();
        if most < all.len() && most > 0 {
            all.select_nth_unstable_by(most - 1, by_bytes);
        }
        all.truncate(most);
        all.sort_unstable_by(by_bytes);
        let factor = self.factor();
        let shown = all.into_iter().map(|(key, tenant)| {
            let mut tenant = tenant.clone();
            tenant.rate = tenant.rate.times(factor);
            (key, tenant)
        });
        shown.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn round(rates: &mut Rates, loads: &[(u64, u64)]) {
        let mut sketch = Sketch::new(1_000);
        let topic = sketch.topic(&Arc::from("orders"));
        for &(tenant, records) in loads {
            let load = Load {
                records,
                bytes: 100 * records,
            };
            sketch.add(topic, tenant, &format!("tenant-{tenant}"), load);
        }
        let round = Round::of(SECOND);
        rates.fade(round);
        rates.add(&sketch, round);
    }

    fn rate_of(rates: &Rates, tenant: u64) -> f64 {
        let hottest = rates.hottest(1_000);
        let found = hottest.iter().find(|(key, _)| *key == tenant);
        found.map_or(0.0, |(_, tenant)| tenant.rate.records)
    }

    #[test]
    fn a_steady_rate_is_told_from_the_first_second_and_half_of_it_ten_seconds_after_its_end() {
        let mut rates = Rates::new(10);
        for second in 0..120 {
            round(&mut rates, &[(1, 500)]);
            assert!((rate_of(&rates, 1) - 500.0).abs() < 0.1, "second {second}");
        }
        for _ in 0..10 {
            round(&mut rates, &[(2, 100)]);
        }
        let (ended, new) = (rate_of(&rates, 1), rate_of(&rates, 2));
        assert!((ended - 250.0).abs() < 1.0, "{ended}");
        assert!((new - 50.0).abs() < 1.0, "{new}");
        for _ in 0..300 {
            round(&mut rates, &[]);
        }
        assert_eq!(rates.len(), 0, "who sends nothing is forgotten");
    }

    #[test]
    fn of_many_tenants_the_hottest_stay_and_what_others_may_miss_is_told() {
        let mut rates = Rates::new(5);
        for second in 0..20 {
            let mut loads: Vec<_> = (0..5).map(|large| (large, 1_000)).collect();
            loads.extend((0..50).map(|small| (100 + 50 * second + small, 1)));
            round(&mut rates, &loads);
            assert!(rates.len() <= 10);
        }
        let hottest: Vec<u64> = rates.hottest(5).into_iter().map(|(key, _)| key).collect();
        assert_eq!(hottest.len(), 5);
        assert!(hottest.iter().all(|key| *key < 5), "{hottest:?}");
        assert!(rates.missed() > 0.0 && rates.missed() < 10_000.0, "{}", rates.missed());
    }
}
