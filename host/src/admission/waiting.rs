//! Asks for room, and waits for it in line.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::{
    gate::{Busy, Gate, NotTaken},
    line::{Short, Waiter},
    wants::Wants,
};

/// How often the line is checked.
const TICK: Duration = Duration::from_millis(1);

impl Gate {
    /// Takes all that is wanted, or waits for it up to `patience`.
    pub(super) async fn take(self: &Arc<Self>, wants: Wants, patience: Duration) -> Result<Taken, NotTaken> {
        match self.ask(wants)? {
            Asked::Taken(taken) => Ok(taken),
            Asked::Waits(waiting) => waiting.wait(patience).await,
        }
    }

    /// Like [`Gate::take`], for bytes, which no table decides about.
    pub(super) async fn take_bytes(self: &Arc<Self>, wants: Wants, patience: Duration) -> Result<(), Busy> {
        match self.take(wants, patience).await {
            Ok(_) => Ok(()),
            Err(NotTaken::Busy(busy)) => Err(busy),
            Err(NotTaken::Outdated) => unreachable!("bytes do not depend on a table"),
        }
    }

    fn ask(self: &Arc<Self>, wants: Wants) -> Result<Asked, NotTaken> {
        let mut line = self.line();
        if line.is_outdated(&wants) {
            return Err(NotTaken::Outdated);
        }
        if line.waiters.is_empty() {
            // A new round: nobody is short of anything yet.
            line.short = Short::after(&line.short);
        }
        let lack = self.lack(&wants, &line.short);
        if !lack.anything() {
            self.add(line.fence, &wants);
            return Ok(Asked::Taken(Taken {
                wants,
                fence: line.fence,
            }));
        }
        if lack.for_partition() && line.waiting_bytes + wants.held > self.bounds.waiting {
            return Err(self.busy(&wants, &lack, Duration::ZERO).into());
        }
        lack.mark(&wants, &mut line.short);
        let waiter = Arc::new(Waiter {
            for_partition: lack.for_partition(),
            wants,
            taken: AtomicBool::new(false),
            fence: AtomicU64::new(0),
            sent_back: AtomicBool::new(false),
            left: AtomicBool::new(false),
            bell: Notify::new(),
        });
        line.enter(&waiter);
        if !mem::replace(&mut line.looked_after, true) {
            tokio::spawn(look_after(Arc::clone(self)));
        }
        Ok(Asked::Waits(Waiting {
            gate: Arc::clone(self),
            waiter,
        }))
    }
}

/// Checks the line each tick, until nobody waits any more.
async fn look_after(gate: Arc<Gate>) {
    loop {
        tokio::time::sleep(TICK).await;
        if !gate.look() {
            return;
        }
    }
}

/// Room that was taken.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) wants: Wants,
    /// The fence that it was taken after.
    pub(super) fence: u64,
}

/// What becomes of a request for room.
enum Asked {
    Taken(Taken),
    Waits(Waiting),
}

/// A request's place in line. If it is dropped after the request was let in but before the request noticed, the room is given
/// back.
struct Waiting {
    gate: Arc<Gate>,
    waiter: Arc<Waiter>,
}

impl Waiting {
    /// Waits for room, up to `patience`.
    async fn wait(self, patience: Duration) -> Result<Taken, NotTaken> {
        let rung = tokio::time::timeout(patience, self.waiter.bell.notified()).await;
        let mut line = self.gate.line();
        // Checked under the lock, because the bell may have rung just after the patience ended.
        if self.waiter.taken.load(Ordering::Relaxed) {
            // From here on the room belongs to the caller, so the drop must not give it back.
            self.waiter.taken.store(false, Ordering::Relaxed);
            self.waiter.left.store(true, Ordering::Relaxed);
            return Ok(Taken {
                wants: self.waiter.wants.clone(),
                fence: self.waiter.fence.load(Ordering::Relaxed),
            });
        }
        if self.waiter.sent_back.load(Ordering::Relaxed) {
            return Err(NotTaken::Outdated);
        }
        debug_assert!(
            rung.is_err(),
            "the bell rings only for waiters that were let in or sent back"
        );
        line.leave(&self.waiter);
        let mut lack = self.gate.lack(&self.waiter.wants, &line.short);
        if !lack.anything() {
            // There is room at this moment, but the line was not checked in time. Report the queue of records as the reason.
            lack.records = true;
        }
        Err(self.gate.busy(&self.waiter.wants, &lack, patience).into())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut line = self.gate.line();
        line.leave(&self.waiter);
        if self.waiter.taken.load(Ordering::Relaxed) {
            let fence = self.waiter.fence.load(Ordering::Relaxed);
            self.gate.give_back(fence, &self.waiter.wants);
        }
    }
}
