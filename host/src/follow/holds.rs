//! Puts tables in place, and tells when a held tenant's old partitions are clear.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use pointsman_routing::{
    Table,
    hold::{Effect, Event, Holds, Tenant},
};
use tokio::time::Instant;

use super::{
    events,
    follower::{Follower, Held},
};
use crate::pipeline::Pipeline;

/// How often partitions are looked at while one of them is waited for.
const LOOK: Duration = Duration::from_millis(2);
/// How often what is shown is brought up to date otherwise.
const REST: Duration = Duration::from_secs(1);

/// A partition that a hold waits for.
#[derive(Debug)]
struct Watch {
    topic: Arc<str>,
    partition: u32,
    /// All from before this fence must be over.
    wanted: u64,
    /// The mark that tells it apart from what came later.
    mark: Option<u64>,
    is_drained: bool,
}

/// A bug that is planted on purpose.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planted {
    NoFence,
    ClearBeforeOutcomes,
    UnknownIsDefinite,
}

/// Does what [`Holds`] says. It has no thread of its own, so that a simulation can drive it.
pub(crate) struct Driver {
    pipeline: Arc<Pipeline>,
    grace: Duration,
    holds: Holds,
    watches: Vec<Watch>,
    held: Vec<Held>,
    /// What became clear and was not told yet, with how long that took.
    cleared: Vec<(Tenant, Duration)>,
    #[cfg(test)]
    pub(crate) planted: Option<Planted>,
}

impl Driver {
    pub(crate) fn new(pipeline: Arc<Pipeline>, grace: Duration) -> Self {
        Self {
            pipeline,
            grace,
            holds: Holds::default(),
            watches: Vec::new(),
            held: Vec::new(),
            cleared: Vec::new(),
            #[cfg(test)]
            planted: None,
        }
    }

    #[cfg(test)]
    fn has(&self, planted: Planted) -> bool {
        self.planted == Some(planted)
    }

    /// Whether a row is held and clear.
    #[cfg(test)]
    pub(crate) fn is_clear(&self, topic: &str, tenant: &str) -> bool {
        let mut holds = self.holds.iter();
        let is_it = |(row, _): &(&Tenant, _)| *row.topic == *topic && *row.tenant == *tenant;
        let hold = holds.find(is_it).map(|(_, hold)| hold.stage());
        hold == Some(pointsman_routing::hold::Stage::Clear)
    }

    /// Puts a table in place. What is resolved from now on is resolved by it; then what an older one resolved is sent back.
    pub(crate) fn put(&mut self, table: Arc<Table>) {
        let event = table.in_place();
        self.pipeline.tenants.put(table);
        self.step(&event);
    }

    /// Looks at the partitions that are waited for. False if none is.
    pub(crate) fn look(&mut self) -> bool {
        let mut events = Vec::new();
        let mut watches = std::mem::take(&mut self.watches);
        watches.retain_mut(|watch| !self.look_at(watch, &mut events));
        self.watches = watches;
        events.iter().for_each(|event| self.step(event));
        !self.watches.is_empty()
    }

    /// Looks at one partition. True if it is settled.
    fn look_at(&self, watch: &mut Watch, events: &mut Vec<Event>) -> bool {
        let (topic, partition) = (Arc::clone(&watch.topic), watch.partition);
        let Some(lane) = self.pipeline.topics.quota(&topic, partition) else {
            let fence = watch.wanted;
            events.push(Event::Settled {
                topic,
                partition,
                fence,
            });
            return true;
        };
        if watch.mark.is_none_or(|mark| mark < watch.wanted) {
            watch.is_drained = false;
            watch.mark = self.pipeline.admission.mark(&lane);
        }
        // Without a mark, what was there before an earlier one is still there.
        let Some(fence) = watch.mark else { return false };
        let under_way = lane.records_before_mark();
        #[cfg(test)]
        let under_way = if self.has(Planted::ClearBeforeOutcomes) {
            0
        } else {
            under_way
        };
        if under_way > 0 {
            return false;
        }
        if !std::mem::replace(&mut watch.is_drained, true) {
            events.push(Event::Drained {
                topic: Arc::clone(&topic),
                partition,
                fence,
            });
        }
        let unsettled = lane.unsettled_since().filter(|since| since.elapsed() < self.grace);
        #[cfg(test)]
        let unsettled = unsettled.filter(|_| !self.has(Planted::UnknownIsDefinite));
        if unsettled.is_some() {
            return false;
        }
        events.push(Event::Settled {
            topic,
            partition,
            fence,
        });
        true
    }

    fn step(&mut self, event: &Event) {
        for effect in self.holds.step(event) {
            match effect {
                Effect::Fence { version } => {
                    #[cfg(test)]
                    let version = if self.has(Planted::NoFence) { 0 } else { version };
                    // Marks that are set from now on have higher numbers.
                    let number = self.pipeline.admission.fence(version) + 1;
                    let version = self.pipeline.tenants.table().map_or(version, |table| table.version());
                    self.step(&Event::Fenced { version, number });
                }
                Effect::Watch {
                    topic,
                    partition,
                    fence,
                } => self.watch(topic, partition, fence),
                Effect::Clear { row, .. } => {
                    let since = self.held.iter().find(|held| held.row == row);
                    let took = since.map_or(Duration::ZERO, |held| held.since.elapsed());
                    self.cleared.push((row, took));
                }
                Effect::Released { .. } => {}
            }
        }
        let waits_for = |watch: &Watch| {
            self.holds
                .iter()
                .any(|(row, hold)| row.topic == watch.topic && hold.waits_for().contains(&watch.partition))
        };
        let mut watches = std::mem::take(&mut self.watches);
        watches.retain(waits_for);
        self.watches = watches;
        self.show();
    }

    fn watch(&mut self, topic: Arc<str>, partition: u32, fence: u64) {
        let same = |watch: &&mut Watch| watch.topic == topic && watch.partition == partition;
        match self.watches.iter_mut().find(same) {
            Some(watch) => watch.wanted = watch.wanted.max(fence),
            None => self.watches.push(Watch {
                topic,
                partition,
                wanted: fence,
                mark: None,
                is_drained: false,
            }),
        }
    }

    fn show(&mut self) {
        let before = std::mem::take(&mut self.held);
        let since = |row: &Tenant, version: u64| {
            let same = before.iter().find(|held| held.row == *row && held.version == version);
            same.map_or_else(Instant::now, |held| held.since)
        };
        self.held = self
            .holds
            .iter()
            .map(|(row, hold)| Held {
                row: row.clone(),
                version: hold.version,
                since: since(row, hold.version),
                stage: hold.stage(),
                waits_for: hold.waits_for(),
            })
            .collect();
    }
}

/// Puts the tables in place that come, until the store's thread has ended.
pub(super) fn run(mut driver: Driver, tables: &Receiver<Arc<Table>>, follower: &Follower) {
    let mut waits = driver.look();
    loop {
        let patience = if waits { LOOK } else { REST };
        match tables.recv_timeout(patience) {
            Ok(table) => {
                follower.in_place(&table);
                driver.put(table);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        waits = driver.look();
        for (row, took) in driver.cleared.drain(..) {
            events::Clear { row: &row, took }.emit(&follower.metrics.routing);
        }
        follower
            .metrics
            .routing
            .held
            .set(driver.held.len().cast_signed() as i64);
        follower.state().held.clone_from(&driver.held);
    }
}
