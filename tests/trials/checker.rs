//! Compares what clients were told with the topic.

use std::collections::{HashMap, HashSet};

use base64_simd::STANDARD;
use serde_json::Value;

use super::clients::{Ordered, Sent, ToldOutcome};
use crate::support::kafka::Kafka;

/// A record's client, stream and number.
type Name = (u64, u64, u64);
/// A record's partition and offset.
type Place = (u64, u64);

/// The content of a topic: for each record, its nonces and places.
pub(super) struct There(HashMap<Name, Vec<(u32, Place)>>);

/// How a trial ended.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) sent: usize,
    pub(super) acked: usize,
    pub(super) failed: usize,
    pub(super) rejected: usize,
    pub(super) unknown: usize,
    pub(super) untold: usize,
    pub(super) there: usize,
    /// How many `unknown` records are in the topic.
    pub(super) unknown_there: usize,
    /// How many records are in the topic more than once, promised or not.
    pub(super) doubled: usize,
    pub(super) generations: usize,
    /// The broken promises: the first few of each kind.
    wrong: Vec<String>,
    wrongs: usize,
}

impl There {
    pub(super) fn read(kafka: &Kafka, topic: &str) -> Self {
        let mut there: HashMap<Name, Vec<(u32, Place)>> = HashMap::new();
        for line in kafka.read(topic).expect("readable") {
            let record: Value = serde_json::from_str(&line).unwrap();
            let value = record["value"].as_str().expect("a value");
            let value = STANDARD.decode_to_vec(value).unwrap();
            let [client, stream, number, nonce]: [u64; 4] =
                serde_json::from_slice(&value).expect("a record that a client sent");
            let place = (
                record["partition"].as_u64().unwrap(),
                record["offset"].as_u64().unwrap(),
            );
            let nonce = u32::try_from(nonce).expect("a nonce");
            there.entry((client, stream, number)).or_default().push((nonce, place));
        }
        Self(there)
    }

    /// The client, partition and offset of each record.
    pub(super) fn places(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        let records = self.0.iter();
        records.flat_map(|((client, ..), found)| found.iter().map(|(_, place)| (*client, place.0, place.1)))
    }
}

/// Compares, prints one line, and panics when a promise is broken. Records of phases before `phase` may be missing.
pub(super) fn check(kafka: &Kafka, topic: &str, sent: &[Ordered], phase: u32) -> Figures {
    let figures = compare(There::read(kafka, topic), sent, phase);
    eprintln!("trial on {topic}: {}", figures.line());
    assert!(
        figures.wrong.is_empty(),
        "{topic}: {} things are as they must not be, among them {:#?}",
        figures.wrongs,
        figures.wrong
    );
    figures
}

fn compare(There(mut there): There, sent: &[Ordered], phase: u32) -> Figures {
    let mut figures = Figures {
        there: there.values().map(Vec::len).sum(),
        ..Figures::default()
    };
    let records = || sent.iter().flat_map(|stream| &stream.records);
    // The streams for which the promise that nothing is doubled does not hold.
    let troubled: HashSet<u64> = records()
        .filter(|record| matches!(record.outcome, ToldOutcome::Failed | ToldOutcome::Unknown))
        .map(|record| record.generation)
        .collect();
    let told = records().filter(|record| record.outcome != ToldOutcome::Untold);
    figures.generations = told.map(|record| record.generation).collect::<HashSet<_>>().len();
    for Ordered {
        client,
        stream,
        records,
    } in sent
    {
        let mut last = HashMap::new();
        for (number, record) in (0..).zip(records) {
            let name = (*client, *stream, number);
            let found = there.remove(&name).unwrap_or_default();
            figures.count(record, &found);
            figures.record(name, record, &found, troubled.contains(&record.generation), phase);
            // In a topic that was made again, offsets begin anew.
            if record.phase >= phase {
                figures.order(name, record, &found, &mut last);
            }
        }
    }
    for name in there.keys() {
        figures.wrong(format!("nobody sent {name:?}"));
    }
    figures
}

impl Figures {
    fn count(&mut self, record: &Sent, found: &[(u32, Place)]) {
        self.sent += 1;
        self.doubled += usize::from(found.len() > 1);
        *match record.outcome {
            ToldOutcome::Acked { .. } => &mut self.acked,
            ToldOutcome::Failed => &mut self.failed,
            ToldOutcome::Rejected => &mut self.rejected,
            ToldOutcome::Unknown => &mut self.unknown,
            ToldOutcome::Untold => &mut self.untold,
        } += 1;
        self.unknown_there += usize::from(record.outcome == ToldOutcome::Unknown && !found.is_empty());
    }

    fn record(&mut self, name: Name, record: &Sent, found: &[(u32, Place)], troubled: bool, phase: u32) {
        if found.iter().any(|(nonce, _)| *nonce != record.nonce) {
            self.wrong(format!("{name:?} is there with another nonce: {found:?}"));
        }
        if found.len() > 1 && !troubled {
            self.wrong(format!("{name:?} was sent once and stands at {found:?}"));
        }
        match &record.outcome {
            ToldOutcome::Acked { .. } if found.is_empty() => {
                if record.phase >= phase {
                    self.wrong(format!("{name:?} was acked and is lost"));
                }
            }
            ToldOutcome::Acked { partition, offset } => {
                let told = |place: &Place| place.0 == *partition && offset.is_none_or(|offset| offset == place.1);
                if record.phase >= phase && !found.iter().any(|(_, place)| told(place)) {
                    self.wrong(format!("{name:?} is at {found:?}, and its client was told {record:?}"));
                }
            }
            ToldOutcome::Unknown => {}
            ToldOutcome::Failed | ToldOutcome::Rejected | ToldOutcome::Untold if found.is_empty() => {}
            ToldOutcome::Failed | ToldOutcome::Rejected | ToldOutcome::Untold => {
                self.wrong(format!("{name:?} was called {record:?} and stands at {found:?}"));
            }
        }
    }

    /// `last`: the record before it, by generation and partition.
    fn order(
        &mut self,
        name: Name,
        record: &Sent,
        found: &[(u32, Place)],
        last: &mut HashMap<(u64, u64), (u64, Name)>,
    ) {
        let (ToldOutcome::Acked { partition, offset }, Some((_, first))) = (&record.outcome, found.first()) else {
            return;
        };
        let offset = offset.unwrap_or(first.1);
        let before = last.insert((record.generation, *partition), (offset, name));
        if let Some(before) = before.filter(|before| before.0 >= offset) {
            self.wrong(format!("{name:?} at {offset} of {partition} stands before {before:?}"));
        }
    }

    fn wrong(&mut self, what: String) {
        const SHOWN: usize = 20;
        self.wrongs += 1;
        if self.wrong.len() < SHOWN {
            self.wrong.push(what);
        }
    }

    fn line(&self) -> String {
        let Self {
            sent,
            acked,
            failed,
            rejected,
            unknown,
            untold,
            there,
            unknown_there,
            doubled,
            generations,
            wrongs,
            ..
        } = self;
        format!(
            "{sent} records sent: {acked} acked, {failed} failed, {rejected} rejected, {unknown} unknown ({unknown_there} of \
             them there), {untold} not taken; {there} there, {doubled} of them doubled; {generations} generations; {wrongs} \
             missing, out of order, doubled, made up, or there against what was told"
        )
    }
}

/// A topic with these records: number, nonce, offset; all in partition 0.
fn stands(records: &[(u64, u32, u64)]) -> There {
    let mut there: HashMap<Name, Vec<(u32, Place)>> = HashMap::new();
    for &(number, nonce, offset) in records {
        there.entry((0, 0, number)).or_default().push((nonce, (0, offset)));
    }
    There(there)
}

/// A stream whose records have their numbers as nonces.
fn told(outcomes: &[ToldOutcome]) -> Vec<Ordered> {
    let records = outcomes.iter().zip(0..).map(|(outcome, nonce)| Sent {
        nonce,
        phase: 0,
        outcome: outcome.clone(),
        generation: 1,
    });
    vec![Ordered {
        client: 0,
        stream: 0,
        records: records.collect(),
    }]
}

#[test]
fn the_checker_of_the_trials_finds_each_thing_that_must_not_be() {
    let acked = |offset| ToldOutcome::Acked {
        partition: 0,
        offset: Some(offset),
    };
    let wrongs = |there, outcomes: &[ToldOutcome]| compare(there, &told(outcomes), 0).wrongs;
    let two = [acked(0), acked(1)];
    assert_eq!(wrongs(stands(&[(0, 0, 0), (1, 1, 1)]), &two), 0);
    for (what, there) in [
        ("lost", stands(&[(0, 0, 0)])),
        ("doubled", stands(&[(0, 0, 0), (1, 1, 1), (1, 1, 2)])),
        ("made up", stands(&[(0, 0, 0), (1, 1, 1), (2, 2, 2)])),
        ("another's", stands(&[(0, 0, 0), (1, 7, 1)])),
        ("elsewhere", stands(&[(0, 0, 0), (1, 1, 5)])),
    ] {
        assert_eq!(wrongs(there, &two), 1, "{what}");
    }
    let swapped = [acked(1), acked(0)];
    assert_eq!(wrongs(stands(&[(0, 0, 1), (1, 1, 0)]), &swapped), 1, "out of order");
    for outcome in [ToldOutcome::Failed, ToldOutcome::Rejected, ToldOutcome::Untold] {
        assert_eq!(
            wrongs(stands(&[(0, 0, 0)]), std::slice::from_ref(&outcome)),
            1,
            "{outcome:?}"
        );
        assert_eq!(wrongs(stands(&[]), &[outcome]), 0);
    }
    // An unknown record may be there or not, and duplicates after it break no promise.
    let unknown = [acked(0), ToldOutcome::Unknown];
    assert_eq!(wrongs(stands(&[(0, 0, 0)]), &unknown), 0);
    assert_eq!(wrongs(stands(&[(0, 0, 0), (1, 1, 1), (0, 0, 2)]), &unknown), 0);
    // In a topic that was made again, earlier records may be missing.
    assert_eq!(compare(stands(&[]), &told(&two), 1).wrongs, 0);
}
