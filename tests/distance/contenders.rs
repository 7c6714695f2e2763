//! The contenders, each running through all turns of a layout.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    apart::{Apart, Settings},
    choice::{Choice, Kind, Layout, Row},
    given::{Given, Turn},
    support::{
        load::{self, Over, figure},
        sidecar::{Builder, Sidecar},
    },
};

/// The share of a turn's time that is sent before it counts.
const WARM_UP: f64 = 0.5;

pub(crate) struct Contender {
    name: String,
    running: Running,
}

#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
enum Running {
    Sidecar(Sidecar),
    Apart(Apart),
}

impl Contender {
    pub(crate) fn start(choice: &Choice, layout: &Layout, bootstrap: &str, records: &Path) -> Vec<Self> {
        let one = |(name, kind): &(String, Kind)| {
            let settings = |in_flight| Settings {
                bootstrap,
                topic: layout.name,
                partitions: layout.partitions,
                in_flight,
                records,
            };
            let running = match kind {
                Kind::Sidecar { binary, settings } => Running::Sidecar(sidecar(bootstrap, binary, settings)),
                Kind::Librdkafka(in_flight) => Running::Apart(Apart::librdkafka(&settings(*in_flight))),
                Kind::Java(in_flight) => Running::Apart(Apart::java(&settings(*in_flight))),
            };
            Self {
                name: name.clone(),
                running,
            }
        };
        choice.contenders.iter().map(one).collect()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn run(&mut self, choice: &Choice, layout: &Layout, row: Row) -> Given {
        let (seconds, warm_up) = (choice.seconds, choice.seconds * WARM_UP);
        match &mut self.running {
            Running::Sidecar(sidecar) => {
                let common = ["--seconds", &seconds.to_string(), "--warm-up", &warm_up.to_string()];
                let report = load::load(sidecar, Over::Unix, layout.name, &[&common, row.arguments].concat());
                if report["others"] != json!({}) {
                    println!(
                        "{}, {}: not all was acknowledged: {}",
                        self.name, row.name, report["others"]
                    );
                }
                of_load(&report)
            }
            Running::Apart(apart) => apart.run(Turn {
                callers: row.callers,
                batch: row.batch,
                warm_up,
                seconds,
            }),
        }
    }
}

fn sidecar(bootstrap: &str, binary: &Path, settings: &[(String, String)]) -> Sidecar {
    let mut builder = Builder::kafka(bootstrap)
        .binary(binary)
        .kafka_lines("[kafka.properties]");
    for (name, value) in settings {
        builder = match name.contains('.') {
            true => builder.kafka_lines(&format!("\"{name}\" = \"{value}\"")),
            false => builder.environment(name, value),
        };
    }
    builder.route("*", "key-hash", "").start()
}

fn of_load(report: &Value) -> Given {
    Given {
        records_per_second: figure(report, "/records_per_second"),
        cpu_seconds_per_million: figure(report, "/cpu_seconds_per_million"),
        p50_ms: report["latency_ms"]["p50"].as_f64(),
        p99_ms: report["latency_ms"]["p99"].as_f64(),
        peak_bytes: report["peak_resident_bytes"].as_u64(),
    }
}
