//! librdkafka without a sidecar around it, and what became of the records that it got.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use base64_simd::STANDARD;
use rdkafka::{
    ClientConfig, ClientContext,
    config::{FromClientConfigAndContext as _, RDKafkaLogLevel},
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext},
};
use serde_json::{Value, json};

use super::cluster::Cluster;
use crate::support::{kafka::Kafka, sidecar::eventually};

/// With five records of a partition under way, librdkafka makes no further request of it.
const UNDER_WAY: u64 = 4;
/// The longest pause before the next partition's turn, and that between two records of one. The second is long enough for
/// each record to become a request of its own while there is room for one.
const TURN: Duration = Duration::from_millis(16);
const GAP: Duration = Duration::from_micros(600);
/// So many more acknowledgements show that traffic goes on.
const GOES_ON: u64 = 30;

/// What librdkafka tells.
struct Told {
    /// How many records of each partition have no outcome yet.
    under_way: Vec<AtomicU64>,
    acked: AtomicU64,
    failed: AtomicU64,
    /// How often the producer got another epoch, in which brokers know none of its records.
    bumps: AtomicU64,
}

impl ClientContext for Told {
    fn log(&self, _: RDKafkaLogLevel, _: &str, message: &str) {
        let bumped = message.contains("All partitions drained, bumped epoch");
        self.bumps.fetch_add(u64::from(bumped), Ordering::SeqCst);
    }
}

impl ProducerContext for Told {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, partition: usize) {
        let count = if result.is_ok() { &self.acked } else { &self.failed };
        count.fetch_add(1, Ordering::SeqCst);
        self.under_way[partition].fetch_sub(1, Ordering::SeqCst);
    }
}

/// An idempotent producer that is given numbered records.
pub(super) struct Raw<'a> {
    topic: &'a str,
    in_flight: u32,
    producer: BaseProducer<Told>,
    /// How many records each partition got.
    sent: Vec<AtomicU64>,
    stop: AtomicBool,
}

impl<'a> Raw<'a> {
    pub(super) fn new(cluster: &Cluster, topic: &'a str, partitions: usize, in_flight: u32) -> Self {
        let zeros = || (0..partitions).map(|_| AtomicU64::new(0)).collect();
        let told = Told {
            under_way: zeros(),
            acked: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            bumps: AtomicU64::new(0),
        };
        let mut config = ClientConfig::new();
        for (name, value) in [
            ("bootstrap.servers", cluster.proxied_bootstrap().as_str()),
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("max.in.flight.requests.per.connection", &in_flight.to_string()),
            ("linger.ms", "0"),
            ("reconnect.backoff.max.ms", "1000"),
            // No record is given up: after that, the producer gets another epoch in any case.
            ("delivery.timeout.ms", "600000"),
            // It tells of another epoch only when it is debugged.
            ("debug", "eos"),
        ] {
            config.set(name, value);
        }
        config.set_log_level(RDKafkaLogLevel::Debug);
        Self {
            topic,
            in_flight,
            producer: BaseProducer::from_config_and_context(&config, told).expect("a producer"),
            sent: zeros(),
            stop: AtomicBool::new(false),
        }
    }

    /// Sends while `faults` runs, and returns when all records have their outcomes.
    pub(super) fn run(&self, faults: impl FnOnce()) {
        /// Stops the threads also when `faults` panics.
        struct Stop<'s>(&'s AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        thread::scope(|scope| {
            let _stop = Stop(&self.stop);
            scope.spawn(|| self.send());
            scope.spawn(|| {
                while !self.stopped() || self.producer.in_flight_count() > 0 {
                    self.producer.poll(Duration::from_millis(5));
                }
            });
            faults();
        });
    }

    /// Waits for more acknowledgements. After a fatal error there are none.
    pub(super) fn goes_on(&self, when: &str) {
        let acked = || self.told().acked.load(Ordering::SeqCst);
        let before = acked();
        eventually(when, || self.stopped() || acked() >= before + GOES_ON);
    }

    pub(super) fn sent(&self) -> Vec<u64> {
        self.sent.iter().map(|sent| sent.load(Ordering::SeqCst)).collect()
    }

    /// One line of JSON for those who compare runs.
    pub(super) fn line(&self, leader_changes: u64, answers_cut: u64, written: &Written) -> Value {
        let told = self.told();
        json!({
            "in_flight": self.in_flight,
            "leader_changes": leader_changes,
            "answers_cut": answers_cut,
            "sent": self.sent().iter().sum::<u64>(),
            "acked": told.acked.load(Ordering::SeqCst),
            "failed": told.failed.load(Ordering::SeqCst),
            "epoch_bumps": told.bumps.load(Ordering::SeqCst),
            "fatal": self.producer.client().fatal_error().map(|(_, message)| message),
            "doubled": written.doubled,
            "behind_a_later_one": written.behind,
            "reordered": written.reordered,
            "missing": written.missing,
        })
    }

    fn told(&self) -> &Told {
        self.producer.context()
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Gives one partition after another, in random order, a few records. The sleeps pace it; they wait for no condition.
    fn send(&self) {
        while !self.stopped() {
            thread::sleep(TURN.mul_f64(fastrand::f64()));
            let partition = fastrand::usize(..self.sent.len());
            for _ in 0..fastrand::u64(1..=UNDER_WAY) {
                if self.told().under_way[partition].load(Ordering::SeqCst) < UNDER_WAY {
                    self.send_to(partition);
                    thread::sleep(GAP.mul_f64(fastrand::f64()));
                }
            }
        }
    }

    /// A partition's records are numbered from 0.
    fn send_to(&self, partition: usize) {
        let number = self.sent[partition].load(Ordering::SeqCst).to_string();
        let record = BaseRecord::<(), str, usize>::with_opaque_to(self.topic, partition)
            .partition(partition.try_into().expect("a partition"))
            .payload(&number);
        self.told().under_way[partition].fetch_add(1, Ordering::SeqCst);
        match self.producer.send(record) {
            Ok(()) => {
                self.sent[partition].fetch_add(1, Ordering::SeqCst);
            }
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::Fatal), _)) => self.stop.store(true, Ordering::SeqCst),
            Err((error, _)) => panic!("{error}"),
        }
    }
}

/// How the records stand in the topic.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// How many stand there more than once.
    doubled: usize,
    /// How many stand behind one that was sent later, each as often as it stands there.
    behind: usize,
    /// How many stand behind one that was sent later, by their first place only: repeats of a batch do not count.
    reordered: usize,
    missing: usize,
}

impl Written {
    /// `sent`: how many records each partition got.
    pub(super) fn read(kafka: &Kafka, topic: &str, sent: Vec<u64>) -> Self {
        let mut there: Vec<Vec<u64>> = vec![Vec::new(); sent.len()];
        for line in kafka.read(topic).expect("readable") {
            let record: Value = serde_json::from_str(&line).unwrap();
            let partition = usize::try_from(record["partition"].as_u64().unwrap()).unwrap();
            let number = STANDARD.decode_to_vec(record["value"].as_str().unwrap()).unwrap();
            there[partition].push(std::str::from_utf8(&number).unwrap().parse().unwrap());
        }
        let mut written = Self::default();
        for (numbers, sent) in there.iter().zip(sent) {
            written.add(numbers, sent);
        }
        written
    }

    /// Adds a partition with these numbers in the order of their offsets.
    fn add(&mut self, numbers: &[u64], sent: u64) {
        let (mut seen, mut twice, mut highest) = (HashSet::new(), HashSet::new(), None);
        for &number in numbers {
            let behind = highest.is_some_and(|highest| number < highest);
            self.behind += usize::from(behind);
            if seen.insert(number) {
                self.reordered += usize::from(behind);
            } else {
                twice.insert(number);
            }
            highest = highest.max(Some(number));
        }
        self.doubled += twice.len();
        self.missing += (0..sent).filter(|number| !seen.contains(number)).count();
    }
}

#[test]
fn the_counts_of_what_librdkafka_writes_leave_out_no_doubled_reordered_or_missing_record() {
    let counts = |numbers: &[u64]| {
        let mut written = Written::default();
        written.add(numbers, 4);
        [written.doubled, written.behind, written.reordered, written.missing]
    };
    assert_eq!(counts(&[0, 1, 2, 3]), [0, 0, 0, 0]);
    assert_eq!(counts(&[0, 1, 1, 2, 3]), [1, 0, 0, 0]);
    assert_eq!(counts(&[0, 1, 2, 1, 2, 3]), [2, 1, 0, 0]);
    assert_eq!(counts(&[0, 2, 1, 3]), [0, 1, 1, 0]);
    assert_eq!(counts(&[0, 2]), [0, 0, 0, 2]);
}
