//! The drain: from a signal or `POST /drain` to the last outcome, and the report of what was lost.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::sync::{Notify, watch};

use crate::{base::outcome::Kind, ingest::serve::Server, pipeline::Pipeline};

/// How long one flush of a drain takes at most.
const FLUSH_SLICE: Duration = Duration::from_millis(20);
/// Time after the deadline, for the last replies to be written and for the client library to end.
pub const LAST_WORDS: Duration = Duration::from_millis(500);

/// How a drain ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether every record got its outcome from the brokers. If not, the records left at the deadline were given up.
    pub finished: bool,
    /// Records that were outstanding at the deadline.
    pub left: u64,
    /// Of those, records that were acknowledged at the last moment.
    pub acked: u64,
    /// Of those, records that were certainly not written.
    pub failed: u64,
    /// Of those, records that may have been written.
    pub unknown: u64,
    /// The records of `failed` and `unknown`, by topic.
    pub topics: BTreeMap<String, Lost>,
}

/// Records of one topic that were given up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Records that were certainly not written.
    pub failed: u64,
    /// Records that may have been written.
    pub unknown: u64,
}

/// Asks for a drain and tells of its end. Shared by all that may ask and by the one task that drains.
#[derive(Debug)]
pub struct Drain {
    asked: Notify,
    report: watch::Sender<Option<Report>>,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            asked: Notify::new(),
            report: watch::Sender::new(None),
        }
    }
}

impl Drain {
    /// Asks for a drain and waits for its end. None if the process ends without one.
    pub async fn ask(&self) -> Option<Report> {
        self.asked.notify_one();
        let mut report = self.report.subscribe();
        report.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// Waits until somebody asks for a drain.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Tells every caller that asked, and leaves each a moment to send its reply.
    pub async fn ended(&self, report: Report) {
        self.report.send_replace(Some(report));
        if self.report.receiver_count() > 0 {
            tokio::time::sleep(LAST_WORDS / 5).await;
        }
    }
}

/// Finishes open requests, and records that no client waits for. False if the deadline came first.
pub async fn finish(pipeline: &Pipeline, server: &Server, deadline: Instant) -> bool {
    let mut closed = false;
    while Instant::now() < deadline {
        // A flush sends lingering records at once, but only those that were there when it began. Open requests still
        // bring more.
        let producer = Arc::clone(&pipeline.producer);
        let _ = tokio::task::spawn_blocking(move || producer.flush(FLUSH_SLICE)).await;
        closed = closed || tokio::time::timeout(FLUSH_SLICE, server.closed()).await.is_ok();
        if closed && pipeline.is_empty() {
            return true;
        }
    }
    // A client that does not close its connection has lost nothing.
    pipeline.is_empty()
}

/// Gives every remaining record its outcome, tells the clients that still listen, and reports what was lost.
pub async fn give_up(pipeline: &Pipeline, server: &Server) -> Report {
    let left = pipeline.admission.queued_records() as u64;
    let (before, topics_before) = (pipeline.metrics.handed_over(), pipeline.topics.counts());
    let producer = Arc::clone(&pipeline.producer);
    let _ = tokio::task::spawn_blocking(move || producer.purge()).await;
    let _ = tokio::time::timeout(LAST_WORDS, server.closed()).await;
    let (after, topics_after) = (pipeline.metrics.handed_over(), pipeline.topics.counts());
    let of = |kind: Kind| after[kind as usize] - before[kind as usize];
    let mut topics = BTreeMap::new();
    for (topic, after) in topics_after {
        let before = topics_before.get(&topic).copied().unwrap_or_default();
        // A topic that was dropped from the table meanwhile, and came back, counts from 0 again.
        let of = |kind: Kind| {
            after[kind as usize]
                .checked_sub(before[kind as usize])
                .unwrap_or(after[kind as usize])
        };
        let lost = Lost {
            failed: of(Kind::Failed),
            unknown: of(Kind::Unknown),
        };
        if lost != Lost::default() {
            topics.insert(topic.to_string(), lost);
        }
    }
    Report {
        finished: false,
        left,
        acked: of(Kind::Acked),
        failed: of(Kind::Failed),
        unknown: of(Kind::Unknown),
        topics,
    }
}

impl Report {
    /// Nothing was left.
    pub fn clean() -> Self {
        Self {
            finished: true,
            ..Self::default()
        }
    }

    /// The report by topic, for the log.
    pub fn log(&self) {
        if self.finished {
            tracing::info!("stopped: every record has its outcome");
            return;
        }
        let Self {
            left,
            acked,
            failed,
            unknown,
            topics,
            ..
        } = self;
        for (topic, lost) in topics {
            tracing::error!(
                topic,
                failed = lost.failed,
                unknown = lost.unknown,
                "records of a topic were given up"
            );
        }
        tracing::error!(
            left,
            acked,
            failed,
            unknown,
            "the drain deadline passed: {left} records were left, of which {failed} failed (not written) and {unknown} are \
             unknown (may be written)"
        );
    }
}
