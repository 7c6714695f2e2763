//! What is measured. The environment may choose a part of it, with names separated by commas or semicolons:
//!
//! | | |
//! |---|---|
//! | `POINTSMAN_BENCH_TURNS` | how many turns each contender has; 3 |
//! | `POINTSMAN_BENCH_SECONDS` | how long a turn is, such as 0.5; 1 |
//! | `POINTSMAN_BENCH_RTT_MS` | round trips, such as `0,2`: any number of milliseconds |
//! | `POINTSMAN_BENCH_LAYOUTS` | partitions and brokers, such as `12x1` |
//! | `POINTSMAN_BENCH_ROWS` | rows, or how their names begin, such as `64 x 1;32 x 20` |
//! | `POINTSMAN_BENCH_CONTENDERS` | contenders, such as `sidecar,lib5` |
//! | `POINTSMAN_BENCH_BINARIES` | more sidecars, each another contender, such as `old=/path/to/pointsman` |
//!
//! Sidecars inherit all other variables. A sidecar may have settings of its own, after its path (which may be empty: the
//! binary that was built): those with a dot in their names are properties of Kafka's client, the others variables. So
//! `five=:max.in.flight.requests.per.connection=5,old=/path/to/pointsman:NAME=value` are two more contenders.

use std::{env, path::PathBuf};

use crate::support::sidecar::BINARY;

const TURNS: usize = 3;
const SECONDS: f64 = 1.0;
const ROUND_TRIPS_MS: [f64; 5] = [0.0, 0.5, 1.0, 2.0, 5.0];

/// A topic, and as many brokers. Three of them lead a third of its partitions each.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    /// Also the topic's name.
    pub(crate) name: &'static str,
    pub(crate) partitions: u32,
    pub(crate) nodes: usize,
}

const LAYOUTS: [Layout; 3] = [
    Layout {
        name: "3x1",
        partitions: 3,
        nodes: 1,
    },
    Layout {
        name: "12x1",
        partitions: 12,
        nodes: 1,
    },
    Layout {
        name: "12x3",
        partitions: 12,
        nodes: 3,
    },
];

/// What is sent: by `pointsman load` to the sidecar, and by callers of a producer without one.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) arguments: &'static [&'static str],
    pub(crate) callers: usize,
    pub(crate) batch: usize,
}

pub(crate) const ROWS: [Row; 5] = [
    Row {
        name: "1 x 1",
        arguments: &["--connections", "1", "--batch", "1"],
        callers: 1,
        batch: 1,
    },
    Row {
        name: "64 x 1",
        arguments: &["--connections", "64", "--batch", "1"],
        callers: 64,
        batch: 1,
    },
    Row {
        name: "32 x 20",
        arguments: &["--connections", "32", "--batch", "20"],
        callers: 32,
        batch: 20,
    },
    Row {
        name: "8 x 500 packed",
        arguments: &["--connections", "8", "--batch", "500", "--format", "packed"],
        callers: 8,
        batch: 500,
    },
    // Each stream keeps a hundred records under way, sent by ten. A caller who sends the next record for each that is
    // acknowledged is like a hundred callers of one record.
    Row {
        name: "stream 8 x 100",
        arguments: &[
            "--connections",
            "8",
            "--batch",
            "10",
            "--in-flight",
            "10",
            "--format",
            "stream",
        ],
        callers: 800,
        batch: 1,
    },
];

/// A way to get records to Kafka.
#[derive(Clone, PartialEq)]
pub(crate) enum Kind {
    Sidecar {
        binary: PathBuf,
        settings: Vec<(String, String)>,
    },
    /// So many requests in flight.
    Librdkafka(usize),
    Java(usize),
}

/// What to measure.
pub(crate) struct Choice {
    pub(crate) turns: usize,
    pub(crate) seconds: f64,
    pub(crate) round_trips: Vec<f64>,
    pub(crate) layouts: Vec<Layout>,
    pub(crate) rows: Vec<Row>,
    pub(crate) contenders: Vec<(String, Kind)>,
}

impl Choice {
    pub(crate) fn from_environment() -> Self {
        let number = |name| env::var(name).ok().map(|given| given.parse().expect(name));
        let round_trips = list("POINTSMAN_BENCH_RTT_MS").map(|given| {
            let numbers = given.iter().map(|number| number.parse().expect("milliseconds"));
            numbers.collect()
        });
        Self {
            turns: number("POINTSMAN_BENCH_TURNS").map_or(TURNS, |turns: f64| turns as usize),
            seconds: number("POINTSMAN_BENCH_SECONDS").unwrap_or(SECONDS),
            round_trips: round_trips.unwrap_or(ROUND_TRIPS_MS.to_vec()),
            layouts: chosen("POINTSMAN_BENCH_LAYOUTS", LAYOUTS.to_vec(), |layout, given| {
                layout.name == given
            }),
            rows: chosen("POINTSMAN_BENCH_ROWS", ROWS.to_vec(), |row, given| {
                row.name.starts_with(given)
            }),
            contenders: chosen("POINTSMAN_BENCH_CONTENDERS", contenders(), |(name, _), given| {
                name == given
            }),
        }
    }
}

fn contenders() -> Vec<(String, Kind)> {
    let mut all = vec![sidecar("sidecar=")];
    let more = list("POINTSMAN_BENCH_BINARIES").unwrap_or_default();
    all.extend(more.iter().map(|given| sidecar(given)));
    for (name, kind) in [
        ("lib1", Kind::Librdkafka(1)),
        ("lib5", Kind::Librdkafka(5)),
        ("java", Kind::Java(5)),
    ] {
        all.push((name.to_owned(), kind));
    }
    all
}

/// `name=/path:setting=value:setting=value`
fn sidecar(given: &str) -> (String, Kind) {
    let pair = |text: &str| {
        let (name, value) = text.split_once('=').expect("name=value");
        (name.to_owned(), value.to_owned())
    };
    let mut parts = given.split(':');
    let (name, path) = pair(parts.next().unwrap_or_default());
    let kind = Kind::Sidecar {
        binary: if path.is_empty() { BINARY } else { &path }.into(),
        settings: parts.map(pair).collect(),
    };
    (name, kind)
}

/// Those that a variable names; all, if it is not set.
fn chosen<T>(variable: &str, all: Vec<T>, is_meant: impl Fn(&T, &str) -> bool) -> Vec<T> {
    let Some(given) = list(variable) else {
        return all;
    };
    for name in &given {
        assert!(
            all.iter().any(|one| is_meant(one, name)),
            "{variable}: nothing is called {name}"
        );
    }
    let is_chosen = |one: &T| given.iter().any(|name| is_meant(one, name));
    all.into_iter().filter(is_chosen).collect()
}

fn list(variable: &str) -> Option<Vec<String>> {
    let given = env::var(variable).ok()?;
    let names = given.split([',', ';']).map(|name| name.trim().to_owned());
    Some(names.filter(|name| !name.is_empty()).collect())
}
