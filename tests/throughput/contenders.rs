//! Who takes part.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Bench, VALUE_BYTES, java, raw};
use crate::support::sidecar::BINARY;

/// One way to get records to Kafka.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) run: Box<dyn Fn(&Bench) -> Given>,
}

/// What a turn gave. CPU time and memory are those of the process that produces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given {
    pub(crate) records_per_second: f64,
    pub(crate) cpu_seconds_per_million: f64,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) peak_bytes: Option<u64>,
}

/// Options of `pointsman load` beside target and topic.
struct Load {
    name: &'static str,
    unix: bool,
    topic: &'static str,
    arguments: &'static [&'static str],
}

const LOADS: &[Load] = &[
    Load {
        name: "plugin, packed, unix, 8 x 500",
        unix: true,
        topic: "plugin",
        arguments: &["--format", "packed"],
    },
    Load {
        name: "host's key-hash, packed, unix, 8 x 500",
        unix: true,
        topic: "host",
        arguments: &["--format", "packed"],
    },
    Load {
        name: "plugin, JSON, TCP, 8 x 500",
        unix: false,
        topic: "plugin",
        arguments: &["--format", "json"],
    },
    Load {
        name: "plugin, JSON, unix, 64 x 1",
        unix: true,
        topic: "plugin",
        arguments: &["--connections", "64", "--batch", "1"],
    },
    Load {
        name: "plugin, JSON, TCP, 64 x 1",
        unix: false,
        topic: "plugin",
        arguments: &["--connections", "64", "--batch", "1"],
    },
    Load {
        name: "plugin, JSON, unix, 8 x 1, 32 in flight",
        unix: true,
        topic: "plugin",
        arguments: &["--connections", "8", "--batch", "1", "--in-flight", "32"],
    },
    Load {
        name: "plugin, stream, unix, 8 x 100",
        unix: true,
        topic: "plugin",
        arguments: &["--format", "stream", "--batch", "100"],
    },
    Load {
        name: "plugin, octet-stream, unix, 1 x 1",
        unix: true,
        topic: "plugin",
        arguments: &["--format", "octet", "--connections", "1"],
    },
];

/// The first one is what the others are compared with.
pub(crate) fn contenders(java: bool) -> Vec<Contender> {
    let mut contenders = vec![
        Contender {
            name: "raw: librdkafka, no HTTP, no plugin",
            run: Box::new(raw::run),
        },
        Contender {
            name: "raw: one record at a time",
            run: Box::new(raw::one_by_one),
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
    contenders
}

impl Load {
    fn run(&self, bench: &Bench) -> Given {
        let sidecar = &bench.sidecar;
        let mut command = Command::new(BINARY);
        command.args(["load", "--json", "--topic", self.topic]);
        match self.unix {
            true => command.arg("--unix").arg(&sidecar.unix),
            false => command.args(["--http", &sidecar.http.to_string()]),
        };
        command
            .args(["--pid", &sidecar.id().to_string()])
            .args(["--seconds", &bench.seconds.to_string()])
            .args(["--value-bytes", &VALUE_BYTES.to_string()])
            .args(self.arguments);
        let output = command.stderr(Stdio::inherit()).output().expect("pointsman load");
        assert!(output.status.success(), "{}", self.name);
        let report: Value = serde_json::from_slice(&output.stdout).expect("its report");
        assert_eq!(report["others"], serde_json::json!({}), "{}: {report}", self.name);
        let figure = |value: &Value| value.as_f64().expect("a figure");
        Given {
            records_per_second: figure(&report["records_per_second"]),
            cpu_seconds_per_million: figure(&report["cpu_seconds_per_million"]),
            p50_ms: report["latency_ms"]["p50"].as_f64(),
            p99_ms: report["latency_ms"]["p99"].as_f64(),
            peak_bytes: report["peak_resident_bytes"].as_u64(),
        }
    }
}
