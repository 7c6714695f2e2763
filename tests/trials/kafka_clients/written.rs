//! Compares what one of Kafka's clients was told with its topic.

use std::collections::HashMap;

use base64_simd::STANDARD;
use serde_json::Value;

use crate::support::{kafka::Kafka, known_records::key};

/// Between these times a sidecar was killed; microseconds since 1970.
#[derive(Debug)]
pub(super) struct Kill {
    pub(super) begun: u64,
    pub(super) ended: u64,
}

/// What is written of a client's records.
#[derive(Debug, Default)]
pub(super) struct Written {
    sent: usize,
    /// The records that were handed over before a kill, and had no answer at that time.
    in_doubt: usize,
    /// The records that are there more than once.
    pub(super) doubled: usize,
    /// The broken promises: the first few.
    wrong: Vec<String>,
    wrongs: usize,
}

impl Written {
    /// Compares, prints one line, and panics when a promise is broken: every record that was sent is there; it is there once, unless
    /// it had no answer at a kill; and in each partition the records stand in the order sent.
    pub(super) fn check(kafka: &Kafka, topic: &str, report: &Value, kills: &[Kill]) -> Self {
        let sent = report["sent"].as_u64().expect("a number");
        let short = |report: &Value| {
            format!(
                "{sent} sent, {} acked, failed: {}, error: {}",
                report["acked"], report["failed"], report["error"]
            )
        };
        assert_eq!(report["acked"], sent, "{topic}: {}", short(report));
        let in_doubt: Vec<bool> = times(report)
            .map(|time| kills.iter().any(|kill| kill.meets(time)))
            .collect();
        assert_eq!(in_doubt.len() as u64, sent, "a time for each record");
        let there = read(kafka, topic);
        let written = compare(&there, &in_doubt, !kills.is_empty());
        let Self {
            sent,
            in_doubt,
            doubled,
            wrongs,
            ..
        } = written;
        eprintln!(
            "trial on {topic}: {sent} records sent and acked, {} there; {in_doubt} were without an answer at one of {} kills, {doubled} \
             doubled; {wrongs} lost, out of order, wrongly doubled or made up; last error: {}",
            there.len(),
            kills.len(),
            report["error"]["message"]
        );
        assert!(written.wrong.is_empty(), "{topic}: {:#?}", written.wrong);
        written
    }

    fn wrong(&mut self, what: String) {
        self.wrongs += 1;
        if self.wrong.len() < 20 {
            self.wrong.push(what);
        }
    }
}

impl Kill {
    /// Whether a record that was handed over and answered at these times was without an answer at the kill.
    fn meets(&self, (handed_over, answered): (u64, u64)) -> bool {
        handed_over < self.ended && answered > self.begun
    }
}

fn times(report: &Value) -> impl Iterator<Item = (u64, u64)> {
    let times = report["times"].as_array().expect("times").iter();
    times.map(|time| (time[0].as_u64().expect("a time"), time[1].as_u64().expect("a time")))
}

/// The partition and number of each record, those of one partition in order.
fn read(kafka: &Kafka, topic: &str) -> Vec<(u64, usize)> {
    let record = |line: String| {
        let record: Value = serde_json::from_str(&line).expect("JSON");
        let headers = record["headers"].as_array().expect("headers");
        let number = headers.iter().find(|header| header[0] == "n").expect("a number");
        let number = STANDARD
            .decode_to_vec(number[1].as_str().expect("a number"))
            .expect("base64");
        let number = std::str::from_utf8(&number).expect("text").parse().expect("a number");
        (record["partition"].as_u64().expect("a partition"), number)
    };
    kafka.read(topic).expect("readable").into_iter().map(record).collect()
}

/// `in_doubt`: for each record that was sent, whether it may be there more than once.
fn compare(there: &[(u64, usize)], in_doubt: &[bool], killed: bool) -> Written {
    let mut written = Written {
        sent: in_doubt.len(),
        in_doubt: in_doubt.iter().filter(|doubt| **doubt).count(),
        ..Written::default()
    };
    let mut copies = vec![0_usize; in_doubt.len()];
    let mut last: HashMap<u64, usize> = HashMap::new();
    for &(partition, n) in there {
        let Some(copies) = copies.get_mut(n) else {
            written.wrong(format!("nobody sent {n}"));
            continue;
        };
        *copies += 1;
        // A record without a key may be sent to another partition when it comes again.
        if *copies > 1 || killed && key(n).is_none() {
            continue;
        }
        if let Some(before) = last.insert(partition, n).filter(|before| *before > n) {
            written.wrong(format!("{n} stands behind {before} in partition {partition}"));
        }
    }
    for (n, (&copies, &in_doubt)) in copies.iter().zip(in_doubt).enumerate() {
        written.doubled += usize::from(copies > 1);
        match copies {
            0 => written.wrong(format!("{n} is lost")),
            1 => {}
            _ if in_doubt => {}
            copies => written.wrong(format!("{n} is there {copies} times")),
        }
    }
    written
}

#[test]
fn the_checker_of_kafka_clients_finds_each_thing_that_must_not_be() {
    let in_doubt = [false, true, false];
    let wrongs = |there: &[(u64, usize)]| compare(there, &in_doubt, true).wrongs;
    assert_eq!(wrongs(&[(0, 0), (0, 1), (0, 2)]), 0);
    assert_eq!(wrongs(&[(0, 0), (0, 1), (0, 1), (0, 2)]), 0, "no promise");
    for (what, there) in [
        ("lost", &[(0, 0), (0, 1)][..]),
        ("doubled", &[(0, 0), (0, 1), (0, 2), (0, 2)]),
        ("out of order", &[(0, 1), (0, 0), (0, 2)]),
        ("made up", &[(0, 0), (0, 1), (0, 2), (0, 3)]),
    ] {
        assert_eq!(wrongs(there), 1, "{what}");
    }
    let kill = Kill { begun: 10, ended: 12 };
    let meets = [(1, 9), (1, 11), (11, 20), (13, 20)].map(|time| kill.meets(time));
    assert_eq!(meets, [false, true, true, false]);
}
