//! What a plugin may use: memory, CPU time and wall time.

use std::{thread, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::ResourceLimiter;

use super::survey::MAX_CORE_INSTANCES;
use crate::{base::back_off::SuspendLimits, config};

/// Bytes that one element of a table takes in the host.
const TABLE_ELEMENT_BYTES: usize = 16;
/// The most memories of one component, and the most tables: more than tool chains need.
const MAX_PARTS: usize = 64;
/// What a plugin may hand to the host in one call, in total, bytes. The key that it was given does not count.
pub(super) const CROSSING_BYTES: usize = 1 << 20;
/// The most bytes of a key hash or a shard key. The record's own key may be longer.
pub(super) const HASH_BYTES: usize = 64 << 10;
/// The longest name of a tenant, bytes: that of the routing table.
pub(super) const TENANT_BYTES: usize = 255;
/// A refusal's text and a log line are cut to this many bytes.
pub(super) const TEXT_BYTES: usize = 1 << 10;

/// The limits of one plugin.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// All memory that an instance takes, bytes: its memories and tables, and what the engine allocates for it.
    pub memory_bytes: usize,
    /// CPU time of one call.
    pub call_cpu: Duration,
    /// Wall time of one call. Time in which the whole process was stopped does not count.
    pub call_wall: Duration,
    /// CPU time of `configure`; its wall time is ten times that.
    pub configure: Duration,
    /// Size of the component's file, bytes.
    pub component_bytes: u64,
    /// Instances at once of one plugin with one config. As many as there are threads that can call them.
    pub instances: usize,
    /// When a plugin that keeps failing is suspended, and for how long.
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

/// The memory that an instance takes, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Footprint {
    /// Its memories, at their present size.
    pub memory_bytes: usize,
    /// Its tables, at their present size.
    pub table_bytes: usize,
    /// What the engine allocates for it: globals, functions, the instance itself.
    pub engine_bytes: usize,
}

impl Footprint {
    /// The sum, which `plugins.memory_bytes` limits.
    pub fn total(&self) -> usize {
        self.memory_bytes + self.table_bytes + self.engine_bytes
    }
}

/// Limits the sum of what an instance takes. wasmtime's own `StoreLimits` would limit each memory by itself.
#[derive(Debug)]
pub(super) struct Memory {
    /// The most that the sum may be, bytes.
    limit: usize,
    /// What the instance takes now.
    footprint: Footprint,
    /// Whether a growth was refused. Usually a trap follows, and this is its reason.
    refused: bool,
}

impl Memory {
    /// An instance takes `engine_bytes` from the start.
    pub(super) fn new(limit: usize, engine_bytes: usize) -> Self {
        Self {
            limit,
            footprint: Footprint {
                engine_bytes,
                ..Footprint::default()
            },
            refused: false,
        }
    }

    /// What the instance takes now.
    pub(super) fn footprint(&self) -> Footprint {
        self.footprint
    }

    /// The reason for a trap, if it is that a growth was refused.
    pub(super) fn take_refused(&mut self) -> Option<String> {
        std::mem::take(&mut self.refused).then(|| {
            format!(
                "it asked for more memory than plugins.memory_bytes ({}) allows",
                self.limit
            )
        })
    }

    /// Whether this many more bytes are within the limit.
    fn fits(&mut self, bytes: usize) -> bool {
        let fits = self
            .footprint
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
        self.footprint.memory_bytes += if fits { more } else { 0 };
        Ok(fits)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT_BYTES);
        let fits = self.fits(more);
        self.footprint.table_bytes += if fits { more } else { 0 };
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

/// The time of one call. The clocks are first read when the first epoch ends, so a call that ends within a millisecond, as
/// nearly all do, reads no clock.
#[derive(Debug)]
pub(super) struct Time {
    /// The most CPU time.
    cpu: Duration,
    /// The most wall time.
    wall: Duration,
    /// The thread's CPU time and the coarse milliseconds at the first epoch of the call.
    begun: Option<(Duration, u64)>,
}

/// The limit that a call exceeded.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(super) struct OverTime(pub(super) String);

impl Time {
    pub(super) fn new(cpu: Duration, wall: Duration) -> Self {
        Self { cpu, wall, begun: None }
    }

    /// Checks once more when a call has ended: no epoch checks the time that the host itself spent on the plugin's behalf at
    /// the end.
    pub(super) fn end(&mut self, coarse_ms: u64) -> Result<(), OverTime> {
        match self.begun {
            Some(_) => self.check(coarse_ms),
            // The call ended within its first millisecond.
            None => Ok(()),
        }
    }

    /// Checks the time of a running call, each millisecond. CPU time decides, because on a busy machine an innocent call may
    /// take long by the wall clock. The longer limit of wall time is counted by the engine's own clock, which stops while the
    /// whole process is stopped (a container over its quota, a paused machine).
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
    fn two_memories_share_one_limit_and_what_the_engine_allocates_counts() {
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
