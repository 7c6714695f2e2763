//! What was sent, what has to become of it, and whether the topic agrees.

use std::collections::HashMap;

/// What has to become of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its client was told that it is written.
    Must,
    /// It was sent whole, and its client was told nothing.
    May,
    /// It was never sent whole, was refused, or is no record at all.
    MustNot,
}

/// One ordered stream: the values of its records, in the order sent. No two values are the same.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) values: Vec<(String, Fate)>,
}

/// What no record may begin with: it is in what looks like a request, where none is.
pub(super) const POISON: &str = "poison";

/// What is wrong with the topic: its records by partition, each partition's in order.
pub(super) fn broken(topic: &[(i32, String)], lanes: &[Lane]) -> Vec<String> {
    let sent: HashMap<&str, (usize, usize)> = lanes
        .iter()
        .enumerate()
        .flat_map(|(lane, sent)| {
            let values = sent.values.iter().enumerate();
            values.map(move |(number, (value, _))| (value.as_str(), (lane, number)))
        })
        .collect();
    let mut broken = Vec::new();
    let mut counts: HashMap<(usize, usize), usize> = HashMap::new();
    let mut last: HashMap<(usize, i32), usize> = HashMap::new();
    for (partition, value) in topic {
        if value.trim_start_matches('"').starts_with(POISON) {
            broken.push(format!("a part of a body was taken for a request: {value:.120}"));
            continue;
        }
        let Some(&(lane, number)) = sent.get(value.as_str()) else {
            broken.push(format!("nobody sent {value:.120}"));
            continue;
        };
        *counts.entry((lane, number)).or_default() += 1;
        if last.insert((lane, *partition), number) > Some(number) {
            let name = &lanes[lane].name;
            broken.push(format!(
                "{name}: in partition {partition} stands too late: {value:.120}"
            ));
        }
    }
    for (lane, sent) in lanes.iter().enumerate() {
        for (number, (value, fate)) in sent.values.iter().enumerate() {
            let count = counts.get(&(lane, number)).copied().unwrap_or_default();
            let fine = match fate {
                Fate::Must => count == 1,
                Fate::May => count <= 1,
                Fate::MustNot => count == 0,
            };
            if !fine {
                broken.push(format!("{}: {fate:?}, is there {count} times: {value:.120}", sent.name));
            }
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes() -> Vec<Lane> {
        let lane = |name: &str, values: &[(&str, Fate)]| Lane {
            name: name.to_owned(),
            values: values
                .iter()
                .map(|(value, fate)| ((*value).to_owned(), *fate))
                .collect(),
        };
        vec![
            lane("a", &[("a1", Fate::Must), ("a2", Fate::May), ("a3", Fate::Must)]),
            lane("b", &[("b1", Fate::MustNot), ("b2", Fate::Must)]),
        ]
    }

    fn judged(topic: &[(i32, &str)]) -> Vec<String> {
        let topic: Vec<_> = topic
            .iter()
            .map(|(partition, value)| (*partition, (*value).to_owned()))
            .collect();
        broken(&topic, &lanes())
    }

    #[test]
    fn a_topic_in_order_breaks_nothing_and_every_planted_mistake_is_found() {
        for fine in [
            &[(0, "a1"), (0, "a2"), (0, "a3"), (1, "b2")][..],
            &[(0, "a3"), (0, "b2"), (1, "a1")],
        ] {
            assert_eq!(judged(fine), [""; 0]);
        }
        for (topic, expected) in [
            (
                &[(0, "a1"), (0, "a3"), (0, "b2"), (1, "poison 7")][..],
                "taken for a request",
            ),
            (
                &[(0, "a1"), (0, "a3"), (0, "b2"), (1, "\"poison 7\"")],
                "taken for a request",
            ),
            (&[(0, "a1"), (0, "b2")], "Must, is there 0 times: a3"),
            (
                &[(0, "a1"), (0, "a3"), (0, "b2"), (1, "b2")],
                "Must, is there 2 times: b2",
            ),
            (
                &[(0, "a1"), (0, "a2"), (0, "a3"), (0, "b2"), (1, "a2")],
                "May, is there 2 times: a2",
            ),
            (
                &[(0, "a1"), (0, "a3"), (0, "b1"), (0, "b2")],
                "MustNot, is there 1 times: b1",
            ),
            (&[(0, "a1"), (0, "a3"), (0, "b2"), (1, "c")], "nobody sent c"),
            (&[(0, "a3"), (0, "a1"), (0, "b2")], "stands too late: a1"),
        ] {
            let found = judged(topic);
            assert!(
                matches!(&found[..], [only] if only.contains(expected)),
                "{expected}: {found:?}"
            );
        }
    }
}
