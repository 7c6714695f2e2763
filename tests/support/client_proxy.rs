//! A proxy between Kafka's clients and a sidecar, which cuts their connections at random, in the middle of frames too.
//!
//! A client goes on at the address that it is told in Metadata, which is the sidecar's own. So the proxy writes its own port there.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::kafka_proxy::{Asked, PRODUCE, int16, int32, read_frame};
use super::way::{Direction, Way};

const METADATA: i16 = 3;

/// Where a connection is cut.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// The sidecar gets a part of a Produce request.
    InRequest,
    /// The sidecar has taken the batches, and the client gets no answer.
    BeforeAnswer,
    /// The client gets a part of the answer.
    InAnswer,
}

const PLACES: [Place; 3] = [Place::InRequest, Place::BeforeAnswer, Place::InAnswer];

/// The way to one sidecar.
pub(crate) struct ClientProxy {
    way: Way,
    harm: Arc<Harm>,
}

/// The harm to do, and what was done.
#[derive(Default)]
struct Harm {
    /// One in so many Produce requests meets a cut, at each place; 0: none.
    cut_one_in: AtomicU64,
    cuts: [AtomicU64; PLACES.len()],
    /// The proxy's own port.
    port: OnceLock<u16>,
}

impl ClientProxy {
    /// A proxy that leads to this port of a sidecar on 127.0.0.1.
    pub(crate) fn to(port: u16) -> Self {
        let harm = Arc::new(Harm::default());
        let way = Way::open(Arc::new(AtomicU16::new(port)), {
            let harm = Arc::clone(&harm);
            move || {
                let (harm, asked) = (Arc::clone(&harm), Arc::<Asked>::default());
                move |direction, from: &TcpStream, to: &TcpStream| match direction {
                    Direction::Requests => harm.pass_requests(&asked, from, to),
                    Direction::Answers => harm.pass_answers(&asked, from, to, port),
                }
            }
        });
        harm.port.set(way.port()).expect("a proxy has one port");
        Self { way, harm }
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.way.port()).into()
    }

    /// From now on, cuts a connection at each place for one in so many Produce requests. 0: no more.
    pub(crate) fn cut_one_in(&self, requests: u64) {
        self.harm.cut_one_in.store(requests, Ordering::SeqCst);
    }

    /// How often connections were cut: in a request, before an answer, in an answer.
    pub(crate) fn cuts(&self) -> [u64; PLACES.len()] {
        PLACES.map(|place| self.harm.cuts[place as usize].load(Ordering::SeqCst))
    }
}

impl Harm {
    fn pass_requests(&self, asked: &Asked, from: &TcpStream, to: &TcpStream) -> io::Result<()> {
        loop {
            let frame = read_frame(from)?;
            let (api, version) = (int16(&frame, 4)?, int16(&frame, 6)?);
            asked.lock().unwrap().insert(int32(&frame, 8)?, (api, version));
            if api == PRODUCE && self.cuts_at(Place::InRequest) {
                return a_part_of(&frame, to);
            }
            pass(&frame, to)?;
        }
    }

    fn pass_answers(&self, asked: &Asked, from: &TcpStream, to: &TcpStream, sidecar: u16) -> io::Result<()> {
        loop {
            let mut frame = read_frame(from)?;
            match asked.lock().unwrap().remove(&int32(&frame, 4)?) {
                Some((PRODUCE, _)) if self.cuts_at(Place::BeforeAnswer) => return Ok(()),
                Some((PRODUCE, _)) if self.cuts_at(Place::InAnswer) => return a_part_of(&frame, to),
                Some((METADATA, _)) => {
                    let own = *self.port.get().ok_or(io::ErrorKind::NotConnected)?;
                    lead_to(&mut frame, sidecar, own)?;
                }
                _ => {}
            }
            pass(&frame, to)?;
        }
    }

    fn cuts_at(&self, place: Place) -> bool {
        let one_in = self.cut_one_in.load(Ordering::SeqCst);
        let cut = one_in > 0 && fastrand::u64(..one_in) == 0;
        self.cuts[place as usize].fetch_add(u64::from(cut), Ordering::SeqCst);
        cut
    }
}

fn pass(frame: &[u8], mut to: &TcpStream) -> io::Result<()> {
    to.write_all(frame)
}

fn a_part_of(frame: &[u8], to: &TcpStream) -> io::Result<()> {
    pass(&frame[..fastrand::usize(1..frame.len())], to)
}

/// Changes the port of the only broker in an answer to Metadata, which stands behind its host in every version.
fn lead_to(frame: &mut [u8], from: u16, to: u16) -> io::Result<()> {
    let port = |port: u16| u32::from(port).to_be_bytes();
    let host = b"127.0.0.1";
    let broker = [&host[..], &port(from)].concat();
    let at = frame.windows(broker.len()).position(|bytes| bytes == broker);
    let at = at.ok_or(io::ErrorKind::InvalidData)? + host.len();
    frame[at..at + 4].copy_from_slice(&port(to));
    Ok(())
}
