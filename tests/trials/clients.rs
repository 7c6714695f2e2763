//! Clients that send records in all ways, and remember what they were told of each record.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    http::Http,
    sidecar::{Sidecar, eventually},
    stream::Stream,
};

/// How many keys a client uses: few enough that some meet in a batch, many enough to spread over the partitions.
const KEYS: u64 = 13;
/// How many records a stream may be ahead of the outcomes that it has read.
const AHEAD: usize = 100;
/// How many records a stream has, so that a client needs more than one stream.
const STREAM_RECORDS: usize = 5_000;

/// What a client was told of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ToldOutcome {
    Acked {
        partition: u64,
        offset: Option<u64>,
    },
    Failed,
    Rejected,
    Unknown,
    /// The stream ended without an outcome for the record: it was not taken.
    Untold,
}

/// What a client knows of a record that it sent.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    /// A random number, which proves that the record is this client's.
    pub(super) nonce: u32,
    /// See [`Load::next_phase`].
    pub(super) phase: u32,
    pub(super) outcome: ToldOutcome,
    pub(super) generation: u64,
}

/// The records of one ordered stream, in the order sent, each sent once.
#[derive(Debug)]
pub(super) struct Ordered {
    pub(super) client: u64,
    pub(super) stream: u64,
    pub(super) records: Vec<Sent>,
}

/// Clients of one sidecar and topic: a third use HTTP/1.1 on the Unix socket, a third HTTP/1.1 on TCP, a third
/// `/stream`. The number of records in a request and the pauses are random.
pub(super) struct Load<'a> {
    sidecar: &'a Sidecar,
    topic: &'a str,
    seed: u64,
    most_records: u64,
    longest_pause: Duration,
    stop: AtomicBool,
    phase: AtomicU32,
    told: AtomicU64,
    /// How many records of each client were acknowledged.
    acked: Vec<AtomicU64>,
}

impl<'a> Load<'a> {
    pub(super) fn new(sidecar: &'a Sidecar, topic: &'a str, clients: u64) -> Self {
        Self {
            sidecar,
            topic,
            seed: fastrand::u64(..),
            most_records: 40,
            longest_pause: Duration::from_millis(80),
            stop: AtomicBool::new(false),
            phase: AtomicU32::new(0),
            told: AtomicU64::new(0),
            acked: (0..clients).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Sets the most records of a request, and the longest pause before the next one.
    pub(super) fn paced(self, most_records: u64, longest_pause: Duration) -> Self {
        Self {
            most_records,
            longest_pause,
            ..self
        }
    }

    /// Lets the clients send while `faults` runs, and returns what they were told.
    pub(super) fn run(&self, faults: impl FnOnce()) -> Vec<Ordered> {
        /// Stops the clients also when `faults` panics: they must not go on without end.
        struct Stop<'s>(&'s AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        eprintln!("trial on {}: seed {}", self.topic, self.seed);
        thread::scope(|scope| {
            let stop = Stop(&self.stop);
            let clients: Vec<_> = (0..self.acked.len() as u64)
                .map(|client| scope.spawn(move || self.client(client)))
                .collect();
            faults();
            drop(stop);
            let sent = clients
                .into_iter()
                .map(|client| client.join().expect("a client is well"));
            sent.flatten().collect()
        })
    }

    /// Waits until each client has had more records acknowledged, and prints how long that took.
    pub(super) fn goes_on(&self, when: &str) {
        let before = self.acked_by_client();
        let begun = Instant::now();
        let mut first = None;
        eventually(when, || {
            let now = self.acked_by_client();
            if now != before {
                first.get_or_insert_with(|| begun.elapsed());
            }
            now.iter().zip(&before).all(|(now, before)| now > before)
        });
        eprintln!(
            "trial on {}: {when}: next acknowledgement after {:.1?}, every client's after {:.1?}",
            self.topic,
            first.unwrap_or_default(),
            begun.elapsed()
        );
    }

    /// Waits until the clients were told this many outcomes in all.
    pub(super) fn until_told(&self, records: u64) {
        // There is no deadline while there is progress.
        let mut told = 0;
        while told < records {
            eventually("more records have outcomes", || self.told() > told);
            told = self.told();
        }
    }

    pub(super) fn told(&self) -> u64 {
        self.told.load(Ordering::SeqCst)
    }

    fn acked_by_client(&self) -> Vec<u64> {
        self.acked.iter().map(|acked| acked.load(Ordering::SeqCst)).collect()
    }

    /// Begins a new phase: records of earlier phases may be missing, for instance because their topic was deleted.
    pub(super) fn next_phase(&self) {
        self.phase.fetch_add(1, Ordering::SeqCst);
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn client(&self, client: u64) -> Vec<Ordered> {
        let mut random = fastrand::Rng::with_seed(self.seed.wrapping_add(client));
        let mut all = Vec::new();
        while !self.stopped() {
            let mut sent = Ordered {
                client,
                stream: all.len() as u64,
                records: Vec::new(),
            };
            let connected = match client % 3 {
                0 => Http::try_unix(&self.sidecar.unix).is_ok_and(|http| self.requests(http, &mut sent, &mut random)),
                1 => Http::try_tcp(self.sidecar.http).is_ok_and(|http| self.requests(http, &mut sent, &mut random)),
                _ => Stream::try_open(self.sidecar.http, self.topic)
                    .is_some_and(|stream| self.stream(stream, &mut sent, &mut random)),
            };
            if !connected {
                self.pause(&mut random);
            }
            if !sent.records.is_empty() {
                all.push(sent);
            }
        }
        all
    }

    /// This sleep paces the client; it waits for no condition.
    fn pause(&self, random: &mut fastrand::Rng) {
        thread::sleep(self.longest_pause.mul_f64(random.f64()));
    }

    fn nonces(&self, random: &mut fastrand::Rng) -> Vec<u32> {
        let count = random.u64(1..=self.most_records);
        (0..count).map(|_| random.u32(..)).collect()
    }

    /// Sends requests one after another on one connection, until it ends.
    fn requests(&self, mut http: Http, sent: &mut Ordered, random: &mut fastrand::Rng) -> bool {
        while !self.stopped() {
            let nonces = self.nonces(random);
            let phase = self.phase.load(Ordering::SeqCst);
            let lines = lines(sent, 0, &nonces);
            // If nothing was taken, the same records are sent again: they must be in the topic once all the same.
            let reply = loop {
                let path = format!("/v1/topics/{}/records", self.topic);
                http.send(
                    "POST",
                    &path,
                    &[("content-type", "application/x-ndjson")],
                    lines.as_bytes(),
                );
                match http.reply() {
                    // 404 for an unknown topic says, too, that nothing was taken.
                    Some(reply) if matches!(reply.status, 503 | 404) => {
                        if self.stopped() || reply.header("connection") == Some("close") {
                            return true;
                        }
                        self.pause(random);
                    }
                    reply => break reply,
                }
            };
            let Some(reply) = reply else {
                sent.records
                    .extend(nonces.into_iter().map(|nonce| Sent::untold(nonce, phase)));
                return true;
            };
            let reply = reply.json();
            let outcomes = reply["records"]
                .as_array()
                .unwrap_or_else(|| panic!("no outcomes: {reply}"));
            assert_eq!(outcomes.len(), nonces.len(), "exactly one outcome for each record");
            for (nonce, outcome) in nonces.into_iter().zip(outcomes) {
                self.tell(sent, nonce, phase, outcome, &reply["generation"]);
            }
            self.pause(random);
        }
        true
    }

    /// Sends one stream, until it is long enough or ends.
    fn stream(&self, mut stream: Stream, sent: &mut Ordered, random: &mut fastrand::Rng) -> bool {
        let mut waiting = VecDeque::new();
        let mut ended = false;
        while !ended && !self.stopped() && sent.records.len() < STREAM_RECORDS {
            let nonces = self.nonces(random);
            let phase = self.phase.load(Ordering::SeqCst);
            let lines = lines(sent, waiting.len(), &nonces);
            waiting.extend(nonces.into_iter().map(|nonce| (nonce, phase)));
            ended = !stream.try_send(&lines, Duration::from_secs(150));
            while !ended && waiting.len() > AHEAD {
                ended = !self.outcome(&mut stream, &mut waiting, sent);
            }
            self.pause(random);
        }
        stream.finish();
        while self.outcome(&mut stream, &mut waiting, sent) {}
        sent.records
            .extend(waiting.into_iter().map(|(nonce, phase)| Sent::untold(nonce, phase)));
        true
    }

    /// Reads the next outcome of a stream. False when it has ended.
    fn outcome(&self, stream: &mut Stream, waiting: &mut VecDeque<(u32, u32)>, sent: &mut Ordered) -> bool {
        let line = stream.line();
        if line["end"].is_string() {
            return false;
        }
        let (nonce, phase) = waiting.pop_front().expect("an outcome of a record that was sent");
        assert_eq!(line["index"], sent.records.len(), "exactly one outcome for each record");
        self.tell(sent, nonce, phase, &line, &line["generation"]);
        true
    }

    fn tell(&self, sent: &mut Ordered, nonce: u32, phase: u32, outcome: &Value, generation: &Value) {
        let outcome = match outcome["outcome"].as_str().expect("an outcome") {
            "acked" => ToldOutcome::Acked {
                partition: outcome["partition"].as_u64().expect("a partition"),
                offset: outcome["offset"].as_u64(),
            },
            "failed" => ToldOutcome::Failed,
            "rejected" => ToldOutcome::Rejected,
            "unknown" => ToldOutcome::Unknown,
            other => panic!("{other} is not an outcome"),
        };
        let client = usize::try_from(sent.client).expect("a client");
        self.acked[client].fetch_add(
            u64::from(matches!(outcome, ToldOutcome::Acked { .. })),
            Ordering::SeqCst,
        );
        self.told.fetch_add(1, Ordering::SeqCst);
        let generation = generation.as_u64().expect("a generation");
        sent.records.push(Sent {
            nonce,
            phase,
            outcome,
            generation,
        });
    }
}

impl Sent {
    fn untold(nonce: u32, phase: u32) -> Self {
        Self {
            nonce,
            phase,
            outcome: ToldOutcome::Untold,
            generation: 0,
        }
    }
}

/// The next records of a stream, `ahead` of those whose outcome it has read.
fn lines(sent: &Ordered, ahead: usize, nonces: &[u32]) -> String {
    let Ordered {
        client,
        stream,
        records,
    } = sent;
    let first = (records.len() + ahead) as u64;
    (first..)
        .zip(nonces)
        .map(|(number, nonce)| {
            let key = number % KEYS;
            format!("{{\"key\":\"{client}-{key}\",\"value\":[{client},{stream},{number},{nonce}]}}\n")
        })
        .collect()
}
