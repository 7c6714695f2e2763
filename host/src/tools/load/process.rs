//! What another process uses, as `/proc` shows it.

use anyhow::Context as _;

/// `/proc` counts CPU time in ticks: this many in a second, on every Linux (`USER_HZ`).
const TICKS: f64 = 100.0;

/// CPU time and memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// User and system time, seconds.
    pub cpu_seconds: f64,
    /// The most that was ever resident, bytes.
    pub peak_resident_bytes: u64,
    /// Resident now, bytes.
    pub resident_bytes: u64,
}

impl Usage {
    /// What this process has used so far.
    pub fn of(process: u32) -> anyhow::Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))
            .with_context(|| format!("cannot read what process {process} uses"))?;
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let after_name = stat.rsplit_once(") ").context("the process's name")?.1;
        let ticks = after_name.split(' ').skip(11).take(2).map(str::parse::<f64>);
        Ok(Self {
            cpu_seconds: ticks.sum::<Result<f64, _>>()? / TICKS,
            peak_resident_bytes: kib(&status, "VmHWM:")? << 10,
            resident_bytes: kib(&status, "VmRSS:")? << 10,
        })
    }

    /// What was used since an earlier reading.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds - before.cpu_seconds,
            ..*self
        }
    }
}

fn kib(status: &str, name: &str) -> anyhow::Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(number.with_context(|| format!("no {name}"))?.parse()?)
}
