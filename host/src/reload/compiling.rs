//! Compilations under way. Each has a thread of its own, so that a plugin whose compilation takes long delays no other
//! plugin: other changes are brought in meanwhile.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    commands::Order,
    found::{Cause, Found, Known},
    look::Look,
    message::Message,
    reloader::Reloader,
    state::Compiling,
};
use crate::plugin::file::{Content, Signature};

/// Changes that come together are brought in together, if their compilations take no longer than this.
const PATIENCE: Duration = Duration::from_secs(1);
/// Compilations at once that may still be short. More would only slow each other down.
const AT_ONCE: usize = 2;
/// A compilation that has taken this long is not short, and other compilations may begin beside it.
const LONG: Duration = Duration::from_secs(5);
/// Compilations at once in all: each may take the full memory that a compilation is allowed.
const IN_ALL: usize = 4;
/// How often a compilation that waits for a place checks whether there is one.
const LOOK: Duration = Duration::from_millis(100);

/// What the thread has yet to do.
#[derive(Default)]
pub(super) struct Due {
    /// Since when there is a change to bring in.
    changed: Option<Instant>,
    /// The orders that wait for that.
    pub(super) orders: Vec<Order>,
}

impl Due {
    /// Notes that there is a change to bring in.
    pub(super) fn changed(&mut self) {
        self.changed.get_or_insert_with(Instant::now);
    }
}

impl Reloader {
    /// Looks at a plugin's file, and begins to compile new content.
    pub(super) fn look_at_plugin(self: &Arc<Self>, due: &mut Due, name: &str, ordered: bool) {
        let (known, ordered) = {
            let mut state = self.state();
            let plugin = state.plugins.entry(name.to_owned()).or_default();
            if let Some(compiling) = &mut plugin.compiling {
                // The thread looks at the file again when this compilation has ended.
                compiling.ordered |= ordered;
                return;
            }
            let ordered = ordered || plugin.postponed.take() == Some(true);
            if plugin.calm.holds(Instant::now()) && !ordered {
                return;
            }
            (state.known(name), ordered)
        };
        match self.looker().look(&self.file(name), &known, ordered) {
            Look::Same => {}
            Look::Found(found) => {
                if self.found(name, found, ordered) {
                    due.changed();
                }
            }
            Look::New(signature, content) => self.compile(due, known, signature, content, ordered),
        }
    }

    fn compile(self: &Arc<Self>, due: &mut Due, known: Known, signature: Signature, content: Content, ordered: bool) {
        let name = known.name.clone();
        {
            let mut state = self.state();
            let has_place = has_place(state.compiling(), Instant::now());
            let plugin = state.plugins.entry(name.clone()).or_default();
            if !has_place {
                plugin.postponed = Some(ordered);
                return;
            }
            plugin.compiling = Some(Compiling {
                since: Instant::now(),
                ordered,
            });
        }
        let reloader = Arc::clone(self);
        let told = name.clone();
        let compiling = thread::Builder::new().name("compile".to_owned()).spawn(move || {
            let found = reloader.looker().compile(&known, signature, &content);
            drop(content);
            // The receiver is gone when the process is about to end.
            let _ = reloader.mailbox.send(Message::Compiled(told, found));
        });
        if let Err(error) = compiling {
            let failed = Found::Bad {
                signature: Some(signature),
                digest: None,
                reason: format!("it cannot be compiled: no thread is to be had: {error}"),
                cause: Cause::environment(&Found::Unseen, "", Instant::now()),
            };
            self.compiled(due, &name, failed);
        }
    }

    /// Takes the result of a compilation.
    pub(super) fn compiled(&self, due: &mut Due, name: &str, found: Found) {
        let ordered = {
            let mut state = self.state();
            let Some(plugin) = state.plugins.get_mut(name) else {
                // No route names the plugin any more.
                return;
            };
            plugin.compiling.take().is_some_and(|compiling| compiling.ordered)
        };
        if self.found(name, found, ordered) {
            due.changed();
        }
    }

    /// Brings in changes, unless a compilation that may belong to them is about to end. Then answers the orders.
    pub(super) fn bring_in(&self, due: &mut Due) {
        let now = Instant::now();
        if let Some(changed) = due.changed {
            // A compilation that began after the change belongs to a later change.
            let belongs = |compiling: Compiling| compiling.since <= changed && now - compiling.since < PATIENCE;
            if now - changed >= PATIENCE || !self.state().compiling().any(belongs) {
                due.changed = None;
                self.reconcile();
            }
        }
        if due.changed.is_some() {
            return;
        }
        let orders = std::mem::take(&mut due.orders);
        let is_open = |order: &Order| {
            let state = self.state();
            let plugin = state.plugins.get(order.name());
            plugin.is_some_and(|plugin| plugin.compiling.is_some() || plugin.postponed.is_some())
        };
        for order in orders {
            match is_open(&order) {
                true => due.orders.push(order),
                false => order.tell(self),
            }
        }
    }

    /// How long until there is something to look at, if no message comes.
    pub(super) fn next_look(&self, due: &Due) -> Duration {
        let now = Instant::now();
        let state = self.state();
        let calm = state.plugins.values().filter_map(|plugin| plugin.calm.until);
        let calm = calm.filter(|until| *until > now).map(|until| until - now);
        let waits = state.plugins.values().any(|plugin| plugin.postponed.is_some());
        let waits = waits.then_some(LOOK);
        let changed = due
            .changed
            .map(|since| (since + PATIENCE).saturating_duration_since(now));
        calm.chain(waits).chain(changed).fold(self.poll, Duration::min)
    }
}

fn has_place(under_way: impl Iterator<Item = Compiling>, now: Instant) -> bool {
    let (mut all, mut short) = (0, 0);
    for compiling in under_way {
        all += 1;
        short += usize::from(now - compiling.since < LONG);
    }
    all < IN_ALL && short < AT_ONCE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compilation_that_takes_long_keeps_no_other_waiting_and_there_are_never_many() {
        let now = Instant::now();
        let since = |seconds: &u64| Compiling {
            since: now - Duration::from_secs(*seconds),
            ordered: false,
        };
        let has_place = |ages: &[u64]| has_place(ages.iter().map(since), now);
        assert!(has_place(&[]) && has_place(&[0]) && has_place(&[60, 0]) && has_place(&[60, 60, 60]));
        assert!(!has_place(&[0, 0]) && !has_place(&[60, 1, 0]) && !has_place(&[60, 60, 60, 60]));
    }
}
