//! A proxy that makes brokers as far away as is wanted: each byte takes half of the round trip longer, in each direction.
//!
//! There is no limit to how many bytes are on their way, so that what is measured is distance and not a narrow line.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::way::Way;

/// What one read takes at most.
const CHUNK: usize = 256 << 10;
/// The bytes that may be on their way in one direction: 10 ms of 6 GB/s, so nobody should ever wait for it.
const ROOM: usize = 64 << 20;
/// How late a thread wakes up at most because that is how the machine is. What is more comes from others who use it.
const LATEST: Duration = Duration::from_micros(200);

/// One way for each node.
pub(crate) struct DelayProxy {
    ways: Vec<Way>,
    round_trip_us: Arc<AtomicU64>,
}

impl DelayProxy {
    /// Binds the ports, so that nodes can advertise them. At first nothing is delayed.
    pub(crate) fn new(nodes: usize) -> Self {
        let round_trip_us = Arc::new(AtomicU64::new(0));
        let way = || {
            let round_trip_us = Arc::clone(&round_trip_us);
            Way::open(Arc::default(), move || {
                let round_trip_us = Arc::clone(&round_trip_us);
                move |_, from: &TcpStream, to: &TcpStream| pass(&round_trip_us, from, to)
            })
        };
        Self {
            ways: (0..nodes).map(|_| way()).collect(),
            round_trip_us,
        }
    }

    /// The proxy's ports for the nodes.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.ways.iter().map(Way::port).collect()
    }

    /// Sets a node's own port.
    pub(crate) fn lead(&self, node: usize, port: u16) {
        self.ways[node].lead(port);
    }

    /// Sets the distance, also for connections that there are already.
    pub(crate) fn set_round_trip(&self, round_trip: Duration) {
        self.round_trip_us
            .store(round_trip.as_micros() as u64, Ordering::Relaxed);
    }
}

/// What is on its way in one direction of a connection.
#[derive(Default)]
struct Line {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// A chunk was taken and is not written yet.
    is_writing: bool,
    /// No more chunks will come.
    has_ended: bool,
}

struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
}

fn pass(round_trip_us: &AtomicU64, from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let line = Line::default();
    thread::scope(|scope| {
        scope.spawn(|| {
            // If it cannot be written, nothing more needs to be read.
            if line.write_when_due(to).is_err() {
                let _ = from.shutdown(std::net::Shutdown::Both);
            }
            line.end();
        });
        let read = line.read(round_trip_us, from, to);
        line.end();
        read
    })
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, is_early: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_while(self.state(), |state| is_early(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.state().has_ended = true;
        self.changed.notify_all();
    }

    fn read(&self, round_trip_us: &AtomicU64, mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = from.read(&mut buffer)?;
            let read = Instant::now();
            let delay = Duration::from_nanos(round_trip_us.load(Ordering::Relaxed) * 500);
            let mut state = self.wait_while(|state| state.bytes >= ROOM && !state.has_ended);
            if count == 0 || state.has_ended {
                return Ok(());
            }
            if delay.is_zero() && state.chunks.is_empty() && !state.is_writing {
                // Nothing is before it, and the other thread would be one more to wait for.
                drop(state);
                to.write_all(&buffer[..count])?;
                continue;
            }
            state.bytes += count;
            state.chunks.push_back(Chunk {
                due: read + delay,
                bytes: buffer[..count].to_vec(),
            });
            drop(state);
            self.changed.notify_one();
        }
    }

    fn write_when_due(&self, mut to: &TcpStream) -> io::Result<()> {
        // Otherwise Linux adds up to 50 µs to each sleep, to wake several threads at once.
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
        let mut clock = Clock::default();
        loop {
            let mut state = self.wait_while(|state| state.chunks.is_empty() && !state.has_ended);
            let Some(chunk) = state.chunks.pop_front() else {
                return Ok(());
            };
            state.is_writing = true;
            drop(state);
            clock.sleep_until(chunk.due);
            to.write_all(&chunk.bytes)?;
            let mut state = self.state();
            state.is_writing = false;
            state.bytes -= chunk.bytes.len();
            drop(state);
            self.changed.notify_one();
        }
    }
}

/// Sleeps to the point: as much shorter as it woke up too late before, so that it is right on average. To wait without
/// sleeping would take the processor from what is measured.
#[derive(Default)]
struct Clock {
    late: Duration,
}

impl Clock {
    fn sleep_until(&mut self, due: Instant) {
        let begun = Instant::now();
        let left = due.saturating_duration_since(begun);
        if left.is_zero() {
            return;
        }
        // A short wait must not become none.
        let planned = left - self.late.min(left / 4);
        thread::sleep(planned);
        let late = begun.elapsed().saturating_sub(planned).min(LATEST);
        self.late = (self.late * 7 + late) / 8;
    }
}
