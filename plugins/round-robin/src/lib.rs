//! Sends the records of a topic to one partition after another, whatever their keys. Good for records that need no
//! order and all cost about the same; records with equal keys do not stay together.
//!
//! Each instance keeps its own turn for each topic. The host runs several instances, so the sidecar as a whole spreads
//! evenly but does not go round in strict order. A partition without a leader is skipped while another partition has
//! one; when none has, records go round as usual and wait.
//!
//! There is nothing to configure.

use std::collections::BTreeMap;

use pointsman_plugin::{Config, Decision, Partitioner, Record, export, murmur2};

/// More topics than a host serves by default. Beyond this all turns begin anew, which does no harm.
const MAX_TOPICS: usize = 1_024;

struct RoundRobin {
    /// The partition whose turn is next, by topic.
    next: BTreeMap<String, u32>,
}

impl RoundRobin {
    fn turn(&self, topic: &str) -> u32 {
        // The first turn comes from the topic's name, so that many topics do not all begin at partition 0.
        self.next
            .get(topic)
            .copied()
            .unwrap_or_else(|| murmur2(topic.as_bytes()))
    }

    fn set_turn(&mut self, topic: &str, turn: u32) {
        if let Some(next) = self.next.get_mut(topic) {
            *next = turn;
            return;
        }
        if self.next.len() >= MAX_TOPICS {
            self.next.clear();
        }
        self.next.insert(topic.to_owned(), turn);
    }
}

impl Partitioner for RoundRobin {
    fn configure(config: &Config) -> Result<Self, String> {
        config.expect_empty().map(|()| RoundRobin { next: BTreeMap::new() })
    }

    fn partition(&mut self, record: &Record<'_>, partitions: u32) -> Decision {
        let turn = self.turn(record.topic()) % partitions;
        let leaderless = record.topology().leaderless();
        let chosen = (turn..partitions)
            .chain(0..turn)
            .find(|partition| !leaderless.contains(partition));
        let chosen = chosen.unwrap_or(turn);
        self.set_turn(record.topic(), (chosen + 1) % partitions);
        Decision::Partition(chosen)
    }
}

export!(RoundRobin);

#[cfg(test)]
mod tests {
    use super::*;

    fn partitioner() -> RoundRobin {
        RoundRobin::configure(&Config::empty()).unwrap()
    }

    fn turns(partitioner: &mut RoundRobin, record: &Record<'_>, partitions: u32, count: usize) -> Vec<u32> {
        let mut turn = || match partitioner.partition(record, partitions) {
            Decision::Partition(partition) => partition,
            other => panic!("round-robin answered {other:?}"),
        };
        std::iter::repeat_with(&mut turn).take(count).collect()
    }

    #[test]
    fn every_partition_gets_its_turn_before_one_gets_a_second() {
        let turns = turns(&mut partitioner(), &Record::builder("t").key("same").build(), 5, 15);
        for (earlier, later) in turns.iter().zip(&turns[1..]) {
            assert_eq!((earlier + 1) % 5, *later, "{turns:?}");
        }
    }

    #[test]
    fn topics_that_alternate_do_not_take_turns_from_each_other() {
        let mut partitioner = partitioner();
        let (a, b) = (Record::builder("a").build(), Record::builder("b").build());
        let mut seen = [[0; 2]; 2];
        for _ in 0..10 {
            seen[0][turns(&mut partitioner, &a, 2, 1)[0] as usize] += 1;
            seen[1][turns(&mut partitioner, &b, 2, 1)[0] as usize] += 1;
        }
        assert_eq!(seen, [[5, 5], [5, 5]]);
    }

    #[test]
    fn a_partition_without_a_leader_is_passed_over_unless_all_are() {
        let record = Record::builder("t").leaderless([1, 2]).build();
        let mut seen = turns(&mut partitioner(), &record, 4, 4);
        seen.sort_unstable();
        assert_eq!(seen, [0, 0, 3, 3]);

        let mut seen = turns(
            &mut partitioner(),
            &Record::builder("t").leaderless([0, 1]).build(),
            2,
            2,
        );
        seen.sort_unstable();
        assert_eq!(seen, [0, 1]);
    }

    #[test]
    fn a_topic_may_gain_partitions_and_one_may_be_all_it_has() {
        let mut partitioner = partitioner();
        let record = Record::builder("t").build();
        assert_eq!(turns(&mut partitioner, &record, 1, 3), [0, 0, 0]);
        let mut seen = turns(&mut partitioner, &record, 3, 3);
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2]);
    }

    #[test]
    fn memory_stays_bounded_however_many_topics_come_by() {
        let mut partitioner = partitioner();
        for topic in 0..3 * MAX_TOPICS {
            turns(&mut partitioner, &Record::builder(topic.to_string()).build(), 8, 1);
            assert!(partitioner.next.len() <= MAX_TOPICS);
        }
    }

    #[test]
    fn a_config_that_would_be_ignored_is_refused() {
        let config = Config::from_json(r#"{"start": 1}"#).unwrap();
        assert!(RoundRobin::configure(&config).is_err_and(|message| message.contains("`start`")));
    }
}
