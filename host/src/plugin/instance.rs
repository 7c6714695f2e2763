//! One instance of a plugin, and a call into it.

use std::{sync::Arc, time::Instant};

use wasmtime::{Store, UpdateDeadline};

use super::{
    CallError, Decision,
    bindings::{Plugin, exports::pointsman::partitioner::partitioner as wit},
    code::Code,
    imports::{Current, State, truncate},
    limits::{Limits, Memory, OverTime, Time},
};
use crate::{metrics::PluginMetrics, record::Record, topics::Partitions};

/// Longest message of a refusal or a trap that a client is shown, bytes.
const MESSAGE_BYTES: usize = 1_024;
/// One call in so many is timed: reading the clock twice costs a fifth of a call.
const TIMED_ONE_IN: u32 = 64;

/// A plugin's instance with its own memory. After an error it is poisoned and must be dropped.
pub(super) struct Instance {
    store: Store<State>,
    plugin: Plugin,
    calls: u32,
}

impl Instance {
    /// Makes and configures one.
    pub(super) fn new(code: &Code, limits: &Limits, config: &str) -> Result<Self, CallError> {
        let time = Time::new(limits.configure, limits.configure * 10);
        let state = State::new(&code.name, &code.log_window, Memory::new(limits.memory_bytes), time);
        let mut store = Store::new(code.engine.wasm(), state);
        store.limiter(|state| &mut state.memory);
        // What a plugin may make the host copy in one call: it cannot hand over more than it can hold.
        store.set_hostcall_fuel(limits.memory_bytes);
        let engine = code.engine.clone();
        store.epoch_deadline_callback(move |mut context| {
            engine.still_used();
            context.data_mut().time.check(engine.coarse_ms())?;
            Ok(UpdateDeadline::Continue(1))
        });
        store.set_epoch_deadline(1);
        code.engine.wake();
        let unavailable = |reason: String| CallError::Unavailable {
            plugin: code.name.to_string(),
            reason,
        };
        let plugin = match code.pre.instantiate(&mut store) {
            Ok(plugin) => plugin,
            Err(error) => return Err(unavailable(reason(&mut store, &error))),
        };
        let answer = plugin
            .pointsman_partitioner_partitioner()
            .call_configure(&mut store, config);
        match answer {
            Ok(Ok(())) => Ok(Self {
                store,
                plugin,
                calls: 0,
            }),
            Ok(Err(mut refusal)) => {
                truncate(&mut refusal, MESSAGE_BYTES);
                Err(unavailable(format!(
                    "it refused its config {}: {refusal}",
                    shown(config)
                )))
            }
            Err(error) => {
                let reason = reason(&mut store, &error);
                Err(unavailable(format!("configure failed: {reason}")))
            }
        }
    }

    /// Asks for a decision. On an error the instance is poisoned.
    pub(super) fn partition(
        &mut self,
        code: &Code,
        limits: &Limits,
        metrics: &PluginMetrics,
        record: Record,
        partitions: &Arc<Partitions>,
    ) -> (Record, Result<Decision, CallError>) {
        code.engine.wake();
        // A reference count, not a copy: the record itself is lent to the imports meanwhile.
        let key = record.key.clone();
        let state = self.store.data_mut();
        state.current = Some(Current {
            record,
            partitions: Arc::clone(partitions),
        });
        state.time = Time::new(limits.call_cpu, limits.call_wall);
        self.store.set_epoch_deadline(1);
        self.calls = self.calls.wrapping_add(1);
        let begun = self.calls.is_multiple_of(TIMED_ONE_IN).then(Instant::now);
        let answer = self.plugin.pointsman_partitioner_partitioner().call_partition(
            &mut self.store,
            key.as_deref(),
            partitions.count(),
        );
        if let Some(begun) = begun {
            metrics.seconds.observe(begun.elapsed().as_secs_f64());
        }
        let record = self.take_back();
        match answer {
            Ok(decision) => (record, Ok(decision.into())),
            Err(error) => (record, Err(self.explain(code, metrics, &error))),
        }
    }

    /// Bytes of its memories and tables.
    pub(super) fn memory_bytes(&self) -> usize {
        self.store.data().memory.held()
    }

    fn take_back(&mut self) -> Record {
        match self.store.data_mut().current.take() {
            Some(current) => current.record,
            // `partition` put it there, and nothing that a guest can call takes it out.
            None => unreachable!("the record was lent to the call that just ended"),
        }
    }

    fn explain(&mut self, code: &Code, metrics: &PluginMetrics, error: &wasmtime::Error) -> CallError {
        let plugin = code.name.to_string();
        if let Some(OverTime(limit)) = error.downcast_ref() {
            metrics.over_time.inc();
            return CallError::OverTime {
                plugin,
                limit: limit.clone(),
            };
        }
        metrics.trapped.inc();
        CallError::Trapped {
            plugin,
            reason: reason(&mut self.store, error),
        }
    }
}

/// One line of why a call ended.
fn reason(store: &mut Store<State>, error: &wasmtime::Error) -> String {
    if let Some(memory) = store.data_mut().memory.take_refused() {
        return memory;
    }
    let mut reason = match error.downcast_ref::<OverTime>() {
        Some(over) => format!("it ran over {over}"),
        None => error.root_cause().to_string().replace('\n', " "),
    };
    truncate(&mut reason, MESSAGE_BYTES);
    reason
}

fn shown(config: &str) -> String {
    let mut config = config.to_owned();
    truncate(&mut config, 200);
    config
}

impl From<wit::Decision> for Decision {
    fn from(decision: wit::Decision) -> Self {
        match decision {
            wit::Decision::Partition(partition) => Self::Partition(partition),
            wit::Decision::KeyHash(bytes) => Self::KeyHash(bytes),
            wit::Decision::Any => Self::Any,
            wit::Decision::Tenant(key) => Self::Tenant(key.tenant),
            wit::Decision::Reject(mut message) => {
                truncate(&mut message, MESSAGE_BYTES);
                Self::Reject(message)
            }
        }
    }
}
