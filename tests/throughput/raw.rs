//! The same records through librdkafka's own call, with the sidecar's settings: the ceiling.

use std::{
    collections::BTreeMap,
    ffi::CString,
    ptr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use pointsman::{load::Usage, produce::kafka::client_config, route::partition_for_key};
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
}

impl ClientContext for Count {}

impl ProducerContext for Count {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        assert!(result.is_ok(), "a record was not acknowledged");
        self.acked.fetch_add(1, Ordering::Relaxed);
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
        self.producer.context().acked.load(Ordering::Relaxed)
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

/// As fast as they are taken.
pub(crate) fn run(bench: &Bench) -> Given {
    let (raw, keys, value, stop) = (
        Raw::new(&bench.bootstrap),
        keys(bench.partitions),
        vec![b'x'; VALUE_BYTES],
        AtomicBool::new(false),
    );
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                raw.producer.poll(Duration::from_millis(100));
            }
        });
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
        send_for(1.0);
        let (before, acked, begun) = (Usage::of(std::process::id()).unwrap(), raw.acked(), Instant::now());
        send_for(bench.seconds);
        let (acked, seconds) = ((raw.acked() - acked) as f64, begun.elapsed().as_secs_f64());
        let used = Usage::of(std::process::id()).unwrap().since(&before);
        raw.producer.flush(Duration::from_secs(30)).unwrap();
        stop.store(true, Ordering::Relaxed);
        Given {
            records_per_second: acked / seconds,
            cpu_seconds_per_million: used.cpu_seconds * 1e6 / acked,
            p50_ms: None,
            p99_ms: None,
            peak_bytes: None,
        }
    })
}

/// Each waits for the one before: what one connection's latency is compared with.
pub(crate) fn one_by_one(bench: &Bench) -> Given {
    let (raw, keys, value) = (
        Raw::new(&bench.bootstrap),
        keys(bench.partitions),
        vec![b'x'; VALUE_BYTES],
    );
    let mut latencies = Vec::new();
    let begun = Instant::now();
    let mut before = Usage::of(std::process::id()).unwrap();
    let mut measured = None;
    for (number, key) in (1..).zip(keys.iter().cycle()) {
        let sent = Instant::now();
        assert!(raw.send(key, &value));
        while raw.acked() < number {
            raw.producer.poll(Duration::ZERO);
        }
        let elapsed = begun.elapsed().as_secs_f64();
        if elapsed > 1.0 {
            if measured.is_none() {
                before = Usage::of(std::process::id()).unwrap();
                measured = Some(Instant::now());
            }
            latencies.push(sent.elapsed().as_secs_f64() * 1e3);
        }
        if elapsed > 1.0 + bench.seconds {
            break;
        }
    }
    let used = Usage::of(std::process::id()).unwrap().since(&before);
    let count = latencies.len() as f64;
    latencies.sort_by(f64::total_cmp);
    let at = |share: f64| Some(latencies[(count * share) as usize]);
    Given {
        records_per_second: count / measured.unwrap().elapsed().as_secs_f64(),
        cpu_seconds_per_million: used.cpu_seconds * 1e6 / count,
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        peak_bytes: None,
    }
}
