//! The result of a run, for people and for scripts.

use std::{collections::BTreeMap, fmt, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::process::Usage;
use crate::tools::cli::{Load, LoadFormat, LoadValues};

/// Latencies are kept from 1 µs to a minute, to three figures.
const LONGEST_US: u64 = 60_000_000;

/// What the connections have seen.
#[derive(Debug)]
pub(super) struct Observed {
    /// Latencies of answers, µs.
    latencies: Histogram<u64>,
    /// How many records were acked.
    pub(super) records: u64,
    /// How many answers had only acked records.
    pub(super) requests: u64,
    /// How many answers were not "all acked", by status and content.
    pub(super) others: BTreeMap<String, u64>,
}

impl Observed {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            latencies: Histogram::new_with_bounds(1, LONGEST_US, 3)?,
            records: 0,
            requests: 0,
            others: BTreeMap::new(),
        })
    }

    pub(super) fn latency(&mut self, latency: Duration) {
        self.latencies.saturating_record(latency.as_micros() as u64);
    }

    pub(super) fn other(&mut self, what: &str) {
        *self.others.entry(what.to_owned()).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.latencies.add(&other.latencies)?;
        self.records += other.records;
        self.requests += other.requests;
        for (what, count) in &other.others {
            *self.others.entry(what.clone()).or_default() += count;
        }
        Ok(())
    }
}

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// How records were sent.
    pub format: LoadFormat,
    /// The kind of socket.
    pub socket: &'static str,
    /// How many connections there were.
    pub connections: usize,
    /// Records in each request.
    pub batch: usize,
    /// Requests under way on each connection, or pieces of each stream. None: one, and as many as the sidecar takes.
    pub in_flight: Option<usize>,
    /// What the values are.
    pub values: Option<LoadValues>,
    /// Bytes of each value that is text, if they were given.
    pub value_bytes: Option<usize>,
    /// The rate that was asked for, records a second. None: as fast as possible.
    pub rate: Option<f64>,
    /// How long the measurement took.
    pub seconds: f64,
    /// Records that were acked.
    pub records: u64,
    /// Answers in which all records were acked.
    pub requests: u64,
    /// Records a second.
    pub records_per_second: f64,
    /// Requests a second.
    pub requests_per_second: f64,
    /// Latency of a request, or of a stream's record, in milliseconds. With a rate, it counts from when the request was
    /// due.
    pub latency_ms: Latency,
    /// How many answers were not "all acked", by status and content.
    pub others: BTreeMap<String, u64>,
    /// The sidecar's CPU seconds for a million records, if its process is known.
    pub cpu_seconds_per_million: Option<f64>,
    /// The most memory that the sidecar ever had resident, bytes, if its process is known.
    pub peak_resident_bytes: Option<u64>,
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
#[allow(missing_docs, reason = "shares of the answers that were not slower")]
pub struct Latency {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Report {
    pub(super) fn new(options: &Load, seen: Observed, took: Duration, used: Option<Usage>) -> Self {
        let at = |share: f64| seen.latencies.value_at_quantile(share) as f64 / 1e3;
        let seconds = took.as_secs_f64();
        Self {
            format: options.format,
            socket: if options.unix.is_some() { "unix" } else { "tcp" },
            connections: options.connections,
            batch: options.batch,
            in_flight: options.in_flight,
            values: options.values,
            value_bytes: options.value_bytes,
            rate: options.rate,
            seconds,
            records: seen.records,
            requests: seen.requests,
            records_per_second: seen.records as f64 / seconds,
            requests_per_second: seen.requests as f64 / seconds,
            latency_ms: Latency {
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p999: at(0.999),
                max: seen.latencies.max() as f64 / 1e3,
            },
            others: seen.others,
            cpu_seconds_per_million: used.map(|used| used.cpu_seconds * 1e6 / seen.records.max(1) as f64),
            peak_resident_bytes: used.map(|used| used.peak_resident_bytes),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latency {
            p50,
            p90,
            p99,
            p999,
            max,
        } = self.latency_ms;
        writeln!(
            f,
            "{:.0} records/s acked, {:.0} requests/s ({} records in {:.1} s)",
            self.records_per_second, self.requests_per_second, self.records, self.seconds
        )?;
        writeln!(
            f,
            "latency: p50 {p50:.2}  p90 {p90:.2}  p99 {p99:.2}  p99.9 {p999:.2}  max {max:.2} ms"
        )?;
        if let (Some(cpu), Some(peak)) = (self.cpu_seconds_per_million, self.peak_resident_bytes) {
            writeln!(
                f,
                "sidecar: {cpu:.2} CPU s a million records, at most {:.1} MiB resident",
                peak as f64 / f64::from(1 << 20)
            )?;
        }
        for (what, count) in &self.others {
            writeln!(f, "not acked: {count} x {what}")?;
        }
        Ok(())
    }
}
