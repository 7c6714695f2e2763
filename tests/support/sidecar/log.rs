//! What a sidecar has logged, line by line.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The log of one process. A thread of its own fills it while the process runs.
#[derive(Default)]
pub(super) struct Log {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The lines as JSON. A line that is not JSON is kept as a string.
    lines: Vec<Value>,
    /// Whether the process has closed its standard error, so that nothing more comes.
    ended: bool,
}

impl Log {
    /// Keeps all lines until the reader ends.
    pub(super) fn fill(&self, lines: impl std::io::BufRead) {
        for line in lines.lines().map_while(Result::ok) {
            let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
            self.state().lines.push(value);
            self.changed.notify_all();
        }
        self.state().ended = true;
        self.changed.notify_all();
    }

    /// The lines so far.
    pub(super) fn lines(&self) -> Vec<Value> {
        self.state().lines.clone()
    }

    /// Waits for a line that `is_it` accepts. The error is the whole log.
    pub(super) fn wait_for(&self, longest: Duration, is_it: impl Fn(&Value) -> bool) -> Result<Value, Vec<Value>> {
        let deadline = Instant::now() + longest;
        let mut state = self.state();
        loop {
            let found = state.lines.iter().find(|line| is_it(line)).cloned();
            if let Some(line) = found {
                return Ok(line);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                return Err(state.lines.clone());
            }
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// A test that failed with the lock in its hand may still read the log while it unwinds.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a line's message contains this.
pub(super) fn holds(line: &Value, message: &str) -> bool {
    let text = line["message"].as_str().or(line.as_str()).unwrap_or_default();
    text.contains(message)
}
