//! Who is to blame for a batch that a broker refused because of a record in it.
//!
//! librdkafka says so only where the broker names several such records: then they are INVALID_RECORD, and the others
//! INVALID_DIFFERENT_RECORD. Where there is one, its interceptors write the batch's error over that of each record (2.12.1,
//! `rd_kafka_interceptors_on_acknowledgement_queue`), and for a batch that is too large the broker names none. So the reports of a
//! batch, which come one after the other, are held until the last of them, and then what each record holds says whose fault it was.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use rdkafka::types::RDKafkaErrorCode;

use super::super::delivery_error;
use crate::{
    base::outcome::{Code, Outcome},
    produce::batch::Ticket,
    topic::Destination,
};

/// Reports of refused records that have not been passed on: of one batch, or of a few that were refused within a moment.
#[derive(Default)]
pub(super) struct Refused {
    reports: Mutex<Vec<Report>>,
    /// Whether there are any: it is asked with each acknowledgement.
    any: AtomicBool,
}

struct Report {
    error: RDKafkaErrorCode,
    ticket: Ticket,
}

impl Refused {
    /// A record that was certainly not written.
    pub(super) fn push(&self, error: RDKafkaErrorCode, ticket: Ticket) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.push(Report { error, ticket });
        self.any.store(true, Ordering::Relaxed);
    }

    /// No more of the batch follow: each gets its outcome.
    pub(super) fn settle(&self) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let mut reports = {
            let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
            self.any.store(false, Ordering::Relaxed);
            std::mem::take(&mut *reports)
        };
        while let Some(first) = reports.first() {
            let same = 1 + reports
                .iter()
                .skip(1)
                .take_while(|report| first.is_beside(report))
                .count();
            let rest = reports.split_off(same);
            settle_batch(reports);
            reports = rest;
        }
    }
}

impl Report {
    /// Whether both may be of one batch.
    fn is_beside(&self, other: &Self) -> bool {
        match (self.ticket.destination(), other.ticket.destination()) {
            (Some((topic, destination)), Some((other, at))) => {
                topic.name == other.name && destination.partition == at.partition
            }
            _ => false,
        }
    }
}

fn settle_batch(reports: Vec<Report>) {
    let guilty = guilty(&reports);
    for (index, Report { error, ticket }) in reports.into_iter().enumerate() {
        let Some((topic, _)) = ticket.destination() else {
            continue;
        };
        let told = delivery_error::of_report(error, true, &topic.name);
        let is_size = told.error().is_some_and(|error| error.code == Code::RecordTooLarge);
        let outcome = match guilty.contains(&index) {
            true => told,
            false if !guilty.is_empty() => Outcome::Failed(delivery_error::batch_refused(&topic.name)),
            false if is_size => Outcome::Failed(delivery_error::batch_too_large(&topic.name)),
            false => told,
        };
        ticket.complete(outcome);
    }
}

/// Empty where each report says it by itself, and where there is no telling.
fn guilty(reports: &[Report]) -> Vec<usize> {
    let told = |error| reports.iter().any(|report| report.error == error);
    let Some((topic, _)) = reports.first().and_then(|first| first.ticket.destination()) else {
        return Vec::new();
    };
    let error = delivery_error::of_report(reports[0].error, true, &topic.name);
    let destinations: Vec<Destination> = reports
        .iter()
        .filter_map(|report| Some(report.ticket.destination()?.1))
        .collect();
    match error.error() {
        Some(error) if !told(RDKafkaErrorCode::InvalidDifferentRecord) => topic.blame(error.code, &destinations),
        _ => Vec::new(),
    }
}
