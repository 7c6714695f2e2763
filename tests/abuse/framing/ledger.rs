//! What was sent, what must be true of it, and whether the topic agrees.

use std::collections::HashMap;

/// Whether a record has to be in the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It must be: its client was told that it is written.
    Must,
    /// It may be: it was sent whole, and its client was told nothing.
    May,
    /// It must not be: it was never sent whole, was refused, or is not a record at all.
    MustNot,
}

/// One ordered stream: the values of its records, in the order sent. No two values are the same.
#[derive(Debug)]
pub(super) struct OrderedStream {
    pub(super) name: String,
    pub(super) values: Vec<(String, Presence)>,
}

/// The beginning of values that must never be written: they stand in text that only looks like a request.
pub(super) const POISON: &str = "poison";

/// What is wrong with the topic. `topic` has its records with their partitions, in order within each partition.
pub(super) fn broken(topic: &[(i32, String)], streams: &[OrderedStream]) -> Vec<String> {
    let sent: HashMap<&str, (usize, usize)> = streams
        .iter()
        .enumerate()
        .flat_map(|(stream, sent)| {
            let values = sent.values.iter().enumerate();
            values.map(move |(number, (value, _))| (value.as_str(), (stream, number)))
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
        let Some(&(stream, number)) = sent.get(value.as_str()) else {
            broken.push(format!("nobody sent {value:.120}"));
            continue;
        };
        *counts.entry((stream, number)).or_default() += 1;
        if last.insert((stream, *partition), number) > Some(number) {
            let name = &streams[stream].name;
            broken.push(format!(
                "{name}: in partition {partition} stands too late: {value:.120}"
            ));
        }
    }
    for (stream, sent) in streams.iter().enumerate() {
        for (number, (value, presence)) in sent.values.iter().enumerate() {
            let count = counts.get(&(stream, number)).copied().unwrap_or_default();
            let fine = match presence {
                Presence::Must => count == 1,
                Presence::May => count <= 1,
                Presence::MustNot => count == 0,
            };
            if !fine {
                broken.push(format!(
                    "{}: {presence:?}, is there {count} times: {value:.120}",
                    sent.name
                ));
            }
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams() -> Vec<OrderedStream> {
        let stream = |name: &str, values: &[(&str, Presence)]| OrderedStream {
            name: name.to_owned(),
            values: values
                .iter()
                .map(|(value, presence)| ((*value).to_owned(), *presence))
                .collect(),
        };
        vec![
            stream(
                "a",
                &[("a1", Presence::Must), ("a2", Presence::May), ("a3", Presence::Must)],
            ),
            stream("b", &[("b1", Presence::MustNot), ("b2", Presence::Must)]),
        ]
    }

    fn judged(topic: &[(i32, &str)]) -> Vec<String> {
        let topic: Vec<_> = topic
            .iter()
            .map(|(partition, value)| (*partition, (*value).to_owned()))
            .collect();
        broken(&topic, &streams())
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
