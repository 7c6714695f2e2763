//! Handles Ctrl-C: it also ends the running build, with all of its compilers.

use std::{
    io,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Output},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::signal::unix::{SignalKind, signal};

/// The exit code that a shell reports for a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Whether the program is to end, and the child processes that must end with it.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// Whether the ending has begun.
    begun: AtomicBool,
    /// The running children. Each leads a process group of its own.
    children: Mutex<Vec<Pid>>,
}

impl Ending {
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// From now on SIGINT, SIGTERM and SIGHUP end the children and call `told`. A second signal ends this process.
    pub(super) fn begin_on_signals(self: &Arc<Self>, told: impl Fn() + Send + 'static) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        drop(entered);
        let ending = Arc::clone(self);
        let wait = move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                        _ = hang_up.recv() => {}
                    }
                    if ending.begin() {
                        ending.signal(Signal::KILL);
                        std::process::exit(INTERRUPTED);
                    }
                    told();
                }
            });
        };
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(wait)
            .context("cannot start the thread that waits for signals")?;
        Ok(())
    }

    /// Ends the children. Returns whether the ending had begun before.
    fn begin(&self) -> bool {
        let had_begun = self.begun.swap(true, Ordering::AcqRel);
        self.signal(Signal::TERM);
        had_begun
    }

    fn signal(&self, signal: Signal) {
        for child in self.children().iter() {
            // The child may have ended already.
            let _ = kill_process_group(*child, signal);
        }
    }

    fn children(&self) -> MutexGuard<'_, Vec<Pid>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a command in a process group of its own, so that what it starts in turn can be ended with it.
    pub(super) fn start(self: &Arc<Self>, command: &mut Command) -> io::Result<Running> {
        let mut children = self.children();
        if self.has_begun() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let child = command.process_group(0).spawn()?;
        let group = Pid::from_raw(child.id().cast_signed());
        children.extend(group);
        Ok(Running {
            child: Some(child),
            group,
            ending: Arc::clone(self),
        })
    }

    /// Runs a command to its end.
    pub(super) fn output(self: &Arc<Self>, command: &mut Command) -> io::Result<Output> {
        let mut running = self.start(command)?;
        match running.child.take() {
            Some(child) => child.wait_with_output(),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// A running child. Dropping this ends it.
#[derive(Debug)]
pub(super) struct Running {
    /// None once the child was waited for.
    child: Option<Child>,
    /// The child's process group.
    group: Option<Pid>,
    ending: Arc<Ending>,
}

impl Running {
    pub(super) fn has_ended(&mut self) -> bool {
        match &mut self.child {
            Some(child) => !matches!(child.try_wait(), Ok(None)),
            None => true,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let (Some(child), Some(group)) = (&mut self.child, self.group)
            && matches!(child.try_wait(), Ok(None))
        {
            let _ = kill_process_group(group, Signal::TERM);
            let _ = child.wait();
        }
        self.ending.children().retain(|child| Some(*child) != self.group);
    }
}

#[cfg(test)]
mod tests {
    use std::{process::Stdio, sync::mpsc, time::Duration};

    use super::*;

    #[test]
    fn the_end_ends_the_build_with_what_it_has_started() {
        let ending = Arc::new(Ending::default());
        let (done, ended) = mpsc::sync_channel(1);
        let running = Arc::clone(&ending);
        let builder = thread::spawn(move || {
            // The shell waits for a child of its own, which keeps the pipe open.
            let mut command = Command::new("sh");
            command.args(["-c", "sleep 600; true"]).stdout(Stdio::piped());
            let output = running.output(&mut command).expect("it ran");
            done.send(output.status.success()).expect("somebody waits");
        });
        while ending.children().is_empty() {
            thread::yield_now();
        }
        assert!(!ending.begin());
        assert_eq!(ended.recv_timeout(Duration::from_secs(30)), Ok(false));
        builder.join().expect("no panic");
        assert!(
            ending.output(&mut Command::new("true")).is_err(),
            "nothing begins after the end"
        );
    }
}
