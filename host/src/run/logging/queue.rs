//! The lines that wait to be written. A pipe that nobody reads blocks the thread that writes into it. Here only one
//! thread writes, and lines that find no room are dropped and counted.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, ErrorKind, Write as _},
    os::fd::AsFd as _,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Most lines that wait.
const MAX_LINES: usize = 8_192;
/// Most bytes that wait.
const MAX_BYTES: usize = 1 << 20;
/// The share of both limits that is kept for warnings and errors, as (parts, all).
const KEPT: (usize, usize) = (1, 4);
/// If standard error is set to non-blocking: how long to wait before the next try.
const AGAIN: Duration = Duration::from_millis(10);

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// A line is being written.
    writing: bool,
    /// Lines that were dropped and are not reported yet.
    untold: u64,
}

/// Standard error, without the standard library's lock.
pub(super) fn standard_error() -> io::Result<File> {
    Ok(File::from(io::stderr().as_fd().try_clone_to_owned()?))
}

impl Queue {
    /// Adds a line, without ever waiting.
    fn push(&self, line: &[u8], level: Level) {
        let (parts, all) = match level {
            Level::ERROR | Level::WARN => (0, 1),
            _ => KEPT,
        };
        let mut waiting = self.waiting();
        let most = |most: usize| most - most / all * parts;
        if waiting.lines.len() >= most(MAX_LINES) || waiting.bytes + line.len() > most(MAX_BYTES) {
            waiting.untold += 1;
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.bytes += line.len();
        waiting.lines.push_back(line.into());
        drop(waiting);
        self.changed.notify_all();
    }

    /// Writes one line. If there is none, waits for one up to the given time.
    pub(super) fn write_next(&self, out: &File, patience: Duration) {
        let waiting = self.waiting();
        let (mut waiting, _) = self
            .changed
            .wait_timeout_while(waiting, patience, |waiting| waiting.lines.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        let Some(line) = waiting.lines.pop_front() else {
            return;
        };
        waiting.bytes -= line.len();
        waiting.writing = true;
        drop(waiting);
        let written = write(out, &line);
        let mut waiting = self.waiting();
        waiting.writing = false;
        if written.is_err() {
            waiting.untold += 1;
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        drop(waiting);
        self.changed.notify_all();
    }

    /// Reports how many lines were dropped, once there is room again.
    pub(super) fn tell(&self) {
        let mut waiting = self.waiting();
        if waiting.untold == 0 || waiting.lines.len() > MAX_LINES / 2 || waiting.bytes > MAX_BYTES / 2 {
            return;
        }
        let lines = std::mem::take(&mut waiting.untold);
        drop(waiting);
        tracing::warn!(
            lines,
            "log lines were dropped here: standard error was not read, or not fast enough; read it faster, or log less"
        );
    }

    /// Lines that were dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until no line waits, but not longer than the given time.
    pub(super) fn flush(&self, patience: Duration) {
        let waiting = self.waiting();
        let pending = |waiting: &mut Waiting| waiting.writing || !waiting.lines.is_empty();
        drop(self.changed.wait_timeout_while(waiting, patience, pending));
    }

    // A std mutex: it is held for a push or a pop, never during a write.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(mut out: &File, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match out.write(line) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => line = &line[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(AGAIN),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Takes one whole line for each write, since the layer writes it so.
pub(super) struct Writer<'a> {
    queue: &'a Queue,
    level: Level,
}

impl io::Write for Writer<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.queue.push(line, self.level);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives the layer a writer for each line.
pub(super) struct Lines(pub(super) Arc<Queue>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Writer<'a>;

    fn make_writer(&'a self) -> Writer<'a> {
        Writer {
            queue: &self.0,
            level: Level::INFO,
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Writer<'a> {
        Writer {
            queue: &self.0,
            level: *metadata.level(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _};

    use super::*;

    #[test]
    fn a_reader_that_stands_still_stops_nobody_and_costs_a_bounded_amount() {
        let queue = Arc::new(Queue::default());
        let (reader, writer) = io::pipe().expect("a pipe");
        let out = File::from(std::os::fd::OwnedFd::from(writer));
        let writing = thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                while Arc::strong_count(&queue) > 1 {
                    queue.write_next(&out, Duration::from_millis(1));
                }
                while !queue.waiting().lines.is_empty() {
                    queue.write_next(&out, Duration::ZERO);
                }
            }
        });
        let line = [b"x".repeat(1_023), b"\n".to_vec()].concat();
        for _ in 0..10_000 {
            queue.push(&line, Level::INFO);
        }
        let bytes = |queue: &Queue| queue.waiting().bytes;
        assert!(bytes(&queue) <= MAX_BYTES / 4 * 3, "room for warnings is left");
        let dropped = queue.dropped();
        assert!(dropped > 9_000, "{dropped}");
        queue.push(b"a warning\n", Level::WARN);
        assert_eq!(queue.dropped(), dropped);
        for _ in 0..10_000 {
            queue.push(&line, Level::ERROR);
        }
        assert!(bytes(&queue) <= MAX_BYTES);
        queue.flush(Duration::from_millis(1));
        let kept = 20_001 - queue.dropped();
        drop(queue);
        let mut lines = BufReader::new(reader).lines();
        let read: Vec<String> = lines.by_ref().map_while(Result::ok).collect();
        assert_eq!(read.len() as u64, kept);
        assert!(read.contains(&"a warning".to_owned()));
        writing.join().expect("the writer");
    }

    #[test]
    fn a_reader_that_is_gone_stops_nobody() {
        let queue = Queue::default();
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let out = File::from(std::os::fd::OwnedFd::from(writer));
        queue.push(b"lost\n", Level::ERROR);
        queue.write_next(&out, Duration::ZERO);
        assert_eq!((queue.dropped(), queue.waiting().lines.len()), (1, 0));
        queue.flush(Duration::from_secs(60));
    }

    #[test]
    fn what_was_said_last_is_written_before_the_end() {
        let queue = Arc::new(Queue::default());
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let out = File::from(std::os::fd::OwnedFd::from(writer));
        for _ in 0..100 {
            queue.push(b"a line\n", Level::INFO);
        }
        let writing = thread::spawn({
            let queue = Arc::clone(&queue);
            move || (0..100).for_each(|_| queue.write_next(&out, Duration::from_secs(60)))
        });
        queue.flush(Duration::from_secs(60));
        assert!(queue.waiting().lines.is_empty());
        writing.join().expect("the writer");
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("what was written");
        assert_eq!(text.lines().count(), 100);
    }
}
