//! Which tenants have series among the metrics: those that send most now, and for a while those that did so last.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    rates::Tenant,
    sketch::{ByHash, Load, Sketch},
};
use crate::base::metrics::LoadMetrics;

/// The name under which all other tenants are counted. A tenant that has this name is counted there, too.
pub(super) const OTHER: &str = "other";
/// How long a series stays after its tenant was last among those that send most.
const STAY: Duration = Duration::from_secs(600);
/// The most topics whose other tenants have series: clients may name many topics one after the other.
const MOST_TOPICS: usize = 1_000;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Series {
    most: usize,
    shown: ByHash<Shown>,
    /// The topics with other tenants, with when they last sent.
    others: HashMap<Arc<str>, Instant>,
}

#[derive(Debug)]
struct Shown {
    topic: Arc<str>,
    name: Arc<str>,
    /// When it was last among those that send most.
    hot: Instant,
}

impl Series {
    /// At most `most` tenants that send most, and as many that did so before.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            shown: ByHash::default(),
            others: HashMap::new(),
        }
    }

    /// Takes in what came in one round. `hottest`: the tenants that send most now.
    pub(super) fn round(
        &mut self,
        sketches: &[Sketch],
        hottest: &[(u64, Tenant)],
        now: Instant,
        metrics: &LoadMetrics,
    ) {
        for (key, tenant) in hottest
            .iter()
            .take(self.most)
            .filter(|(_, tenant)| &*tenant.name != OTHER)
        {
            let shown = self.shown.entry(*key).or_insert_with(|| Shown {
                topic: Arc::clone(&tenant.topic),
                name: Arc::clone(&tenant.name),
                hot: now,
            });
            shown.hot = now;
        }
        self.leave(now, metrics);
        let mut others: HashMap<&Arc<str>, Load> = HashMap::new();
        for (topic, load) in sketches.iter().flat_map(Sketch::topics) {
            others.entry(topic).or_default().add(*load);
        }
        for (key, shown) in &self.shown {
            let mut load = Load::default();
            sketches.iter().for_each(|sketch| load.add(sketch.of(*key)));
            metrics.tenant(&shown.topic, &shown.name, load.records, load.bytes);
            if let Some(other) = others.get_mut(&shown.topic) {
                *other = other.without(load);
            }
        }
        for (topic, load) in others {
            metrics.tenant(topic, OTHER, load.records, load.bytes);
            self.others.insert(Arc::clone(topic), now);
        }
        self.others_leave(now, metrics);
    }

    fn others_leave(&mut self, now: Instant, metrics: &LoadMetrics) {
        let by_time = |(topic, last): (&Arc<str>, &Instant)| (*last, Arc::clone(topic));
        let mut topics: Vec<(Instant, Arc<str>)> = self.others.iter().map(by_time).collect();
        topics.sort_unstable();
        let too_many = topics.len().saturating_sub(MOST_TOPICS);
        for (index, (last, topic)) in topics.into_iter().enumerate() {
            if index < too_many || now.duration_since(last) >= STAY {
                metrics.tenant_gone(&topic, OTHER);
                self.others.remove(&topic);
            }
        }
    }

    fn leave(&mut self, now: Instant, metrics: &LoadMetrics) {
        let mut cold: Vec<(Instant, u64)> = self.shown.iter().map(|(key, shown)| (shown.hot, *key)).collect();
        cold.retain(|(hot, _)| *hot != now);
        cold.sort_unstable();
        let too_many = cold.len().saturating_sub(self.most);
        for (index, (hot, key)) in cold.into_iter().enumerate() {
            if index >= too_many && now.duration_since(hot) < STAY {
                continue;
            }
            if let Some(shown) = self.shown.remove(&key) {
                metrics.tenant_gone(&shown.topic, &shown.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::metrics::Metrics,
        observe::rates::{Rates, Round},
    };

    struct World {
        metrics: Metrics,
        rates: Rates,
        series: Series,
        now: Instant,
    }

    impl World {
        fn new(most: usize) -> Self {
            Self {
                metrics: Metrics::new().expect("metrics"),
                rates: Rates::new(1_000),
                series: Series::new(most),
                now: Instant::now(),
            }
        }

        /// A second in which these tenants send so many records.
        fn second(&mut self, sent: &[(&str, u64)]) {
            let mut sketch = Sketch::new(1_000);
            for (tenant, records) in sent {
                let topic = sketch.topic(&Arc::from("orders"));
                let key = tenant.bytes().fold(7, |key: u64, byte| key * 31 + u64::from(byte));
                let load = Load {
                    records: *records,
                    bytes: 100 * records,
                };
                sketch.add(topic, key, tenant, load);
            }
            self.now += Duration::from_secs(1);
            let round = Round::of(Duration::from_secs(1));
            self.rates.fade(round);
            self.rates.add(&sketch, round);
            let hottest = self.rates.hottest(self.series.most);
            self.series.round(&[sketch], &hottest, self.now, &self.metrics.load);
        }

        fn shown(&self) -> Vec<String> {
            let text = String::from_utf8(self.metrics.render()).expect("text");
            let lines = text
                .lines()
                .filter(|line| line.starts_with("pointsman_tenant_records_total"));
            let short = |line: &str| {
                let (_, rest) = line.split_once("tenant=\"").expect("a tenant");
                rest.replace("\",topic=\"orders\"}", "").replace("\"}", "")
            };
            lines.map(short).collect()
        }

        fn records(&self) -> u64 {
            let count = |line: String| line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok());
            self.shown().into_iter().filter_map(count).sum()
        }
    }

    #[test]
    fn the_tenants_that_send_most_have_series_and_all_others_one() {
        let mut world = World::new(2);
        for _ in 0..3 {
            world.second(&[("a", 5), ("b", 100), ("c", 50), ("other", 70)]);
        }
        // A tenant that is called as all others are takes a place, but no series.
        assert_eq!(world.shown(), ["b 300", "other 375"]);
        assert_eq!(world.records(), 3 * 225);
    }

    #[test]
    fn however_the_tenants_change_the_series_are_bounded_and_no_record_is_lost() {
        let mut world = World::new(3);
        let mut sent = 0;
        let mut other = 0;
        for second in 0_u64..200 {
            let names: Vec<String> = (0..10).map(|number| format!("t{}", second / 4 * 7 + number)).collect();
            let loads: Vec<_> = names
                .iter()
                .zip(1..)
                .map(|(name, number)| (&**name, 3 * number * number))
                .collect();
            sent += loads.iter().map(|(_, records)| records).sum::<u64>();
            world.second(&loads);
            let shown = world.shown();
            assert!(shown.len() <= 2 * 3 + 1, "{shown:?}");
            let now = shown.iter().find_map(|line| line.strip_prefix("other ")?.parse().ok());
            let now: u64 = now.expect("the others");
            assert!(now >= other, "{now} after {other}");
            other = now;
        }
        assert!(world.records() <= sent);
        // Ten minutes after the rates have faded.
        for _ in 0..900 {
            world.second(&[]);
        }
        assert_eq!(
            world.shown(),
            Vec::<String>::new(),
            "series of tenants that send nothing leave"
        );
    }

    #[test]
    fn however_many_topics_come_and_go_their_series_are_bounded() {
        let metrics = Metrics::new().expect("metrics");
        let mut series = Series::new(0);
        let mut now = Instant::now();
        for round in 0..20 {
            now += Duration::from_secs(1);
            let mut sketch = Sketch::new(1_000);
            for number in 0..100 {
                let topic = sketch.topic(&Arc::from(format!("topic-{}", round * 100 + number)));
                let load = Load { records: 1, bytes: 100 };
                sketch.add(topic, number, "somebody", load);
            }
            series.round(&[sketch], &[], now, &metrics.load);
            let text = String::from_utf8(metrics.render()).expect("text");
            let shown = text
                .lines()
                .filter(|line| line.starts_with("pointsman_tenant_records_total"));
            assert!(shown.count() <= MOST_TOPICS);
            let newest = format!("topic=\"topic-{}\"", round * 100 + 99);
            assert!(text.contains(&newest), "{newest}");
        }
    }

    #[test]
    fn a_tenant_that_sends_less_than_others_keeps_its_series_for_ten_minutes() {
        let mut world = World::new(1);
        world.second(&[("a", 100)]);
        for _ in 0..590 {
            world.second(&[("a", 1), ("b", 50)]);
        }
        assert!(world.shown().iter().any(|line| line == "a 690"), "{:?}", world.shown());
        for _ in 0..60 {
            world.second(&[("a", 1), ("b", 50)]);
        }
        assert!(
            world.shown().iter().all(|line| !line.starts_with("a ")),
            "{:?}",
            world.shown()
        );
    }
}
