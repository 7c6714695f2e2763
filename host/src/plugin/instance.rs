//! One instance of a plugin, and the calls into it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use wasmtime::{Store, UpdateDeadline, WasmBacktrace};

use super::{
    CallError, Decision, Footprint, StatedValue,
    answer::bounded,
    batch::{BatchExport, Choice},
    bindings::Plugin,
    code::Code,
    field::Decoded,
    imports::{Current, Records, State, TooMuch},
    limits::{CROSSING_BYTES, Limits, Memory, OverTime, Time},
};
use crate::{
    base::{
        metrics::PluginMetrics,
        record::Record,
        text::{said, shorten},
    },
    topic::Partitions,
};

/// A batch may take as long as this many calls, whatever its size: batches grow only while they take much less.
const CALLS_A_BATCH: u32 = 3;
/// One call in so many is timed, because reading the clock twice costs a fifth of a call.
const TIMED_ONE_IN: u32 = 64;
/// A function's name in a trap's trace is cut to this many bytes.
const FUNCTION_BYTES: usize = 160;
/// wasmtime's error for more bytes than [`CROSSING_BYTES`]. It has no type of its own, so it is recognised by its text.
const TOO_MUCH: &str = "fuel allocated for hostcalls has been exhausted";

/// One instance of a plugin, with its own memory. After an error its state is unknown, so it must be dropped.
pub(super) struct Instance {
    /// The instance's memory, and the host's state of it.
    store: Store<State>,
    /// Its exports.
    plugin: Plugin,
    /// Its batch export, if it has one.
    batch: Option<BatchExport>,
    /// Calls so far, to choose those that are timed.
    calls: u32,
    /// When the last call began, by the engine's coarse clock.
    begun_ms: u64,
}

impl Instance {
    /// Makes an instance and configures it.
    pub(super) fn new(code: &Code, limits: &Limits, config: &str) -> Result<Self, CallError> {
        let time = Time::new(limits.configure, limits.configure * 10);
        let memory = Memory::new(limits.memory_bytes, code.engine_bytes);
        let state = State::new(&code.name, &code.engine, &code.tenants, &code.log_window, memory, time);
        let mut store = Store::new(code.engine.wasm(), state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(CROSSING_BYTES);
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
                begun_ms: 0,
            }),
            // The message must not contain the config: there may be secrets in it.
            Ok(Err(refusal)) => Err(unavailable(format!("it refused its config: {}", said(&refusal)))),
            Err(error) => {
                let reason = reason(&mut store, &error);
                Err(unavailable(format!("configure failed: {reason}")))
            }
        }
    }

    /// Asks the plugin about one record. `stated` is what a test says about its value. After an error the instance must be dropped.
    pub(super) fn partition(
        &mut self,
        code: &Code,
        limits: &Limits,
        metrics: &PluginMetrics,
        record: Record,
        stated: Option<StatedValue>,
        partitions: &Arc<Partitions>,
    ) -> (Record, Result<Decision, CallError>) {
        // The clone only counts a reference. The record itself goes to the imports during the call.
        let key = record.key.clone();
        let current = Current {
            records: Records::One(record),
            partitions: Arc::clone(partitions),
            stated,
            decoded: Decoded::default(),
        };
        let time = Time::new(limits.call_cpu, limits.call_wall);
        self.begin(code, current, time, key.as_deref().map_or(0, <[u8]>::len));
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
        let decision = match self.end(code, answer) {
            Ok(decision) => bounded(decision, key.as_deref()).map_err(|wrong| wrong_answer(code, wrong)),
            Err(error) => Err(error),
        };
        (record, decision.inspect_err(|error| count(metrics, error)))
    }

    /// How many records to ask about in one call; 1 means one by one.
    pub(super) fn batch_size(&self) -> usize {
        self.batch.as_ref().map_or(1, BatchExport::size)
    }

    /// Asks the plugin about records of one topic in one call. There must be a batch export. After an error the instance must
    /// be dropped, and it is not known which record caused the error.
    pub(super) fn partition_batch(
        &mut self,
        code: &Code,
        limits: &Limits,
        metrics: &PluginMetrics,
        records: Vec<Record>,
        partitions: &Arc<Partitions>,
    ) -> (Vec<Record>, Result<Vec<Choice>, CallError>) {
        // Taken out during the call, which needs the rest of the instance as well.
        let Some(mut batch) = self.batch.take() else {
            // `batch_size` is 1 without one, and callers keep to it.
            unreachable!("plugin {} has no batch export", code.name)
        };
        batch.pack(&records);
        let (records_asked, key_bytes) = (records.len() as u32, batch.key_bytes());
        let current = Current {
            records: Records::Batch {
                records,
                selected: None,
            },
            partitions: Arc::clone(partitions),
            stated: None,
            decoded: Decoded::default(),
        };
        let calls = records_asked.clamp(1, CALLS_A_BATCH);
        let time = Time::new(limits.call_cpu * calls, limits.call_wall * calls);
        self.begin(code, current, time, key_bytes);
        let begun = Instant::now();
        let answer = batch.call(&mut self.store, partitions.count());
        let took = begun.elapsed();
        batch.took(took.as_micros());
        self.batch = Some(batch);
        metrics.seconds.observe((took / records_asked.max(1)).as_secs_f64());
        let records = match self.take_back() {
            Records::Batch { records, .. } => records,
            Records::One(_) => unreachable!("a batch was lent to the call that just ended"),
        };
        let answer = self.end(code, answer);
        let choices = answer.and_then(|choices| choices.map_err(|wrong| wrong_answer(code, wrong)));
        (records, choices.inspect_err(|error| count(metrics, error)))
    }

    /// The memory that the instance takes.
    pub(super) fn footprint(&self) -> Footprint {
        self.store.data().memory.footprint()
    }

    /// How long ago the last call began, by the engine's coarse clock: if the call failed, this is what it has cost.
    pub(super) fn since_begun(&self, code: &Code) -> Duration {
        Duration::from_millis(code.engine.coarse_ms().saturating_sub(self.begun_ms))
    }

    /// Prepares for a call. The plugin gets `key_bytes` of keys, and may hand them back on top of its limit.
    fn begin(&mut self, code: &Code, current: Current, time: Time, key_bytes: usize) {
        code.engine.wake();
        self.begun_ms = code.engine.coarse_ms();
        self.store.data_mut().begin(current, time);
        self.store.set_hostcall_fuel(CROSSING_BYTES.saturating_add(key_bytes));
        self.store.set_epoch_deadline(1);
    }

    /// Checks the time of a call that has ended, and describes its error.
    fn end<T>(&mut self, code: &Code, answer: wasmtime::Result<T>) -> Result<T, CallError> {
        let answer = match answer {
            Ok(answer) => {
                let coarse_ms = code.engine.coarse_ms();
                self.store
                    .data_mut()
                    .time
                    .end(coarse_ms)
                    .map(|()| answer)
                    .map_err(wasmtime::Error::new)
            }
            Err(error) => Err(error),
        };
        answer.map_err(|error| self.describe(code, &error))
    }

    fn take_back(&mut self) -> Records {
        match self.store.data_mut().current.take() {
            Some(current) => current.records,
            // `begin` put them there, and no import takes them out.
            None => unreachable!("the records were lent to the call that just ended"),
        }
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
                trace: trace(error),
            },
        }
    }
}

fn count(metrics: &PluginMetrics, error: &CallError) {
    match error {
        CallError::OverTime { .. } => metrics.over_time.inc(),
        CallError::Trapped { .. } | CallError::Unavailable { .. } | CallError::Suspended { .. } => {
            metrics.trapped.inc();
        }
    }
}

fn wrong_answer(code: &Code, reason: String) -> CallError {
    CallError::Trapped {
        plugin: code.name.to_string(),
        reason,
        trace: Vec::new(),
    }
}

fn instantiate(code: &Code, store: &mut Store<State>) -> wasmtime::Result<(Plugin, Option<BatchExport>)> {
    let instance = code.pre.instance_pre().instantiate(&mut *store)?;
    let plugin = Plugin::new(&mut *store, &instance)?;
    let batch = match &code.batch {
        Some(export) => Some(BatchExport::new(&instance, store, export)?),
        None => None,
    };
    Ok((plugin, batch))
}

/// Why a call ended, on one line.
fn reason(store: &mut Store<State>, error: &wasmtime::Error) -> String {
    if let Some(memory) = store.data_mut().memory.take_refused() {
        return memory;
    }
    if let Some(over) = error.downcast_ref::<OverTime>() {
        return format!("it ran over {over}");
    }
    let cause = error.root_cause().to_string();
    match cause.contains(TOO_MUCH) {
        true => TooMuch.to_string(),
        false => said(&cause),
    }
}

/// The functions on the stack at the trap, the innermost first.
fn trace(error: &wasmtime::Error) -> Vec<String> {
    let frames = error.downcast_ref::<WasmBacktrace>().map(WasmBacktrace::frames);
    let name = |frame: &wasmtime::FrameInfo| match frame.func_name() {
        Some(name) => said(&shorten(
            &format!("{:#}", rustc_demangle::demangle(name)),
            FUNCTION_BYTES,
        )),
        None => format!("function {}", frame.func_index()),
    };
    frames.unwrap_or_default().iter().map(name).collect()
}
