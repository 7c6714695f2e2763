//! A limit on a process's memory that the kernel enforces, where this process may set one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Room for memory that the kernel counts and the process does not hold itself: sockets, and pages of files.
const KERNEL: u64 = 64 << 20;

/// A control group, removed once it is empty.
pub(super) struct Cage(Option<PathBuf>);

impl Cage {
    /// Puts a running process into a control group. Over the limit the kernel kills it. Where no control group can be
    /// made, only the process's peak memory is checked.
    pub(super) fn around(process: u32, bytes: u64) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "pointsman-test-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let kinds = [
            ("/sys/fs/cgroup", "memory.max"),
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        ];
        for (root, limit) in kinds {
            let folder = Path::new(root).join(&name);
            // A folder without this file of the kernel's is not a control group's.
            if !Path::new(root).join("cgroup.procs").exists() || fs::create_dir(&folder).is_err() {
                continue;
            }
            let cage = Self(Some(folder.clone()));
            let limited = folder.join(limit).exists()
                && fs::write(folder.join(limit), (bytes + KERNEL).to_string()).is_ok()
                && fs::write(folder.join("cgroup.procs"), process.to_string()).is_ok();
            if limited {
                return cage;
            }
        }
        eprintln!("abuse: no control group can be made here; only the process' own peak is looked at");
        Self(None)
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        let Some(folder) = self.0.take() else { return };
        // The processes that are left in the group go back to the root group.
        let root = folder.parent().map(|root| root.join("cgroup.procs"));
        for process in fs::read_to_string(folder.join("cgroup.procs"))
            .unwrap_or_default()
            .lines()
        {
            let _ = root.as_ref().map(|root| fs::write(root, process));
        }
        let _ = fs::remove_dir(folder);
    }
}
