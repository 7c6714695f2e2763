//! The same records through librdkafka's own call, with the sidecar's settings: the upper limit for the sidecar.

use std::{
    collections::BTreeMap,
    ffi::CString,
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
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

use super::{Bench, VALUE_BYTES, contenders::Given};

#[derive(Default)]
struct Count {
    acked: AtomicU64,
    /// The thread that waits until `acked` grows.
    waiting: OnceLock<Thread>,
}

impl ClientContext for Count {}

impl ProducerContext for Count {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        assert!(result.is_ok(), "a record was not acknowledged");
        self.acked.fetch_add(1, Ordering::Release);
        if let Some(waiting) = self.waiting.get() {
            waiting.unpark();
        }
    }
}

struct Raw {
    topic: *mut bindings::rd_kafka_topic_t,
    producer: BaseProducer<Count>,
}

// SAFETY: librdkafka's objects may be used from any thread.
#[allow(unsafe_code)]
unsafe impl Sync for Raw {}

impl Raw {
    #[allow(unsafe_code)]
    fn new(bootstrap: &str) -> Self {
        let properties = BTreeMap::from([("bootstrap.servers".to_owned(), bootstrap.to_owned())]);
        let config = client_config(&properties, 40_000, 64 << 20);
        let producer = BaseProducer::from_config_and_context(&config, Count::default()).unwrap();
        let name = CString::new("raw").unwrap();
        // SAFETY: the client is the producer's, which lives as long as the topic.
        let topic =
            unsafe { bindings::rd_kafka_topic_new(producer.client().native_ptr(), name.as_ptr(), ptr::null_mut()) };
        Self { topic, producer }
    }

    /// False: the queue is full.
    #[allow(unsafe_code)]
    fn send(&self, (key, partition): &(String, u32), value: &[u8]) -> bool {
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
                ptr::null_mut(),
            )
        };
        taken == 0
    }

    fn acked(&self) -> u64 {
        self.producer.context().acked.load(Ordering::Acquire)
    }

    /// Runs a turn, and returns its result and that of `send_for`. Delivery reports are handed out on a thread of their
    /// own, as applications do.
    fn measured<T>(&self, bench: &Bench, mut send_for: impl FnMut(f64) -> T) -> (Given, T) {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    self.producer.poll(Duration::from_millis(100));
                }
            });
            send_for(1.0);
            let (before, acked, begun) = (Usage::of(std::process::id()).unwrap(), self.acked(), Instant::now());
            let sent = send_for(bench.seconds);
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
}

impl Drop for Raw {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the topic is that of `new`, and its client is still there.
        unsafe { bindings::rd_kafka_topic_destroy(self.topic) };
    }
}

fn keys(partitions: u32) -> Vec<(String, u32)> {
    let key = |number| format!("key-{}-{}", number % 8, number / 8);
    let keys = (0..4_000).map(key);
    keys.map(|key| (key.clone(), partition_for_key(key.as_bytes(), partitions)))
        .collect()
}

/// Sends as fast as librdkafka takes records.
pub(crate) fn run(bench: &Bench) -> Given {
    let (raw, keys, value) = (
        Raw::new(&bench.bootstrap),
        keys(bench.partitions),
        vec![b'x'; VALUE_BYTES],
    );
    let send_for = |seconds: f64| {
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        for key in keys.iter().cycle() {
            while !raw.send(key, &value) {
                thread::sleep(Duration::from_micros(100));
            }
            if raw.acked() % 64 == 0 && Instant::now() > end {
                break;
            }
        }
    };
    raw.measured(bench, send_for).0
}

/// Keeps this many records under way, as if each had a caller that waits for its outcome before the next. Single
/// records through the sidecar are compared with this. The time of a record is known where only one is under way.
pub(crate) fn closed_loop(bench: &Bench, under_way: u64) -> Given {
    let (raw, keys, value) = (
        Raw::new(&bench.bootstrap),
        keys(bench.partitions),
        vec![b'x'; VALUE_BYTES],
    );
    raw.producer.context().waiting.set(thread::current()).unwrap();
    let mut sent = 0;
    let send_for = |seconds: f64| {
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        let mut latencies = Vec::new();
        while Instant::now() < end {
            let (begun, acked) = (Instant::now(), raw.acked());
            while sent - acked < under_way {
                assert!(raw.send(&keys[sent as usize % keys.len()], &value));
                sent += 1;
            }
            while raw.acked() == acked {
                thread::park();
            }
            latencies.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        latencies
    };
    let (given, mut latencies) = raw.measured(bench, send_for);
    latencies.sort_by(f64::total_cmp);
    let at = |share: f64| (under_way == 1).then(|| latencies[(latencies.len() as f64 * share) as usize]);
    Given {
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        ..given
    }
}
