//! The one wasm engine of the process, and its clock.

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

/// Functions of a trap's trace, the innermost first.
pub(super) const TRACE_FRAMES: usize = 16;
/// One epoch. A call's time is looked at this often.
const TICK: Duration = Duration::from_millis(1);
/// Ticks without a call after which the clock stops: an idle process must not wake a thousand times a second.
const IDLE_TICKS: u32 = 2_000;

/// Compiles components and keeps the time of their calls. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    wasm: wasmtime::Engine,
    clock: Arc<Clock>,
}

struct Clock {
    /// Milliseconds in which the clock ran.
    ticks: AtomicU64,
    /// Set by every call, taken by the clock.
    used: AtomicBool,
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
}

/// The only place that makes an engine; every setting has its reason.
fn config() -> Config {
    let mut config = Config::new();
    config
        // Winch compiles faster but has had more security advisories.
        .strategy(Strategy::Cranelift)
        // How a call is stopped: the epoch moves each millisecond, and a callback then looks at the clocks.
        .epoch_interruption(true)
        // Calls are synchronous; this support alone would cost 2.6 times the call.
        .concurrency_support(false)
        // Nothing in a partitioner needs these, and what is off cannot be attacked.
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        // Enough to see where a trap came from. It is read from the stack, which has a bound, and a plugin that keeps trapping is
        // suspended.
        .wasm_backtrace_max_frames(NonZeroUsize::new(TRACE_FRAMES))
        // Deep recursion ends here; well below the 2 MiB of a worker thread's own stack.
        .max_wasm_stack(512 << 10);
    config
}

/// An engine with the same settings and without a clock: it compiles, and runs nothing.
pub(super) fn compile_only() -> anyhow::Result<wasmtime::Engine> {
    wasmtime::Engine::new(&config()).map_err(|error| anyhow!("cannot start the wasm engine: {error:#}"))
}

/// The same, which compiles only what is not known yet.
pub(super) fn compile_only_new(functions: Arc<Functions>) -> anyhow::Result<wasmtime::Engine> {
    let mut config = config();
    config
        .enable_incremental_compilation(functions)
        .map_err(|error| anyhow!("cannot use the compiled functions that were kept: {error:#}"))?;
    wasmtime::Engine::new(&config).map_err(|error| anyhow!("cannot start the wasm engine: {error:#}"))
}

impl Engine {
    /// Makes the engine and starts its clock's thread.
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

    /// Names everything that compiled code depends on: wasmtime's version, the processor and all settings.
    pub(super) fn compatibility(&self) -> String {
        let mut hasher = Sha256Hasher(Sha256::new());
        self.wasm.precompile_compatibility_hash().hash(&mut hasher);
        format!("{:x}", hasher.0.finalize())[..16].to_owned()
    }

    /// To be called at each epoch of a running call: a clock that fell asleep during a call would never end it.
    pub(super) fn still_used(&self) {
        self.clock.used.store(true, Ordering::SeqCst);
    }

    /// To be called before each call into a plugin: sees to it that the clock runs.
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

    /// Milliseconds, coarse, cheap to read; stands still while no plugin is called for seconds.
    pub fn coarse_ms(&self) -> u64 {
        self.clock.ticks.load(Ordering::Relaxed)
    }
}

/// The standard library's own hasher may change from release to release, and names in a cache must not.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// Waits for the next call, or for the engine's end.
fn sleep(clock: Arc<Clock>) {
    clock.asleep.store(true, Ordering::SeqCst);
    // A caller that did not see `asleep` has set `used` before this look.
    while !clock.used.load(Ordering::SeqCst) && Arc::strong_count(&clock) > 1 {
        thread::park_timeout(Duration::from_secs(1));
    }
    clock.asleep.store(false, Ordering::SeqCst);
}
