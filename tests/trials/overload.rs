//! Overload: far more than the brokers take, from clients that are slow, greedy or faulty.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{checker::check, clients::Load, cluster::Cluster, form};
use crate::support::sidecar::{Builder, Sidecar, eventually};

const TOPIC: &str = "overload";
/// The topic of the flood. It is not read back.
const FLOODED: &str = "overload-flooded";
/// How many bytes of requests the brokers get in a second.
const BYTES_A_SECOND: u64 = 150_000;
const SLOW_CONNECTIONS: usize = 2_000;
/// How many slow connections are opened at once.
const OPENED_AT_ONCE: usize = 250;
const FLOODING_CLIENTS: usize = 12;
/// The flood's requests have 200 records of 4 KiB.
const FLOOD_RECORDS: usize = 200;
const FLOOD_VALUE: usize = 4 << 10;
const HUGE_BODY: usize = 100 << 20;
const MOST_RESIDENT: u64 = 256 << 20;
/// The statuses that a client may get instead of being served.
const REFUSALS: [u16; 5] = [408, 413, 429, 431, 503];
/// A request that is answered within this time shows that all is normal again.
const NORMAL: Duration = Duration::from_millis(250);

/// What the pressing clients share, and what they have seen.
#[derive(Default)]
struct Pressure {
    stop: AtomicBool,
    /// How many bytes of records clients tried to send.
    offered: AtomicU64,
    /// How many answers there were, by kind of client and status.
    answers: Mutex<BTreeMap<(&'static str, String), u64>>,
}

#[test]
fn a_flooded_sidecar_stays_alive_and_small_refuses_politely_and_recovers() {
    let files = getrlimit(Resource::Nofile);
    let current = files.maximum;
    setrlimit(Resource::Nofile, Rlimit { current, ..files }).expect("room for the connections of both sides");
    let cluster = Cluster::take();
    for topic in [TOPIC, FLOODED] {
        cluster.create_topic(topic, 9, &[]).unwrap();
    }
    let sidecar = Builder::kafka(&cluster.proxied_bootstrap()).start();
    let load = Load::new(&sidecar, TOPIC, 6);
    let pressure = Pressure::default();
    let sent = load.run(|| {
        load.goes_on("at first");
        cluster.proxy().throttle(BYTES_A_SECOND);
        let (slowest, resident, recovery) = thread::scope(|scope| {
            let begun = Instant::now();
            let (slowest, resident) = pressure.press(scope, &sidecar);
            let offered = pressure.offered.load(Ordering::SeqCst) as f64 / begun.elapsed().as_secs_f64();
            eprintln!(
                "trial on {TOPIC}: {:.0} times what the brokers took was offered for {:.1?}; slowest /live {slowest:.1?}; \
                 resident at most {} MiB",
                offered / BYTES_A_SECOND as f64,
                begun.elapsed(),
                resident >> 20
            );
            cluster.proxy().throttle(0);
            (slowest, resident, recovery(&sidecar))
        });
        eprintln!("trial on {TOPIC}: back to normal {recovery:.1?} after it ended");
        for ((who, what), times) in &*pressure.answers.lock().unwrap() {
            eprintln!("trial on {TOPIC}: {who}: {what}, {times} times");
        }
        assert!(slowest < Duration::from_secs(3), "/live took {slowest:?}");
        assert!(resident < MOST_RESIDENT, "{resident} bytes are resident");
        assert!(recovery < Duration::from_secs(50), "back to normal after {recovery:?}");
        load.goes_on("afterwards");
    });
    check(&cluster, TOPIC, &sent, 0);
}

/// How long it takes until a small request on a new connection is served quickly again.
fn recovery(sidecar: &Sidecar) -> Duration {
    let begun = Instant::now();
    eventually("a request is served at once", || {
        let asked = Instant::now();
        let reply = sidecar
            .unix()
            .json(&format!("/v1/topics/{FLOODED}/records"), r#"{"value":1}"#);
        reply.status == 200 && asked.elapsed() < NORMAL
    });
    begun.elapsed()
}

impl Pressure {
    /// Presses the sidecar for a while. Returns the slowest answer of `/live`, and the most memory, meanwhile.
    fn press<'s>(&'s self, scope: &'s Scope<'s, '_>, sidecar: &'s Sidecar) -> (Duration, u64) {
        for client in 0..FLOODING_CLIENTS {
            scope.spawn(move || self.flood(sidecar, client));
        }
        scope.spawn(|| self.be_slow(sidecar));
        scope.spawn(|| self.be_greedy(sidecar));
        let (mut slowest, mut resident) = (Duration::ZERO, 0);
        let begun = Instant::now();
        while begun.elapsed() < form(Duration::from_secs(12), Duration::from_secs(60)) {
            let asked = Instant::now();
            assert_eq!(sidecar.admin("/live").status, 200);
            slowest = slowest.max(asked.elapsed());
            resident = resident.max(sidecar.resident_bytes());
            // A clock, not a condition.
            thread::sleep(Duration::from_millis(20));
        }
        self.stop.store(true, Ordering::SeqCst);
        (slowest, resident)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Counts an answer, which must be a success or a refusal. None is a closed connection.
    fn answered(&self, who: &'static str, status: Option<u16>) {
        if let Some(status) = status {
            let good = matches!(status, 200 | 202 | 207 | 504);
            assert!(good || REFUSALS.contains(&status), "{who}: {status}");
        }
        let what = status.map_or_else(|| "closed".to_owned(), |status| status.to_string());
        // A client that panicked with the lock has reported that itself.
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        *answers.entry((who, what)).or_default() += 1;
    }

    /// Sends large requests, one after another, as fast as they are answered. Half of the clients do not wait for the
    /// brokers.
    fn flood(&self, sidecar: &Sidecar, client: usize) {
        let value = "x".repeat(FLOOD_VALUE);
        let body: String = (0..FLOOD_RECORDS)
            .map(|record| format!("{{\"key\":\"{record}\",\"value\":\"{value}\"}}\n"))
            .collect();
        let mode = if client.is_multiple_of(2) { "all" } else { "none" };
        let path = format!("/v1/topics/{FLOODED}/records?ack={mode}");
        while !self.stopped() {
            let mut http = sidecar.tcp();
            while !self.stopped() {
                http.send(
                    "POST",
                    &path,
                    &[("content-type", "application/x-ndjson")],
                    body.as_bytes(),
                );
                self.offered.fetch_add(body.len() as u64, Ordering::SeqCst);
                let reply = http.reply();
                self.answered("flooding clients", reply.as_ref().map(|reply| reply.status));
                // A client that is refused comes back a little later, as it should.
                thread::sleep(Duration::from_millis(20));
                if reply.is_none_or(|reply| reply.header("connection") == Some("close")) {
                    break;
                }
            }
        }
    }

    /// Opens many connections that begin a request and send the rest a byte at a time.
    fn be_slow(&self, sidecar: &Sidecar) {
        let mut slow: Vec<Option<Slow>> = (0..SLOW_CONNECTIONS).map(|_| None).collect();
        while !self.stopped() {
            let mut opened = 0;
            for (number, place) in slow.iter_mut().enumerate() {
                match place {
                    Some(connection) => {
                        if let Some(status) = connection.poke() {
                            self.answered("slow connections", status);
                            *place = None;
                        }
                    }
                    None if opened < OPENED_AT_ONCE => {
                        opened += 1;
                        *place = Slow::open(sidecar, number);
                    }
                    None => {}
                }
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Sends bodies of 100 MiB, with and without a content-length.
    fn be_greedy(&self, sidecar: &Sidecar) {
        let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20));
        while !self.stopped() {
            for announced in [true, false] {
                let mut http = sidecar.unix();
                let length = if announced {
                    format!("content-length: {HUGE_BODY}")
                } else {
                    "transfer-encoding: chunked".to_owned()
                };
                let head = format!(
                    "POST /v1/topics/{FLOODED}/records HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\n{length}\r\n\r\n"
                );
                http.raw(head.as_bytes());
                for _ in 0..if announced { 0 } else { HUGE_BODY >> 20 } {
                    http.raw(chunk.as_bytes());
                }
                let status = http.reply().map(|reply| reply.status);
                assert!(status.is_none_or(|status| status >= 400), "100 MiB were taken");
                self.answered("bodies of 100 MiB", status);
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A slow connection.
struct Slow {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Slow {
    fn open(sidecar: &Sidecar, number: usize) -> Option<Self> {
        let stream = TcpStream::connect(sidecar.http).ok()?;
        let begin = match number % 3 {
            0 => String::new(),
            1 => format!("POST /v1/topics/{FLOODED}/records HTTP/1.1\r\nhost: "),
            _ => format!(
                "POST /v1/topics/{FLOODED}/records HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\n\
                 content-length: 10000\r\n\r\n"
            ),
        };
        (&stream).write_all(begin.as_bytes()).ok()?;
        stream.set_nonblocking(true).ok()?;
        let answer = Vec::new();
        Some(Self { stream, answer })
    }

    /// Sends one more byte. Some when the sidecar has closed: with the status that it sent before, if it did.
    fn poke(&mut self) -> Option<Option<u16>> {
        let _ = (&self.stream).write(b"x");
        let mut bytes = [0; 1024];
        match (&self.stream).read(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Ok(count @ 1..) => {
                self.answer.extend(&bytes[..count]);
                None
            }
            Ok(0) | Err(_) => {
                let answer = String::from_utf8_lossy(&self.answer);
                Some(answer.split(' ').nth(1).and_then(|status| status.parse().ok()))
            }
        }
    }
}
