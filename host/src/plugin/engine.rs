//! The process's only wasm engine, and its clock.

use std::{
    hash::{Hash as _, Hasher},
    num::NonZeroUsize,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use anyhow::anyhow;
use sha2::{Digest as _, Sha256};
use wasmtime::{Config, Strategy};

use super::functions::Functions;

/// A trap's trace has at most this many functions.
pub(super) const TRACE_FRAMES: usize = 16;
/// The length of one epoch: the time of a running call is checked this often.
const TICK: Duration = Duration::from_millis(1);
/// After so many ticks without a call the clock stops: an idle process must not wake up a thousand times a second.
const IDLE_TICKS: u32 = 2_000;

/// wasmtime's engine, and the clock that limits the time of calls. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    wasm: wasmtime::Engine,
    clock: Arc<Clock>,
}

/// The clock: a thread that moves the epoch each millisecond while plugins are called.
struct Clock {
    /// How many milliseconds the clock has run.
    ticks: AtomicU64,
    /// Each call sets it, each tick clears it: so the clock knows whether plugins are called.
    used: AtomicBool,
    /// Whether the thread sleeps, so that a call has to wake it.
    asleep: AtomicBool,
    /// The clock's thread, once it has started.
    thread: OnceLock<Thread>,
}

/// The settings of every engine, each with its reason.
fn config() -> Config {
    let mut config = Config::new();
    config
        // Winch compiles faster but has had more security advisories.
        .strategy(Strategy::Cranelift)
        // This is how a call is stopped: the epoch moves each millisecond, and then a callback checks the call's time.
        .epoch_interruption(true)
        // Calls are synchronous, and with this support each call would take 2.6 times as long.
        .concurrency_support(false)
        // No partitioner needs these, and what is off cannot be attacked.
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        // Enough to see where a trap came from. A trace costs little: the stack is bounded, and a plugin that keeps trapping
        // is suspended.
        .wasm_backtrace_max_frames(NonZeroUsize::new(TRACE_FRAMES))
        // Deep recursion ends here, well below the 2 MiB stack of a worker thread.
        .max_wasm_stack(512 << 10);
    config
}

/// An engine with the same settings but without a clock: it can compile, but must not run anything.
pub(super) fn compile_only() -> anyhow::Result<wasmtime::Engine> {
    wasmtime::Engine::new(&config()).map_err(|error| anyhow!("cannot start the wasm engine: {error:#}"))
}

/// The same as [`compile_only`], but it takes the functions that `functions` holds from there.
pub(super) fn compile_only_new(functions: Arc<Functions>) -> anyhow::Result<wasmtime::Engine> {
    let mut config = config();
    config
        .enable_incremental_compilation(functions)
        .map_err(|error| anyhow!("cannot use the compiled functions that were kept: {error:#}"))?;
    wasmtime::Engine::new(&config).map_err(|error| anyhow!("cannot start the wasm engine: {error:#}"))
}

impl Engine {
    /// Makes the engine, and starts the thread of its clock.
    pub fn new() -> anyhow::Result<Self> {
        let wasm = compile_only()?;
        let clock = Arc::new(Clock {
            ticks: AtomicU64::new(0),
            used: AtomicBool::new(true),
            asleep: AtomicBool::new(false),
            thread: OnceLock::new(),
        });
        let (weak, ticking) = (wasm.weak(), Arc::downgrade(&clock));
        let handle = thread::Builder::new().name("plugin-clock".to_owned()).spawn(move || {
            let mut idle = 0;
            loop {
                thread::park_timeout(TICK);
                let (Some(wasm), Some(clock)) = (weak.upgrade(), ticking.upgrade()) else {
                    return;
                };
                wasm.increment_epoch();
                clock.ticks.fetch_add(1, Ordering::Relaxed);
                idle = if clock.used.swap(false, Ordering::SeqCst) {
                    0
                } else {
                    idle + 1
                };
                if idle >= IDLE_TICKS {
                    drop(wasm);
                    sleep(clock);
                    idle = 0;
                }
            }
        })?;
        let _ = clock.thread.set(handle.thread().clone());
        Ok(Self { wasm, clock })
    }

    /// wasmtime's own engine.
    pub(super) fn wasm(&self) -> &wasmtime::Engine {
        &self.wasm
    }

    /// A name for everything that compiled code depends on: wasmtime's version, the processor and all settings.
    pub(super) fn compatibility(&self) -> String {
        let mut hasher = Sha256Hasher(Sha256::new());
        self.wasm.precompile_compatibility_hash().hash(&mut hasher);
        format!("{:x}", hasher.0.finalize())[..16].to_owned()
    }

    /// Must be called at each epoch of a running call: a clock that fell asleep during a call would never stop it.
    pub(super) fn still_used(&self) {
        self.clock.used.store(true, Ordering::SeqCst);
    }

    /// Must be called before each call into a plugin: it makes sure that the clock runs.
    pub(super) fn wake(&self) {
        let clock = &self.clock;
        if !clock.used.load(Ordering::Relaxed) {
            clock.used.store(true, Ordering::SeqCst);
        }
        if clock.asleep.load(Ordering::SeqCst)
            && let Some(thread) = clock.thread.get()
        {
            thread.unpark();
        }
    }

    /// Milliseconds by a coarse clock, cheap to read. The clock stops when no plugin has been called for some seconds.
    pub fn coarse_ms(&self) -> u64 {
        self.clock.ticks.load(Ordering::Relaxed)
    }
}

/// Hashes with SHA-256. The standard library's hasher may change with each release, and names in the cache must not.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// Sleeps until the next call, or until the engine is dropped.
fn sleep(clock: Arc<Clock>) {
    clock.asleep.store(true, Ordering::SeqCst);
    // A caller that did not see `asleep` yet has already set `used`, which is read here.
    while !clock.used.load(Ordering::SeqCst) && Arc::strong_count(&clock) > 1 {
        thread::park_timeout(Duration::from_secs(1));
    }
    clock.asleep.store(false, Ordering::SeqCst);
}
