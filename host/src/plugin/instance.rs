//! One instance of a plugin, and a call into it.

use std::{sync::Arc, time::Instant};

use wasmtime::{Store, UpdateDeadline};

use super::{
    CallError, Decision,
    batch::{Batch, Choice},
    bindings::{Plugin, exports::pointsman::partitioner::partitioner as wit},
    code::Code,
    imports::{Current, Records, State, truncate},
    limits::{Limits, Memory, OverTime, Time},
};
use crate::{metrics::PluginMetrics, record::Record, topics::Partitions};

/// Longest message of a refusal or a trap that a client is shown, bytes.
const MESSAGE_BYTES: usize = 1_024;
/// A batch has the time of another call for each so many of its records.
const RECORDS_A_CALL: u32 = 64;
/// One call in so many is timed: reading the clock twice costs a fifth of a call.
const TIMED_ONE_IN: u32 = 64;

/// A plugin's instance with its own memory. After an error it is poisoned and must be dropped.
pub(super) struct Instance {
    store: Store<State>,
    plugin: Plugin,
    /// Its batch export, if it has one.
    batch: Option<Batch>,
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
        let (plugin, batch) = match instantiate(code, &mut store) {
            Ok(instantiated) => instantiated,
            Err(error) => return Err(unavailable(reason(&mut store, &error))),
        };
        let answer = plugin
            .pointsman_partitioner_partitioner()
            .call_configure(&mut store, config);
        match answer {
            Ok(Ok(())) => Ok(Self {
                store,
                plugin,
                batch,
                calls: 0,
            }),
            Ok(Err(mut refusal)) => {
                truncate(&mut refusal, MESSAGE_BYTES);
                // Without the config: there may be secrets in it.
                Err(unavailable(format!("it refused its config: {refusal}")))
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
            records: Records::One(record),
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
        let record = match self.take_back() {
            Records::One(record) => record,
            Records::Batch { .. } => unreachable!("one record was lent to the call that just ended"),
        };
        match answer {
            Ok(decision) => (record, Ok(decision.into())),
            Err(error) => (record, Err(self.explain(code, metrics, &error))),
        }
    }

    /// How many records to ask about in one call; 1: not by batches.
    pub(super) fn batch_size(&self) -> usize {
        self.batch.as_ref().map_or(1, Batch::size)
    }

    /// Asks for decisions about records of one topic, where there is a batch export. On an error the instance is poisoned, and
    /// nobody knows which of the records is to blame.
    pub(super) fn partition_batch(
        &mut self,
        code: &Code,
        limits: &Limits,
        metrics: &PluginMetrics,
        records: Vec<Record>,
        partitions: &Arc<Partitions>,
    ) -> (Vec<Record>, Result<Vec<Choice>, CallError>) {
        let Some(batch) = &mut self.batch else {
            // Nobody asks for more than `batch_size`.
            unreachable!("plugin {} has no batch export", code.name)
        };
        code.engine.wake();
        batch.pack(&records);
        let count = records.len() as u32;
        let state = self.store.data_mut();
        state.current = Some(Current {
            records: Records::Batch {
                records,
                selected: None,
            },
            partitions: Arc::clone(partitions),
        });
        // The time of one call, and that of another for each so many records: those who overrun it are asked one by one.
        let calls = 1 + count / RECORDS_A_CALL;
        state.time = Time::new(limits.call_cpu * calls, limits.call_wall * calls);
        self.store.set_epoch_deadline(1);
        let begun = Instant::now();
        let answer = batch.call(&mut self.store, partitions.count());
        let took = begun.elapsed();
        batch.took(took.as_micros());
        metrics.seconds.observe((took / count.max(1)).as_secs_f64());
        let records = match self.take_back() {
            Records::Batch { records, .. } => records,
            Records::One(_) => unreachable!("a batch was lent to the call that just ended"),
        };
        let answer = match answer {
            Ok(Ok(decisions)) => Ok(decisions),
            Ok(Err(wrong)) => Err(CallError::Trapped {
                plugin: code.name.to_string(),
                reason: wrong,
            }),
            Err(error) => Err(self.describe(code, &error)),
        };
        (records, answer)
    }

    /// Bytes of its memories and tables.
    pub(super) fn memory_bytes(&self) -> usize {
        self.store.data().memory.held()
    }

    fn take_back(&mut self) -> Records {
        match self.store.data_mut().current.take() {
            Some(current) => current.records,
            // The call put it there, and nothing that a guest can call takes it out.
            None => unreachable!("the records were lent to the call that just ended"),
        }
    }

    /// Counts and describes what one record has done.
    fn explain(&mut self, code: &Code, metrics: &PluginMetrics, error: &wasmtime::Error) -> CallError {
        let error = self.describe(code, error);
        match error {
            CallError::OverTime { .. } => metrics.over_time.inc(),
            _ => metrics.trapped.inc(),
        }
        error
    }

    fn describe(&mut self, code: &Code, error: &wasmtime::Error) -> CallError {
        let plugin = code.name.to_string();
        match error.downcast_ref() {
            Some(OverTime(limit)) => CallError::OverTime {
                plugin,
                limit: limit.clone(),
            },
            None => CallError::Trapped {
                plugin,
                reason: reason(&mut self.store, error),
            },
        }
    }
}

fn instantiate(code: &Code, store: &mut Store<State>) -> wasmtime::Result<(Plugin, Option<Batch>)> {
    let instance = code.pre.instance_pre().instantiate(&mut *store)?;
    let plugin = Plugin::new(&mut *store, &instance)?;
    let batch = match &code.batch {
        Some(export) => Some(Batch::new(&instance, store, export)?),
        None => None,
    };
    Ok((plugin, batch))
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
