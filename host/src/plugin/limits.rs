//! What a plugin may use: memory, and time by two clocks.

use std::{thread, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::ResourceLimiter;

use super::survey::MAX_CORE_INSTANCES;
use crate::{base::back_off::SuspendLimits, config};

/// Bytes that a table's element takes in the host.
const TABLE_ELEMENT_BYTES: usize = 16;
/// Memories of one component, and its tables: what tool chains need, with room.
const MAX_PARTS: usize = 64;
/// What a plugin may hand to the host in one call, all together, beside the key that it was given, bytes.
pub(super) const CROSSING_BYTES: usize = 1 << 20;
/// Of that: the bytes of a key hash or a shard key. A record's own key may be longer.
pub(super) const HASH_BYTES: usize = 64 << 10;
/// A tenant's name: as long as the routing table takes.
pub(super) const TENANT_BYTES: usize = 255;
/// What is kept of a refusal's text and of a log line.
pub(super) const TEXT_BYTES: usize = 1 << 10;

/// The bounds of one plugin.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// All that an instance takes: its memories and tables, and what the engine holds for it.
    pub memory_bytes: usize,
    /// CPU time of one call.
    pub call_cpu: Duration,
    /// Wall time of one call, as far as this process was let run.
    pub call_wall: Duration,
    /// CPU time of `configure`; its wall time is ten times that.
    pub configure: Duration,
    /// Size of the component's file.
    pub component_bytes: u64,
    /// Instances at once of one plugin with one config: more than threads that can call them would be no use.
    pub instances: usize,
    /// When a plugin that keeps failing is left alone.
    pub suspend: SuspendLimits,
}

impl From<&config::Plugins> for Limits {
    fn from(config: &config::Plugins) -> Self {
        Self {
            memory_bytes: config.memory_bytes,
            call_cpu: Duration::from_millis(config.call_cpu_ms),
            call_wall: Duration::from_millis(config.call_wall_ms),
            configure: Duration::from_millis(config.configure_ms),
            component_bytes: config.component_bytes,
            instances: thread::available_parallelism().map_or(1, usize::from),
            suspend: SuspendLimits {
                failures: config.max_traps,
                window: Duration::from_millis(config.trap_window_ms),
                first: Duration::from_millis(config.suspend_ms),
                longest: Duration::from_millis(config.max_suspend_ms.max(config.suspend_ms)),
            },
        }
    }
}

/// What an instance takes, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Footprint {
    /// Its memories, as far as they have grown.
    pub memory_bytes: usize,
    /// Its tables.
    pub table_bytes: usize,
    /// What the engine holds for it: globals, functions, the instance itself.
    pub engine_bytes: usize,
}

impl Footprint {
    /// All of it: what `plugins.memory_bytes` bounds.
    pub fn total(&self) -> usize {
        self.memory_bytes + self.table_bytes + self.engine_bytes
    }
}

/// Sums what an instance takes: wasmtime's own `StoreLimits` counts each memory by itself.
#[derive(Debug)]
pub(super) struct Memory {
    limit: usize,
    held: Footprint,
    /// Whether a growth was refused since the last look: what follows is usually a trap, and this is its reason.
    refused: bool,
}

impl Memory {
    /// `engine_bytes` are taken from the start.
    pub(super) fn new(limit: usize, engine_bytes: usize) -> Self {
        Self {
            limit,
            held: Footprint {
                engine_bytes,
                ..Footprint::default()
            },
            refused: false,
        }
    }

    /// So far.
    pub(super) fn held(&self) -> Footprint {
        self.held
    }

    /// The reason to give for a trap, if this is it.
    pub(super) fn take_refused(&mut self) -> Option<String> {
        std::mem::take(&mut self.refused).then(|| {
            format!(
                "it asked for more memory than plugins.memory_bytes ({}) allows",
                self.limit
            )
        })
    }

    /// Whether so much more fits.
    fn fits(&mut self, bytes: usize) -> bool {
        let fits = self
            .held
            .total()
            .checked_add(bytes)
            .is_some_and(|total| total <= self.limit);
        self.refused |= !fits;
        fits
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let fits = self.fits(more);
        self.held.memory_bytes += if fits { more } else { 0 };
        Ok(fits)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT_BYTES);
        let fits = self.fits(more);
        self.held.table_bytes += if fits { more } else { 0 };
        Ok(fits)
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES
    }

    fn memories(&self) -> usize {
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }
}

/// The time of one call. The clocks are first read at the first epoch, so that a call that ends within a millisecond, as
/// nearly all do, reads none.
#[derive(Debug)]
pub(super) struct Time {
    cpu: Duration,
    wall: Duration,
    /// CPU time and coarse milliseconds at the first look.
    begun: Option<(Duration, u64)>,
}

/// Which limit a call ran over.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(super) struct OverTime(pub(super) String);

impl Time {
    pub(super) fn new(cpu: Duration, wall: Duration) -> Self {
        Self { cpu, wall, begun: None }
    }

    /// Called when a call has ended: what the host did last on the plugin's behalf was at no epoch.
    pub(super) fn end(&mut self, coarse_ms: u64) -> Result<(), OverTime> {
        match self.begun {
            Some(_) => self.check(coarse_ms),
            // It has not seen an epoch.
            None => Ok(()),
        }
    }

    /// Called each millisecond of a call. CPU time decides: on a busy machine the wall clock fails the innocent. The wall
    /// cap behind it is counted by the engine's own clock, which stands still while the whole process does (a container over
    /// its quota, a machine that was paused).
    pub(super) fn check(&mut self, coarse_ms: u64) -> Result<(), OverTime> {
        let cpu = thread_cpu_time();
        let Some((cpu_begun, begun_ms)) = self.begun else {
            self.begun = Some((cpu, coarse_ms));
            return Ok(());
        };
        if cpu.saturating_sub(cpu_begun) >= self.cpu {
            return Err(OverTime(format!("{} ms of CPU time", self.cpu.as_millis())));
        }
        if u128::from(coarse_ms.saturating_sub(begun_ms)) >= self.wall.as_millis() {
            return Err(OverTime(format!("{} ms of wall time", self.wall.as_millis())));
        }
        Ok(())
    }
}

pub(super) fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_memories_do_not_get_the_limit_each_and_what_the_engine_holds_counts() {
        let mut memory = Memory::new(110, 10);
        assert!(memory.memory_growing(0, 60, None).expect("an answer"));
        assert!(!memory.memory_growing(0, 60, None).expect("an answer"));
        assert!(memory.take_refused().is_some());
        assert!(memory.table_growing(0, 2, None).expect("an answer"));
        assert!(!memory.table_growing(2, 10, None).expect("an answer"));
    }

    #[test]
    fn waiting_is_not_counted_as_working() {
        let mut time = Time::new(Duration::from_millis(5), Duration::from_secs(60));
        assert!(time.check(0).is_ok());
        thread::sleep(Duration::from_millis(20));
        assert!(time.check(20).is_ok());
        let stuck = std::time::Instant::now();
        while time.check(20).is_ok() {
            assert!(stuck.elapsed() < Duration::from_secs(30), "never stopped");
        }
    }

    #[test]
    fn a_call_that_neither_works_nor_ends_is_stopped_by_the_wall_cap() {
        let mut time = Time::new(Duration::from_secs(60), Duration::from_millis(100));
        assert!(time.check(7).is_ok());
        assert!(time.check(106).is_ok());
        assert!(time.check(107).is_err_and(|over| over.to_string().contains("wall")));
    }
}
