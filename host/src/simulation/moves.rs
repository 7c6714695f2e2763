//! Simulates whoever moves tenants: the rows of the routing table go into a move and out of it at any moment, and the
//! sidecar's half of it runs beside the clients.
//!
//! What must hold: from the moment that a hold is clear until the tenant may go to its old partition again, no record of the
//! tenant is written there.

use std::sync::Arc;

use fastrand::Rng;
use pointsman_routing::{Change, Move, Phase, Row, Table};

use super::{
    PARTITIONS, Sidecar, TOPIC,
    brokers::{Bug, Written},
};
use crate::follow::{Driver, GRACE, Planted};

/// Tenants are the keys of the records.
const TENANTS: u8 = 6;
/// No time settles an unknown outcome here: only an acknowledgement does.
const FOR_EVER: u32 = 1_000;

/// A part of a partition's log in which a tenant has no record.
#[derive(Debug)]
struct Window {
    tenant: String,
    partition: u32,
    begin: usize,
    end: Option<usize>,
}

/// A move that is under way.
struct Moving {
    tenant: String,
    from: u32,
    to: u32,
    /// It is given up after so many steps more.
    patience: usize,
    is_clear: bool,
}

pub(super) struct Mover {
    rng: Rng,
    sidecar: Sidecar,
    driver: Driver,
    table: Arc<Table>,
    moving: Option<Moving>,
    windows: Vec<Window>,
    bug: Option<Bug>,
    pub(super) switched: usize,
    pub(super) given_up: usize,
}

impl Mover {
    /// The tail is there already, and nothing moves.
    pub(super) fn new(sidecar: &Sidecar, rng: Rng, bug: Option<Bug>) -> Self {
        let mut driver = Driver::new(Arc::clone(&sidecar.pipeline), GRACE * FOR_EVER);
        driver.planted = match bug {
            Some(Bug::NoFence) => Some(Planted::NoFence),
            Some(Bug::ClearBeforeOutcomes) => Some(Planted::ClearBeforeOutcomes),
            Some(Bug::UnknownIsDefinite) => Some(Planted::UnknownIsDefinite),
            _ => None,
        };
        let empty = Table::empty("simulated", sidecar.pipeline.tenants.hashing().clone());
        let tail = Row::tail(TOPIC, PARTITIONS).expect("a tail");
        let (table, _) = empty.apply(vec![Change::Put(tail)]).expect("a table");
        let table = Arc::new(table);
        driver.put(Arc::clone(&table));
        Self {
            rng,
            sidecar: sidecar.clone(),
            driver,
            table,
            moving: None,
            windows: Vec::new(),
            bug,
            switched: 0,
            given_up: 0,
        }
    }

    pub(super) fn step(&mut self) {
        if self.rng.u8(..) < 6 {
            let forget = self.bug == Some(Bug::LanesForgotten);
            self.sidecar.pipeline.topics.make_anew(TOPIC, !forget);
        }
        self.driver.look();
        match self.moving.take() {
            None if self.rng.u8(..) < 40 && !self.sidecar.is_draining() => self.begin(),
            None => {}
            Some(moving) => self.go_on(moving),
        }
    }

    fn begin(&mut self) {
        let tenant = format!("key {}", self.rng.u8(0..TENANTS));
        let topic = self.table.topic(TOPIC).expect("the topic");
        let found = topic.find(&tenant, self.table.hashing().of(&tenant));
        let from = found.partitions(&tenant)[0];
        let to = self.rng.u32(0..PARTITIONS);
        self.put(&tenant, from, Some(to));
        self.moving = Some(Moving {
            tenant,
            from,
            to,
            patience: self.rng.usize(1..250),
            is_clear: false,
        });
    }

    fn go_on(&mut self, mut moving: Moving) {
        if !moving.is_clear && self.driver.is_clear(TOPIC, &moving.tenant) {
            moving.is_clear = true;
            self.windows.push(Window {
                tenant: moving.tenant.clone(),
                partition: moving.from,
                begin: self.sidecar.brokers.written(moving.from),
                end: None,
            });
        }
        moving.patience = moving.patience.saturating_sub(1);
        if moving.is_clear && self.rng.u8(..) < 30 {
            self.switched += 1;
            self.come_back(&moving.tenant, moving.to);
            self.put(&moving.tenant, moving.to, None);
        } else if moving.patience == 0 {
            self.given_up += 1;
            self.come_back(&moving.tenant, moving.from);
            self.put(&moving.tenant, moving.from, None);
        } else {
            self.moving = Some(moving);
        }
    }

    /// From now on the tenant may have records there.
    fn come_back(&mut self, tenant: &str, partition: u32) {
        let now = self.sidecar.brokers.written(partition);
        for window in &mut self.windows {
            if window.tenant == tenant && window.partition == partition {
                window.end.get_or_insert(now);
            }
        }
    }

    /// Puts a table in place with this row.
    fn put(&mut self, tenant: &str, partition: u32, to: Option<u32>) {
        let row = Row {
            moving: to.map(|to| Move {
                id: "simulated".to_owned(),
                phase: Phase::Pause,
                slots: vec![0],
                to: vec![to],
                barrier: Default::default(),
            }),
            ..Row::shared(TOPIC, tenant, partition)
        };
        let (table, _) = self.table.apply(vec![Change::Put(row)]).expect("a table");
        self.table = Arc::new(table);
        self.driver.put(Arc::clone(&self.table));
    }

    /// Checks the logs in the end.
    pub(super) fn check(&self, logs: &[Vec<Written>]) -> Result<(), String> {
        for window in &self.windows {
            let log = &logs[window.partition as usize];
            let end = window.end.unwrap_or(log.len());
            let is_of_tenant = |written: &&Written| written.key.as_deref() == Some(window.tenant.as_bytes());
            if let Some(written) = log[window.begin..end].iter().find(is_of_tenant) {
                return Err(format!(
                    "{written:?} is in the partition that its tenant had left: {window:?}"
                ));
            }
        }
        Ok(())
    }
}
