//! The contenders of the benchmark.

use pointsman::tools::load::key;
use serde_json::json;

use super::{
    Bench, VALUE_BYTES,
    given::{Given, Turn},
    java,
    raw::{Raw, Record},
};
use crate::support::load::{self, Over, figure};

/// One way to get records to Kafka.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) run: Box<dyn Fn(&Bench) -> Given>,
}

/// Options of `pointsman load`, besides target and topic.
struct Load {
    name: &'static str,
    over: Over,
    topic: &'static str,
    arguments: &'static [&'static str],
}

const LOADS: &[Load] = &[
    Load {
        name: "plugin, packed, unix, 8 x 500",
        over: Over::Unix,
        topic: "plugin",
        arguments: &["--format", "packed"],
    },
    Load {
        name: "plugin, packed, unix, 32 x 500",
        over: Over::Unix,
        topic: "plugin",
        arguments: &["--format", "packed", "--connections", "32"],
    },
    Load {
        name: "host's key-hash, packed, unix, 8 x 500",
        over: Over::Unix,
        topic: "host",
        arguments: &["--format", "packed"],
    },
    Load {
        name: "plugin, JSON, TCP, 8 x 500",
        over: Over::Tcp,
        topic: "plugin",
        arguments: &["--format", "json"],
    },
    Load {
        name: "plugin, JSON, unix, 64 x 1",
        over: Over::Unix,
        topic: "plugin",
        arguments: &["--connections", "64", "--batch", "1"],
    },
    Load {
        name: "plugin, JSON, TCP, 64 x 1",
        over: Over::Tcp,
        topic: "plugin",
        arguments: &["--connections", "64", "--batch", "1"],
    },
    Load {
        name: "plugin, JSON, unix, 8 x 1, 32 in flight",
        over: Over::Unix,
        topic: "plugin",
        arguments: &["--connections", "8", "--batch", "1", "--in-flight", "32"],
    },
    Load {
        name: "plugin, stream, unix, 8 x 100",
        over: Over::Unix,
        topic: "plugin",
        arguments: &["--format", "stream", "--batch", "100"],
    },
    Load {
        name: "plugin, octet-stream, unix, 1 x 1",
        over: Over::Unix,
        topic: "plugin",
        arguments: &["--format", "octet", "--connections", "1"],
    },
];

/// The turns of the peer: a name, connections, and records of a request.
const OF_PEER: &[(&str, usize, usize)] = &[
    ("peer (Dapr), one record a request, TCP, 64 x 1", 64, 1),
    ("peer (Dapr), bulk, JSON, TCP, 8 x 500", 8, 500),
];

/// All contenders. The others are compared with the first one.
pub(crate) fn contenders(java: bool, peer: bool) -> Vec<Contender> {
    let mut contenders = vec![
        Contender {
            name: "raw: librdkafka, no HTTP, no plugin",
            run: Box::new(|bench| raw(bench).flat_out(&easy(bench.partitions), bench.seconds)),
        },
        Contender {
            name: "raw: one record at a time",
            run: Box::new(|bench| under_way(bench, 1)),
        },
        Contender {
            name: "raw: 64 records under way",
            run: Box::new(|bench| under_way(bench, 64)),
        },
    ];
    if java {
        contenders.push(Contender {
            name: "Java producer (ProducerPerformance)",
            run: Box::new(java::run),
        });
    }
    for load in LOADS {
        contenders.push(Contender {
            name: load.name,
            run: Box::new(|bench| load.run(bench)),
        });
    }
    for &(name, connections, batch) in OF_PEER.iter().filter(|_| peer) {
        contenders.push(Contender {
            name,
            run: Box::new(move |bench| {
                let peer = bench.peer.as_ref().expect("a peer that runs");
                peer.run(connections, batch, bench.seconds)
            }),
        });
    }
    contenders
}

fn raw(bench: &Bench) -> Raw {
    Raw::new(&bench.bootstrap, "raw", "1")
}

/// Keeps this many records under way, as if each had a caller that waits for its outcome before the next. Single
/// records through the sidecar are compared with this.
fn under_way(bench: &Bench, callers: usize) -> Given {
    let turn = Turn {
        callers,
        batch: 1,
        warm_up: 1.0,
        seconds: bench.seconds,
    };
    raw(bench).closed_loop(&easy(bench.partitions), turn)
}

/// Keys like those of `pointsman load`, each with the same value.
fn easy(partitions: u32) -> Vec<Record> {
    let record = |number: usize| Record::new(key(number % 8, number / 8), vec![b'x'; VALUE_BYTES], partitions);
    (0..4_000).map(record).collect()
}

impl Load {
    fn run(&self, bench: &Bench) -> Given {
        let (seconds, value_bytes) = (bench.seconds.to_string(), VALUE_BYTES.to_string());
        let common = ["--seconds", &seconds, "--value-bytes", &value_bytes];
        let arguments = [&common, self.arguments].concat();
        let report = load::load(&bench.sidecar, self.over, self.topic, &arguments);
        assert_eq!(report["others"], json!({}), "{}: {report}", self.name);
        Given {
            records_per_second: figure(&report, "/records_per_second"),
            cpu_seconds_per_million: figure(&report, "/cpu_seconds_per_million"),
            p50_ms: report["latency_ms"]["p50"].as_f64(),
            p99_ms: report["latency_ms"]["p99"].as_f64(),
            peak_bytes: report["peak_resident_bytes"].as_u64(),
        }
    }
}
