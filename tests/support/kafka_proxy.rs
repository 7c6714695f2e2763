//! A proxy for the brokers that knows Kafka's frames well enough to do harm at chosen moments.
//!
//! Each node has a listener that advertises its way here (see
//! [`Kafka::start_behind`](super::kafka::Kafka::start_behind)), so a client that comes through one way keeps using the
//! proxy. Frames pass unchanged until harm is asked for.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{
    Arc, Condvar, Mutex, PoisonError,
    mpsc::{Receiver, SyncSender, sync_channel},
};
use std::thread;
use std::time::{Duration, Instant};

use super::way::{Direction, Way};

pub(super) const PRODUCE: i16 = 0;
const NOT_LEADER_OR_FOLLOWER: i16 = 6;
/// The first version with tagged fields and compact lengths.
const FLEXIBLE: i16 = 9;
/// The first version whose topics have no names.
const NAMELESS: i16 = 13;
/// How many frames of one connection and direction may be held back at once.
const HELD_BACK: usize = 1_000;
/// More than any broker takes.
const LARGEST_FRAME: usize = 128 << 20;

/// One way for each node.
pub(crate) struct KafkaProxy {
    ways: Vec<Mutex<Way>>,
    harm: Arc<Harm>,
}

/// The harm to do, and what was done.
#[derive(Default)]
struct Harm {
    /// The connection is cut instead of passing on each n-th produce response; 0: never.
    cut_every: AtomicU64,
    produce_responses: AtomicU64,
    cuts: AtomicU64,
    /// The longest that a produce request or response is held back, in microseconds.
    delay: AtomicU64,
    /// Produce responses that will be turned into refusals.
    refusals: AtomicU64,
    closed: Mutex<bool>,
    opened: Condvar,
    /// How many bytes of requests may pass in a second; 0: no limit.
    rate: AtomicU64,
    /// When the next request may pass.
    next: Mutex<Option<Instant>>,
    rate_changed: Condvar,
}

impl KafkaProxy {
    /// Binds the ports, so that nodes can advertise them.
    pub(crate) fn new(nodes: usize) -> Self {
        let harm = Arc::new(Harm::default());
        let way = || Mutex::new(harm.way(Arc::default()));
        Self {
            ways: (0..nodes).map(|_| way()).collect(),
            harm,
        }
    }

    /// The proxy's ports for the nodes.
    pub(crate) fn ports(&self) -> Vec<u16> {
        (0..self.ways.len()).map(|node| self.port(node)).collect()
    }

    /// The proxy's port for a node.
    pub(crate) fn port(&self, node: usize) -> u16 {
        self.way(node).port()
    }

    /// Sets the node's own port.
    pub(crate) fn lead(&self, node: usize, port: u16) {
        self.way(node).lead(port);
    }

    /// Closes the proxy's port for a node, opens another one, and returns it.
    pub(crate) fn move_way(&self, node: usize) -> u16 {
        let mut way = self.way(node);
        let moved = self.harm.way(way.target());
        *way = moved;
        way.port()
    }

    fn way(&self, node: usize) -> std::sync::MutexGuard<'_, Way> {
        self.ways[node].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on cuts the connection instead of passing on each n-th produce response: the brokers have the records,
    /// and the client does not know. 0: no more.
    pub(crate) fn cut_each(&self, responses: u64) {
        self.harm.cut_every.store(responses, Ordering::SeqCst);
    }

    /// How many answers were cut.
    pub(crate) fn cuts(&self) -> u64 {
        self.harm.cuts.load(Ordering::SeqCst)
    }

    /// From now on holds every other produce request and response back for a random time up to this, and what comes behind
    /// it: more requests are under way then, and the broker may have changed its mind between one and the next.
    pub(crate) fn delay(&self, longest: Duration) {
        let micros = longest.as_micros().try_into().expect("a short time");
        self.harm.delay.store(micros, Ordering::SeqCst);
    }

    /// Changes the next produce response to "not the leader", although the records were appended, and lets nothing pass
    /// after it.
    pub(crate) fn refuse_next_and_close(&self) {
        self.harm.refusals.store(1, Ordering::SeqCst);
    }

    /// Whether nothing passes.
    pub(crate) fn is_closed(&self) -> bool {
        *self.harm.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets everything pass again, also what waits.
    pub(crate) fn open(&self) {
        *self.harm.closed.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.harm.opened.notify_all();
    }

    /// Lets this many bytes of requests pass in a second, to all nodes together; 0: no limit.
    pub(crate) fn throttle(&self, bytes_a_second: u64) {
        self.harm.rate.store(bytes_a_second, Ordering::SeqCst);
        // Requests that wait because of the old rate may pass now.
        *self.harm.next.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.harm.rate_changed.notify_all();
    }

    /// No more harm of any kind.
    pub(crate) fn be_kind(&self) {
        self.cut_each(0);
        self.delay(Duration::ZERO);
        self.throttle(0);
        self.harm.refusals.store(0, Ordering::SeqCst);
        self.open();
    }
}

/// The unanswered requests of one connection: API and version by correlation id.
pub(super) type Asked = Mutex<HashMap<i32, (i16, i16)>>;

/// A frame, and when to write it.
type Due = (Instant, Vec<u8>);

/// Ends when nothing more comes, or nobody reads.
fn write_when_due(due: Receiver<Due>, mut to: &TcpStream) {
    for (at, frame) in due {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        if to.write_all(&frame).is_err() {
            let _ = to.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn pass_requests(harm: &Harm, asked: &Asked, from: &TcpStream, to: &SyncSender<Due>) -> io::Result<()> {
    loop {
        let frame = read_frame(from)?;
        let (api, version) = (int16(&frame, 4)?, int16(&frame, 6)?);
        asked.lock().unwrap().insert(int32(&frame, 8)?, (api, version));
        harm.wait_for_room(frame.len());
        harm.wait_until_open();
        pass(to, harm.due(Some(api)), frame)?;
    }
}

fn pass_answers(harm: &Harm, asked: &Asked, from: &TcpStream, to: &SyncSender<Due>) -> io::Result<()> {
    loop {
        let mut frame = read_frame(from)?;
        let what = asked.lock().unwrap().remove(&int32(&frame, 4)?);
        harm.wait_until_open();
        if let Some((PRODUCE, version)) = what {
            if harm.cuts_this_one() {
                return Ok(());
            }
            if harm.refusals.swap(0, Ordering::SeqCst) > 0 {
                *harm.closed.lock().unwrap() = true;
                refuse(&mut frame, version)?;
            }
        }
        pass(to, harm.due(what.map(|(api, _)| api)), frame)?;
    }
}

fn pass(to: &SyncSender<Due>, at: Instant, frame: Vec<u8>) -> io::Result<()> {
    to.send((at, frame)).map_err(|_| io::ErrorKind::BrokenPipe.into())
}

impl Harm {
    /// A way on which this harm is done.
    fn way(self: &Arc<Self>, target: Arc<AtomicU16>) -> Way {
        let harm = Arc::clone(self);
        Way::open(target, move || {
            let (harm, asked) = (Arc::clone(&harm), Arc::<Asked>::default());
            move |direction, from: &TcpStream, to: &TcpStream| {
                thread::scope(|scope| {
                    let (passed, due) = sync_channel(HELD_BACK);
                    scope.spawn(|| write_when_due(due, to));
                    match direction {
                        Direction::Requests => pass_requests(&harm, &asked, from, &passed),
                        Direction::Answers => pass_answers(&harm, &asked, from, &passed),
                    }
                })
            }
        })
    }

    fn cuts_this_one(&self) -> bool {
        let every = self.cut_every.load(Ordering::SeqCst);
        let number = self.produce_responses.fetch_add(1, Ordering::SeqCst) + 1;
        let cut = every > 0 && number.is_multiple_of(every);
        self.cuts.fetch_add(u64::from(cut), Ordering::SeqCst);
        cut
    }

    /// When a request or a response may be passed on.
    fn due(&self, api: Option<i16>) -> Instant {
        let late = api == Some(PRODUCE) && fastrand::bool();
        let longest = self.delay.load(Ordering::SeqCst);
        Instant::now() + Duration::from_micros(if late { fastrand::u64(..=longest) } else { 0 })
    }

    fn wait_until_open(&self) {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        while *closed {
            closed = self.opened.wait(closed).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn wait_for_room(&self, bytes: usize) {
        let rate = self.rate.load(Ordering::SeqCst);
        if rate == 0 {
            return;
        }
        let now = Instant::now();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = next.map_or(now, |next| next.max(now)) + Duration::from_secs_f64(bytes as f64 / rate as f64);
        *next = Some(turn);
        let is_early = |_: &mut _| self.rate.load(Ordering::SeqCst) == rate;
        drop(self.rate_changed.wait_timeout_while(next, turn - now, is_early));
    }
}

/// A whole frame, with its length in front.
pub(super) fn read_frame(mut from: &TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let size = u32::from_be_bytes(length) as usize;
    if size > LARGEST_FRAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; 4 + size];
    frame[..4].copy_from_slice(&length);
    from.read_exact(&mut frame[4..])?;
    Ok(frame)
}

/// Makes a produce response with one partition an error, without an offset.
fn refuse(frame: &mut [u8], version: i16) -> io::Result<()> {
    assert!(version < NAMELESS, "version {version} of Produce has other answers");
    // After the length and the correlation id.
    let mut at = 8;
    let (topics, partitions);
    if version < FLEXIBLE {
        topics = int32(frame, at)?;
        at += 6 + usize::try_from(int16(frame, at + 4)?).expect("a topic");
        partitions = int32(frame, at)?;
        at += 4;
    } else {
        // The header's tags. In this format a length is stored plus one.
        assert_eq!(varint(frame, &mut at)?, 0, "tags in a header");
        topics = varint(frame, &mut at)? - 1;
        at += usize::try_from(varint(frame, &mut at)?).expect("a topic") - 1;
        partitions = varint(frame, &mut at)? - 1;
    }
    assert_eq!(
        (topics, partitions),
        (1, 1),
        "librdkafka asks for one partition at a time"
    );
    // The partition's number comes before the error, its offset after it.
    frame[at + 4..at + 6].copy_from_slice(&NOT_LEADER_OR_FOLLOWER.to_be_bytes());
    frame[at + 6..at + 14].copy_from_slice(&(-1_i64).to_be_bytes());
    Ok(())
}

fn bytes<const N: usize>(frame: &[u8], at: usize) -> io::Result<[u8; N]> {
    let bytes = frame.get(at..at + N).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

pub(super) fn int16(frame: &[u8], at: usize) -> io::Result<i16> {
    bytes(frame, at).map(i16::from_be_bytes)
}

pub(super) fn int32(frame: &[u8], at: usize) -> io::Result<i32> {
    bytes(frame, at).map(i32::from_be_bytes)
}

fn varint(frame: &[u8], at: &mut usize) -> io::Result<i32> {
    let (mut value, mut shift) = (0, 0);
    loop {
        let [byte] = bytes(frame, *at)?;
        *at += 1;
        value |= i32::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 || shift > 28 {
            return Ok(value);
        }
    }
}
