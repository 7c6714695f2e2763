//! Compares what the clients were told with what was written.

use std::collections::HashMap;

use serde_json::Value;

use super::Sidecar;
use crate::base::outcome::Outcome;

/// What a client knows of one of its records.
#[derive(Debug)]
pub(super) struct Told {
    /// The client that sent the record. Its records have one order.
    pub(super) client: u64,
    /// The record's place in its client's order.
    pub(super) number: u64,
    pub(super) outcome: ToldOutcome,
    pub(super) generation: u32,
    /// Whether all records of its request were handed over together, so that all must be of this generation.
    pub(super) whole: bool,
    /// Whether the record was sent again, possibly behind its successors.
    pub(super) late: bool,
    /// Whether the record was `unknown` once and may have been sent again.
    pub(super) was_unknown: bool,
}

/// The outcome that a client was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ToldOutcome {
    Acked {
        partition: u64,
        offset: Option<u64>,
    },
    /// `failed` or `rejected`.
    NotWritten,
    Unknown,
    /// The client did not wait for the outcome.
    NotTold,
}

impl ToldOutcome {
    pub(super) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Acked(ack) => Self::Acked {
                partition: ack.partition.into(),
                offset: ack.offset.and_then(|offset| offset.try_into().ok()),
            },
            Outcome::Rejected(_) | Outcome::Failed(_) => Self::NotWritten,
            Outcome::Unknown(_) => Self::Unknown,
        }
    }

    /// The outcome in a line of a stream's answer.
    pub(super) fn told(line: &Value) -> Self {
        match line["outcome"].as_str() {
            Some("acked") => Self::Acked {
                partition: line["partition"].as_u64().expect("a partition"),
                offset: line["offset"].as_u64(),
            },
            Some("failed" | "rejected") => Self::NotWritten,
            Some("unknown") => Self::Unknown,
            other => panic!("{other:?} is not an outcome"),
        }
    }
}

/// Counts what happened in the runs, so that runs in which nothing happens are noticed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Figures {
    acked: usize,
    not_written: usize,
    unknown: usize,
    late: usize,
    duplicates: usize,
    fatal_errors: usize,
    drained: usize,
    switched: usize,
    given_up: usize,
}

impl Figures {
    /// Counts moves of tenants.
    pub(super) fn moved(&mut self, switched: usize, given_up: usize) {
        self.switched += switched;
        self.given_up += given_up;
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.acked += other.acked;
        self.not_written += other.not_written;
        self.unknown += other.unknown;
        self.late += other.late;
        self.duplicates += other.duplicates;
        self.fatal_errors += other.fatal_errors;
        self.drained += other.drained;
        self.moved(other.switched, other.given_up);
    }

    pub(super) fn assert_that_everything_happened(&self) {
        let Self {
            acked,
            not_written,
            unknown,
            late,
            duplicates,
            fatal_errors,
            drained,
            switched,
            given_up,
        } = *self;
        let of_records = [acked, not_written, unknown, late, duplicates];
        let all = [of_records.as_slice(), &[fatal_errors, drained, switched, given_up]].concat();
        assert!(!all.contains(&0), "{self:?}");
    }
}

/// Where a record is written.
#[derive(Debug, Clone, Copy)]
struct LogPosition {
    partition: u64,
    offset: u64,
    generation: u32,
}

type LogPositions = HashMap<(u64, u64), Vec<LogPosition>>;

/// Checks all promises. The error says which one was broken.
pub(super) fn check(sidecar: &Sidecar, told: &[Told]) -> Result<Figures, String> {
    let mut places = places(sidecar);
    let mut figures = Figures {
        fatal_errors: sidecar.brokers.fatal_errors(),
        drained: usize::from(sidecar.is_draining()),
        ..Figures::default()
    };
    let mut last: HashMap<(u64, u64, u32), (u64, u64)> = HashMap::new();
    let mut in_order: Vec<&Told> = told.iter().collect();
    in_order.sort_by_key(|told| (told.client, told.number));
    for told in in_order {
        let there = places.remove(&(told.client, told.number)).unwrap_or_default();
        check_one(told, &there)?;
        figures.count(told, &there);
        let ToldOutcome::Acked { partition, offset } = told.outcome else {
            continue;
        };
        let is_it =
            |place: &&LogPosition| place.partition == partition && offset.is_none_or(|offset| offset == place.offset);
        let Some(place) = there.iter().find(is_it) else {
            return Err(format!("{told:?} was acked and is not there: {there:?}"));
        };
        if !told.late {
            let now = (place.offset, told.number);
            let before = last.insert((told.client, partition, place.generation), now);
            if let Some(before) = before.filter(|before| before.0 > now.0) {
                return Err(format!(
                    "{told:?} stands before its predecessor (offset, number): {now:?}, {before:?}"
                ));
            }
        }
    }
    if let Some(record) = places.keys().next() {
        return Err(format!("nobody sent {record:?}"));
    }
    let reserved = (
        sidecar.pipeline.admission.queued_records(),
        sidecar.pipeline.admission.buffered(),
    );
    if reserved != (0, 0) {
        return Err(format!("room is reserved by nobody: {reserved:?}"));
    }
    Ok(figures)
}

fn places(sidecar: &Sidecar) -> LogPositions {
    let mut places = LogPositions::new();
    for (partition, log) in (0..).zip(sidecar.brokers.log()) {
        for (offset, written) in (0..).zip(log) {
            let text = String::from_utf8_lossy(&written.value).replace('"', "");
            let (client, number) = text.split_once(' ').expect("a record of a client");
            let record = (client.parse().expect("a number"), number.parse().expect("a number"));
            places.entry(record).or_default().push(LogPosition {
                partition,
                offset,
                generation: written.generation,
            });
        }
    }
    places
}

fn check_one(told: &Told, there: &[LogPosition]) -> Result<(), String> {
    if told.outcome == ToldOutcome::NotWritten && !told.was_unknown && !there.is_empty() {
        return Err(format!("{told:?} is there: {there:?}"));
    }
    if there.len() > 1 && !told.was_unknown {
        return Err(format!("{told:?} is there more than once: {there:?}"));
    }
    if told.whole && there.iter().any(|place| place.generation != told.generation) {
        return Err(format!("{told:?} is of another generation: {there:?}"));
    }
    Ok(())
}

impl Figures {
    fn count(&mut self, told: &Told, there: &[LogPosition]) {
        match told.outcome {
            ToldOutcome::Acked { .. } => self.acked += 1,
            ToldOutcome::NotWritten => self.not_written += 1,
            ToldOutcome::Unknown | ToldOutcome::NotTold => self.unknown += 1,
        }
        self.late += usize::from(told.late);
        self.duplicates += there.len().saturating_sub(1);
    }
}
