//! The contenders of the benchmark.

use pointsman::tools::load::key;
use serde_json::json;

use super::{
    Bench, VALUE_BYTES, Values, apart,
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
    values: Values,
    arguments: &'static [&'static str],
}

const LOADS: &[Load] = &[
    Load {
        name: "plugin, packed, unix, 8 x 500",
        over: Over::Unix,
        topic: "plugin",
        values: Values::Text,
        arguments: &["--format", "packed"],
    },
    Load {
        name: "plugin, packed, unix, 32 x 500",
        over: Over::Unix,
        topic: "plugin",
        values: Values::Text,
        arguments: &["--format", "packed", "--connections", "32"],
    },
    Load {
        name: "host's key-hash, packed, unix, 8 x 500",
        over: Over::Unix,
        topic: "host",
        values: Values::Text,
        arguments: &["--format", "packed"],
    },
    Load {
        name: "plugin, JSON, TCP, 8 x 500",
        over: Over::Tcp,
        topic: "plugin",
        values: Values::Text,
        arguments: &["--format", "json"],
    },
    Load {
        name: "plugin, JSON, unix, 64 x 1",
        over: Over::Unix,
        topic: "plugin",
        values: Values::Text,
        arguments: &["--connections", "64", "--batch", "1"],
    },
    Load {
        name: "plugin, JSON, TCP, 64 x 1",
        over: Over::Tcp,
        topic: "plugin",
        values: Values::Text,
        arguments: &["--connections", "64", "--batch", "1"],
    },
    Load {
        name: "plugin, JSON, unix, 8 x 1, 32 in flight",
        over: Over::Unix,
        topic: "plugin",
        values: Values::Text,
        arguments: &["--connections", "8", "--batch", "1", "--in-flight", "32"],
    },
    Load {
        name: "plugin, stream, unix, 8 x 100",
        over: Over::Unix,
        topic: "plugin",
        values: Values::Text,
        arguments: &["--format", "stream", "--batch", "100"],
    },
    Load {
        name: "plugin, octet-stream, unix, 1 x 1",
        over: Over::Unix,
        topic: "plugin",
        values: Values::Text,
        arguments: &["--format", "octet", "--connections", "1"],
    },
    Load {
        name: "plugin, gRPC, unix, 8 x 500",
        over: Over::Unix,
        topic: "plugin",
        values: Values::Text,
        arguments: &["--format", "grpc"],
    },
    Load {
        name: "plugin, gRPC, unix, 64 x 1",
        over: Over::Unix,
        topic: "plugin",
        values: Values::Text,
        arguments: &["--format", "grpc", "--connections", "64", "--batch", "1"],
    },
    Load {
        name: "plugin, gRPC stream, unix, 8 x 100",
        over: Over::Unix,
        topic: "plugin",
        values: Values::Text,
        arguments: &["--format", "grpc-stream", "--batch", "100"],
    },
    Load {
        name: "plugin, octet-stream, unix, 64 x 1",
        over: Over::Unix,
        topic: "plugin",
        values: Values::Text,
        arguments: &["--format", "octet", "--connections", "64"],
    },
    Load {
        name: "plugin, CloudEvents, unix, 64 x 1",
        over: Over::Unix,
        topic: "plugin",
        values: Values::Text,
        arguments: &["--format", "cloud-event", "--connections", "64"],
    },
    Load {
        name: "plugin, packed, unix, 8 x 500, objects",
        over: Over::Unix,
        topic: "plugin",
        values: Values::Objects,
        arguments: &["--format", "packed"],
    },
    Load {
        name: "plugin, JSON, TCP, 8 x 500, objects",
        over: Over::Tcp,
        topic: "plugin",
        values: Values::Objects,
        arguments: &["--format", "json"],
    },
    Load {
        name: "plugin, JSON, unix, 64 x 1, objects",
        over: Over::Unix,
        topic: "plugin",
        values: Values::Objects,
        arguments: &["--connections", "64", "--batch", "1"],
    },
    Load {
        name: "plugin, JSON, TCP, 64 x 1, objects",
        over: Over::Tcp,
        topic: "plugin",
        values: Values::Objects,
        arguments: &["--connections", "64", "--batch", "1"],
    },
    Load {
        name: "plugin, JSON, unix, 8 x 1, 32 in flight, objects",
        over: Over::Unix,
        topic: "plugin",
        values: Values::Objects,
        arguments: &["--connections", "8", "--batch", "1", "--in-flight", "32"],
    },
    Load {
        name: "plugin, stream, unix, 8 x 100, objects",
        over: Over::Unix,
        topic: "plugin",
        values: Values::Objects,
        arguments: &["--format", "stream", "--batch", "100"],
    },
    Load {
        name: "plugin, gRPC, unix, 8 x 500, objects",
        over: Over::Unix,
        topic: "plugin",
        values: Values::Objects,
        arguments: &["--format", "grpc"],
    },
    Load {
        name: "plugin, gRPC, unix, 64 x 1, objects",
        over: Over::Unix,
        topic: "plugin",
        values: Values::Objects,
        arguments: &["--format", "grpc", "--connections", "64", "--batch", "1"],
    },
    Load {
        name: "plugin, gRPC stream, unix, 8 x 100, objects",
        over: Over::Unix,
        topic: "plugin",
        values: Values::Objects,
        arguments: &["--format", "grpc-stream", "--batch", "100"],
    },
    Load {
        name: "plugin, octet-stream, unix, 64 x 1, objects",
        over: Over::Unix,
        topic: "plugin",
        values: Values::Objects,
        arguments: &["--format", "octet", "--connections", "64"],
    },
    Load {
        name: "plugin, CloudEvents, unix, 64 x 1, objects",
        over: Over::Unix,
        topic: "plugin",
        values: Values::Objects,
        arguments: &["--format", "cloud-event", "--connections", "64"],
    },
];

/// Contenders of other protocols, and those that they are compared with.
pub(crate) const COMPARED: &[(&str, &str)] = &[
    ("plugin, gRPC, unix, 8 x 500", "plugin, packed, unix, 8 x 500"),
    (
        "plugin, gRPC, unix, 8 x 500, objects",
        "plugin, packed, unix, 8 x 500, objects",
    ),
    ("plugin, gRPC, unix, 64 x 1", "plugin, JSON, unix, 64 x 1"),
    (
        "plugin, gRPC, unix, 64 x 1, objects",
        "plugin, JSON, unix, 64 x 1, objects",
    ),
    ("plugin, gRPC stream, unix, 8 x 100", "plugin, stream, unix, 8 x 100"),
    (
        "plugin, gRPC stream, unix, 8 x 100, objects",
        "plugin, stream, unix, 8 x 100, objects",
    ),
    (
        "plugin, CloudEvents, unix, 64 x 1",
        "plugin, octet-stream, unix, 64 x 1",
    ),
    (
        "plugin, CloudEvents, unix, 64 x 1, objects",
        "plugin, octet-stream, unix, 64 x 1, objects",
    ),
];

/// The turns of the peer.
const OF_PEER: &[OfPeer] = &[
    OfPeer {
        name: "peer (Dapr), one record a request, TCP, 64 x 1",
        values: Values::Text,
        connections: 64,
        batch: 1,
    },
    OfPeer {
        name: "peer (Dapr), bulk, JSON, TCP, 8 x 500",
        values: Values::Text,
        connections: 8,
        batch: 500,
    },
    OfPeer {
        name: "peer (Dapr), TCP, 64 x 1, objects",
        values: Values::Objects,
        connections: 64,
        batch: 1,
    },
    OfPeer {
        name: "peer (Dapr), bulk, TCP, 8 x 500, objects",
        values: Values::Objects,
        connections: 8,
        batch: 500,
    },
];

struct OfPeer {
    name: &'static str,
    values: Values,
    connections: usize,
    batch: usize,
}

/// All contenders. The others are compared with the first one.
pub(crate) fn contenders(java: bool, peer: bool) -> Vec<Contender> {
    let one = |name, run: fn(&Bench) -> Given| Contender {
        name,
        run: Box::new(run),
    };
    let mut contenders = vec![
        one("raw: librdkafka, no HTTP, no plugin", |bench| {
            raw(bench).flat_out(&easy(bench.partitions), bench.seconds)
        }),
        one("raw: one record at a time", |bench| {
            raw(bench).closed_loop(&easy(bench.partitions), turn(bench, 1, 1))
        }),
        one("raw: 64 records under way", |bench| {
            raw(bench).closed_loop(&easy(bench.partitions), turn(bench, 64, 1))
        }),
        one("raw: 64 x 1, objects", |bench| {
            raw(bench).closed_loop(&objects(bench.partitions), turn(bench, 64, 1))
        }),
        one("raw: 8 x 500, objects", |bench| {
            raw(bench).closed_loop(&objects(bench.partitions), turn(bench, 8, 500))
        }),
    ];
    if java {
        contenders.push(one("Java producer (ProducerPerformance)", java::run));
        contenders.push(one("Java producer, 64 x 1, objects", |bench| of_java(bench, 64, 1)));
        contenders.push(one("Java producer, 8 x 500, objects", |bench| of_java(bench, 8, 500)));
    }
    for load in LOADS {
        contenders.push(Contender {
            name: load.name,
            run: Box::new(|bench| load.run(bench)),
        });
    }
    for of_peer in OF_PEER.iter().filter(|_| peer) {
        contenders.push(Contender {
            name: of_peer.name,
            run: Box::new(|bench| {
                let peer = bench.peer.as_ref().expect("a peer that runs");
                peer.run(of_peer.values, of_peer.connections, of_peer.batch, bench.seconds)
            }),
        });
    }
    contenders
}

fn raw(bench: &Bench) -> Raw {
    Raw::new(&bench.bootstrap, "raw", "1")
}

/// Callers that wait for their records, as those of the sidecar do.
fn turn(bench: &Bench, callers: usize, batch: usize) -> Turn {
    Turn {
        callers,
        batch,
        warm_up: 1.0,
        seconds: bench.seconds,
    }
}

fn of_java(bench: &Bench, callers: usize, batch: usize) -> Given {
    let java = bench.java.as_ref().expect("a producer that runs");
    java.borrow_mut().run(turn(bench, callers, batch))
}

/// Keys like those of `pointsman load`, each with the same value.
fn easy(partitions: u32) -> Vec<Record> {
    let record = |number: usize| Record::new(key(number % 8, number / 8), vec![b'x'; VALUE_BYTES], partitions);
    (0..4_000).map(record).collect()
}

fn objects(partitions: u32) -> Vec<Record> {
    let records = apart::records();
    records
        .map(|(key, value)| Record::new(key, value.into(), partitions))
        .collect()
}

impl Load {
    fn run(&self, bench: &Bench) -> Given {
        let (seconds, value_bytes) = (bench.seconds.to_string(), VALUE_BYTES.to_string());
        let values = match self.values {
            Values::Text => ["--value-bytes", &value_bytes],
            Values::Objects => ["--values", "objects"],
        };
        let arguments = [&["--seconds", &seconds], &values, self.arguments].concat();
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
