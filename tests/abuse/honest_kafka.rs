//! A Kafka client that does nothing wrong: an idempotent producer.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::consumer::Read;
use crate::support::kafka_wire::{NONE, OUT_OF_ORDER, Producer, Wire, record, told};
use crate::support::sidecar::Sidecar;

/// The topic that only this client sends to.
pub(super) const TOPIC: &str = "honest";
/// Batches that are sent before the first answer is read, and records of a batch.
pub(super) const AHEAD: usize = 4;
const RECORDS: usize = 3;
const KEYS: usize = 7;
/// Pause between two rounds, so that this client takes little of the machine.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a round may take in all.
const PATIENCE: Duration = Duration::from_secs(60);
/// Codes that tell a client to send the same batch again: REQUEST_TIMED_OUT, NOT_ENOUGH_REPLICAS and the same after append.
const AGAIN: [i16; 3] = [7, 19, 20];

/// An idempotent producer that sends rounds of batches, and sends a batch again when it is told to.
pub(super) struct HonestKafka {
    address: SocketAddr,
    wire: Wire,
    producer: Producer,
    served: Served,
}

/// How it was served.
#[derive(Default)]
pub(super) struct Served {
    /// How many records were acknowledged: those with the numbers below.
    pub(super) acked: usize,
    /// How often batches had to be sent again.
    pub(super) again: usize,
    /// The time of each round.
    pub(super) rounds: Vec<Duration>,
    /// The answers that no honest client may get.
    pub(super) wrong: Vec<String>,
}

impl Served {
    pub(super) fn p99(&self) -> Duration {
        self.rounds
            .get(self.rounds.len() * 99 / 100)
            .copied()
            .unwrap_or(PATIENCE)
    }
}

impl HonestKafka {
    pub(super) fn of(sidecar: &Sidecar) -> Self {
        let address = sidecar.kafka.expect("a listener for Kafka clients");
        let mut wire = Wire::connect(address);
        let producer = wire.producer();
        Self {
            address,
            wire,
            producer,
            served: Served::default(),
        }
    }

    /// Sends for so long.
    pub(super) fn send(mut self, length: Duration) -> Served {
        let begun = Instant::now();
        while begun.elapsed() < length && self.served.wrong.is_empty() {
            // This sleep paces the client; it waits for no condition.
            std::thread::sleep(PAUSE);
            let asked = Instant::now();
            self.round();
            self.served.rounds.push(asked.elapsed());
        }
        self.served.rounds.sort_unstable();
        self.served
    }

    /// Sends some batches until all are acknowledged.
    pub(super) fn round(&mut self) {
        let begun = Instant::now();
        let first = self.served.acked;
        let mut left: Vec<(usize, Vec<u8>)> = (0..AHEAD)
            .map(|batch| first + batch * RECORDS)
            .map(|number| (number, self.batch(number)))
            .collect();
        loop {
            let answers = self.exchange(&left);
            let acked = answers.iter().take_while(|error| **error == NONE).count();
            self.served.acked += acked * RECORDS;
            if acked == left.len() {
                return;
            }
            self.served.again += 1;
            let refused = &answers[acked..];
            let is_known = |error: &i16| AGAIN.contains(error) || *error == OUT_OF_ORDER;
            if !refused.iter().all(is_known) || begun.elapsed() > PATIENCE {
                let wrong = format!("an honest producer was told {answers:?} after {:?}", begun.elapsed());
                return self.served.wrong.push(wrong);
            }
            left.drain(..acked);
        }
    }

    /// The next batch, of the records from this number on.
    fn batch(&mut self, number: usize) -> Vec<u8> {
        let texts: Vec<_> = (number..number + RECORDS)
            .map(|number| (key(number), number.to_string()))
            .collect();
        let records: Vec<_> = texts.iter().map(|(key, value)| record(key, value)).collect();
        self.producer.batch(&records)
    }

    /// Sends all batches, and returns the codes that came. After a closed connection they are fewer, and it has a new one.
    fn exchange(&mut self, batches: &[(usize, Vec<u8>)]) -> Vec<i16> {
        let sent = batches.iter().all(|(_, batch)| self.wire.try_send_batch(TOPIC, batch));
        let answers = batches
            .iter()
            .map_while(|_| Some(told(&self.wire.answer()?).first()?.error));
        let answers: Vec<_> = if sent { answers.collect() } else { Vec::new() };
        if answers.len() < batches.len() {
            self.wire = Wire::connect(self.address);
        }
        answers
    }
}

fn key(number: usize) -> String {
    format!("k-{}", number % KEYS)
}

/// Whether the topic has each of these records once, in the order of their keys. None: it has.
pub(super) fn harm(read: &[Read], acked: usize) -> Option<String> {
    let mut seen = vec![false; acked];
    let mut last: HashMap<String, usize> = HashMap::new();
    for record in read {
        let number: usize = record.text().parse().expect("a number");
        // Those of a last round that nobody heard of may be there, too.
        if let Some(seen) = seen.get_mut(number)
            && std::mem::replace(seen, true)
        {
            return Some(format!("record {number} of {acked} was written twice"));
        }
        if let Some(before) = last.insert(key(number), number)
            && before > number
        {
            return Some(format!("record {number} was written after {before}"));
        }
    }
    let lost = seen.iter().position(|seen| !seen)?;
    Some(format!("record {lost} of {acked} was acknowledged and is not there"))
}
