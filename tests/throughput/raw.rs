//! The same records through librdkafka's own call, with the sidecar's settings: the upper limit for the sidecar.

use std::{
    array,
    collections::BTreeMap,
    ffi::CString,
    fs, io, mem, ptr,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use pointsman::{base::murmur2::partition_for_key, produce::kafka::client_config, tools::load::Usage};
use rdkafka::{
    ClientContext, bindings,
    config::FromClientConfigAndContext as _,
    message::DeliveryResult,
    producer::{BaseProducer, Producer as _, ProducerContext},
};

use super::given::{Given, Turn};

/// The argument with which a benchmark is [`serve`] and nothing else.
pub(crate) const COMMAND: &str = "raw";
/// So many may take part in a turn.
const MOST_CALLERS: usize = 1_000;
/// The caller of records that nobody waits for.
const NOBODY: usize = MOST_CALLERS;

struct Count {
    acked: AtomicU64,
    /// For each caller how many of its records are under way.
    left: [AtomicUsize; MOST_CALLERS],
    /// Callers whose records are all acknowledged.
    ready: Mutex<Vec<usize>>,
    /// The thread that waits until some caller is ready.
    waiting: OnceLock<Thread>,
}

impl Default for Count {
    fn default() -> Self {
        Self {
            acked: AtomicU64::new(0),
            left: array::from_fn(|_| AtomicUsize::new(0)),
            ready: Mutex::default(),
            waiting: OnceLock::new(),
        }
    }
}

impl ClientContext for Count {}

impl ProducerContext for Count {
    /// The record's caller.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, caller: usize) {
        assert!(result.is_ok(), "a record was not acknowledged");
        self.acked.fetch_add(1, Ordering::Release);
        let left = self.left.get(caller);
        if left.is_some_and(|left| left.fetch_sub(1, Ordering::AcqRel) == 1) {
            self.ready.lock().unwrap().push(caller);
            if let Some(waiting) = self.waiting.get() {
                waiting.unpark();
            }
        }
    }
}

/// A record, and the partition that its key belongs to.
pub(crate) struct Record {
    key: String,
    partition: u32,
    value: Vec<u8>,
}

impl Record {
    pub(crate) fn new(key: String, value: Vec<u8>, partitions: u32) -> Self {
        Self {
            partition: partition_for_key(key.as_bytes(), partitions),
            key,
            value,
        }
    }
}

pub(crate) struct Raw {
    topic: *mut bindings::rd_kafka_topic_t,
    producer: BaseProducer<Count>,
}

// SAFETY: librdkafka's objects may be used from any thread.
#[allow(unsafe_code)]
unsafe impl Sync for Raw {}

impl Raw {
    #[allow(unsafe_code)]
    pub(crate) fn new(bootstrap: &str, topic: &str, in_flight: &str) -> Self {
        let properties = [
            ("bootstrap.servers", bootstrap),
            ("max.in.flight.requests.per.connection", in_flight),
        ];
        let properties = BTreeMap::from(properties.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let config = client_config(&properties, 40_000, 64 << 20);
        let producer = BaseProducer::from_config_and_context(&config, Count::default()).unwrap();
        let name = CString::new(topic).unwrap();
        // SAFETY: the client is the producer's, which lives as long as the topic.
        let topic =
            unsafe { bindings::rd_kafka_topic_new(producer.client().native_ptr(), name.as_ptr(), ptr::null_mut()) };
        Self { topic, producer }
    }

    /// False: the queue is full.
    #[allow(unsafe_code)]
    fn send(&self, Record { key, partition, value }: &Record, caller: usize) -> bool {
        // SAFETY: the topic is alive, key and value are copied in the call.
        let taken = unsafe {
            bindings::rd_kafka_produce(
                self.topic,
                partition.cast_signed(),
                bindings::RD_KAFKA_MSG_F_COPY,
                value.as_ptr().cast_mut().cast(),
                value.len(),
                key.as_ptr().cast(),
                key.len(),
                ptr::without_provenance_mut(caller),
            )
        };
        taken == 0
    }

    fn acked(&self) -> u64 {
        self.producer.context().acked.load(Ordering::Acquire)
    }

    /// Runs a turn, and returns its result and that of `send_for`. Delivery reports are handed out on a thread of their
    /// own, as applications do.
    fn measured<T>(&self, warm_up: f64, seconds: f64, mut send_for: impl FnMut(f64) -> T) -> (Given, T) {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    self.producer.poll(Duration::from_millis(100));
                }
            });
            send_for(warm_up);
            let (before, acked, begun) = (Usage::of(std::process::id()).unwrap(), self.acked(), Instant::now());
            let sent = send_for(seconds);
            let (acked, seconds) = ((self.acked() - acked) as f64, begun.elapsed().as_secs_f64());
            let used = Usage::of(std::process::id()).unwrap().since(&before);
            self.producer.flush(Duration::from_secs(30)).unwrap();
            stop.store(true, Ordering::Relaxed);
            let given = Given {
                records_per_second: acked / seconds,
                cpu_seconds_per_million: used.cpu_seconds * 1e6 / acked,
                p50_ms: None,
                p99_ms: None,
                peak_bytes: None,
            };
            (given, sent)
        })
    }

    /// Sends as fast as librdkafka takes records.
    pub(crate) fn flat_out(&self, records: &[Record], seconds: f64) -> Given {
        let send_for = |seconds: f64| {
            let end = Instant::now() + Duration::from_secs_f64(seconds);
            for record in records.iter().cycle() {
                while !self.send(record, NOBODY) {
                    thread::sleep(Duration::from_micros(100));
                }
                if self.acked().is_multiple_of(64) && Instant::now() > end {
                    break;
                }
            }
        };
        self.measured(1.0, seconds, send_for).0
    }

    /// Callers that wait for their records, as those of a sidecar wait for an answer. One thread sends for all of them.
    pub(crate) fn closed_loop(&self, records: &[Record], turn: Turn) -> Given {
        let count = self.producer.context();
        count.waiting.get_or_init(thread::current);
        *count.ready.lock().unwrap() = (0..turn.callers).collect();
        let (mut next, mut begun) = (records.iter().cycle(), vec![None::<Instant>; turn.callers]);
        let send_for = |seconds: f64| {
            let end = Instant::now() + Duration::from_secs_f64(seconds);
            let mut latencies = Vec::new();
            while Instant::now() < end {
                let ready = mem::take(&mut *count.ready.lock().unwrap());
                if ready.is_empty() {
                    thread::park();
                }
                for caller in ready {
                    let now = Instant::now();
                    latencies.extend(
                        begun[caller]
                            .replace(now)
                            .map(|begun| (now - begun).as_secs_f64() * 1e3),
                    );
                    count.left[caller].store(turn.batch, Ordering::Release);
                    for record in next.by_ref().take(turn.batch) {
                        assert!(self.send(record, caller), "the queue is full");
                    }
                }
            }
            latencies
        };
        let (given, mut latencies) = self.measured(turn.warm_up, turn.seconds, send_for);
        latencies.sort_by(f64::total_cmp);
        let at = |share: f64| latencies.get((latencies.len() as f64 * share) as usize).copied();
        Given {
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            ..given
        }
    }
}

impl Drop for Raw {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the topic is that of `new`, and its client is still there.
        unsafe { bindings::rd_kafka_topic_destroy(self.topic) };
    }
}

/// Reads settings from the arguments and a turn from each line of the input, and answers each by a line.
#[allow(clippy::print_stdout, reason = "it answers whoever started it")]
pub(crate) fn serve(settings: &[String]) {
    let [bootstrap, topic, partitions, in_flight, records] = settings else {
        panic!("not its settings: {settings:?}");
    };
    let (raw, partitions) = (Raw::new(bootstrap, topic, in_flight), partitions.parse().unwrap());
    let records = fs::read_to_string(records).unwrap();
    let records = records.lines().map(|line| {
        let (key, value) = line.split_once('\t').unwrap();
        Record::new(key.to_owned(), value.into(), partitions)
    });
    let records: Vec<Record> = records.collect();
    for line in io::stdin().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        let [callers, batch, warm_up, seconds] = words[..] else {
            panic!("not a turn: {line}");
        };
        let given = raw.closed_loop(
            &records,
            Turn {
                callers: callers.parse().unwrap(),
                batch: batch.parse().unwrap(),
                warm_up: warm_up.parse().unwrap(),
                seconds: seconds.parse().unwrap(),
            },
        );
        println!("{}", serde_json::to_string(&given).unwrap());
    }
}
