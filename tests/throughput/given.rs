//! What a turn of a contender gives.

use serde::{Deserialize, Serialize};

/// The result of a turn. CPU time and memory are those of the process that produces; latencies are those of a request, or
/// of a caller's records from the first sent to the last acknowledged.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Given {
    pub(crate) records_per_second: f64,
    pub(crate) cpu_seconds_per_million: f64,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) peak_bytes: Option<u64>,
}

/// What callers do in a turn: each sends a batch, waits until all its records are acknowledged, and sends the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    pub(crate) callers: usize,
    pub(crate) batch: usize,
    pub(crate) warm_up: f64,
    pub(crate) seconds: f64,
}

/// Smallest, median, largest.
pub(crate) fn spread(figures: impl IntoIterator<Item = f64>) -> [f64; 3] {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    let (below, above) = (figures[(figures.len() - 1) / 2], figures[figures.len() / 2]);
    [figures[0], f64::midpoint(below, above), figures[figures.len() - 1]]
}
