//! Finds the record that made a broker refuse its whole batch.
//!
//! librdkafka marks the guilty records only if the broker names several: their reports have INVALID_RECORD, and those of the
//! others INVALID_DIFFERENT_RECORD. If the broker names one record, librdkafka's interceptors write the batch's error over the
//! error of each record (2.12.1, `rd_kafka_interceptors_on_acknowledgement_queue`). For a batch that is too large the broker
//! names none. So the reports of a batch, which come one after the other, are kept until the last one has come. Then the
//! records are compared, and the guilty one is the one that differs.

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

/// Reports of refused records that have no outcome yet: those of one batch, or of a few batches refused at nearly the same time.
#[derive(Default)]
pub(super) struct Refused {
    reports: Mutex<Vec<Report>>,
    /// Whether there are any. Read with each acknowledgement, where taking the lock would cost too much.
    any: AtomicBool,
}

/// The delivery report of one refused record.
struct Report {
    error: RDKafkaErrorCode,
    ticket: Ticket,
}

impl Refused {
    /// Adds a record that was certainly not written.
    pub(super) fn push(&self, error: RDKafkaErrorCode, ticket: Ticket) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.push(Report { error, ticket });
        self.any.store(true, Ordering::Relaxed);
    }

    /// Gives each record its outcome. Called when no more reports of the batch will follow.
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
                .take_while(|report| first.may_share_batch_with(report))
                .count();
            let rest = reports.split_off(same);
            settle_batch(reports);
            reports = rest;
        }
    }
}

impl Report {
    /// Whether both records may be of one batch, which has one topic and one partition.
    fn may_share_batch_with(&self, other: &Self) -> bool {
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

/// The indexes of the guilty records. Empty if the reports' own errors name them, and also if they cannot be found.
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
